//! Spans of time as people write them: `300s`, `5m`, `1h30m`, `500ms`.

use std::fmt;
use std::time::Duration;

use fieldmouse_core::series::Millis;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span in milliseconds, in configuration a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Millis);

/// Units, longest first.
const UNITS: [(&str, Millis); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Span {
    /// A number of seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(n * 1000)
    }

    /// Reads `1h30m`.
    ///
    /// # Errors
    /// If it is not numbers with units.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a span of time; write it like 300s, 5m, 1h30m or 500ms");
        let (mut rest, mut sum) = (text.trim(), 0u64);
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (unit, tail) = tail.split_at(letters);
            let number: u64 = number.parse().map_err(|_| bad())?;
            let (_, ms) = UNITS.iter().find(|(u, _)| *u == unit).ok_or_else(bad)?;
            sum = number.checked_mul(*ms).and_then(|n| n.checked_add(sum)).ok_or_else(bad)?;
            rest = tail;
        }
        Ok(Self(sum))
    }

    /// For timers.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, ms) in UNITS {
            if left / ms > 0 {
                write!(f, "{}{unit}", left / ms)?;
                left %= ms;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_and_written() {
        for (text, ms) in
            [("300s", 300_000), ("5m", 300_000), ("1h30m", 5_400_000), ("500ms", 500), ("2d", 172_800_000)]
        {
            assert_eq!(Span::parse(text), Ok(Span(ms)));
            assert_eq!(Span::parse(&Span(ms).to_string()), Ok(Span(ms)));
        }
        for bad in ["", "5", "s", "-5s", "5 s", "5x", "99999999999999999999s", "300000000000000d"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }
}
