//! What belongs together.

use std::time::Duration;

use serde::Serialize;

use super::{ConfigError, as_written, duration, written, wrong};
use crate::correlate::Rules;
use crate::desk::patterns::Learn;

/// What belongs together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Correlation {
    /// Silence that parts two problems of one device, or of one scope.
    #[serde(serialize_with = "as_written")]
    pub window: Duration,
    /// Labels whose value makes devices belong together, or `site`.
    pub scopes: Vec<String>,
    /// Whether what came together again and again is used.
    pub learn: Learn,
}

impl Correlation {
    pub(super) fn mean(w: written::Correlation) -> Result<Self, ConfigError> {
        let window = w.window.as_deref().unwrap_or("15m");
        let in_reach = |d: &Duration| (60..=86_400).contains(&d.as_secs());
        let Some(window) = duration(window).filter(in_reach) else {
            let what = format!("\"{window}\" is not a duration of a minute to a day: 15m, 2h");
            return wrong("correlation.window", &what);
        };
        let learn = match w.learn.as_deref() {
            None | Some("automatic") => Learn::Automatic,
            Some("review") => Learn::Review,
            Some("off") => Learn::Off,
            Some(other) => {
                return wrong("correlation.learn", &format!("\"{other}\" is none of automatic, review, off"));
            }
        };
        let scopes = w.scopes.unwrap_or_default();
        if let Some(scope) = scopes.iter().find(|scope| scope.is_empty() || scope.contains(['=', ',', ';'])) {
            return wrong(
                "correlation.scopes",
                &format!("\"{scope}\" is neither `site` nor the name of a label"),
            );
        }
        Ok(Self { window, scopes, learn })
    }

    /// The same, as correlation takes it.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let window_ms = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        Rules { window_ms, scopes: self.scopes.clone(), ..Rules::default() }
    }
}
