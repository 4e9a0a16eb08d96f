//! Spans of time as people write them: `300s`, `5m`, `1h 30m`, `500ms`.

use std::fmt;
use std::time::Duration;

use fieldmouse_core::series::Millis;
use serde::{Deserialize, Serialize};

/// A span in milliseconds; a string in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Millis);

impl Span {
    /// A number of seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(n * 1000)
    }

    /// Reads `1h 30m`.
    ///
    /// # Errors
    /// If it is not numbers with units.
    pub fn parse(text: &str) -> Result<Self, String> {
        let span = humantime::parse_duration(text).map_err(|_| {
            format!("`{text}` is no span of time; write it like `500ms`, `300s`, `5m`, `1h 30m`")
        })?;
        Millis::try_from(span.as_millis()).map(Self).map_err(|_| format!("`{text}` is too long"))
    }

    /// For timers.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.duration()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        let check =
            |text: &str, ms: Option<Millis>| assert_eq!(Span::parse(text).ok().map(|s| s.0), ms, "{text}");
        check("300s", Some(300_000));
        check("1h 30m", Some(5_400_000));
        check("1h30m", Some(5_400_000));
        check("500ms", Some(500));
        check("", None);
        check("12", None);
        check("-1s", None);
        check("99999999999999999999s", None);
        assert_eq!(Span(90_000).to_string(), "1m 30s");
    }
}
