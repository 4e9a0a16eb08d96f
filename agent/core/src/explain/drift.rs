//! A drift in one plain sentence.

use core::fmt;

use super::{Amount, Words};
use crate::drift::Drifting;
use crate::series::SeriesKey;

/// The sentence of a series that drifts.
#[must_use]
pub fn drift(key: &SeriesKey, drifting: Drifting) -> Drifts<'_> {
    Drifts(key, drifting)
}

/// Displays as one sentence.
#[derive(Debug)]
pub struct Drifts<'a>(&'a SeriesKey, Drifting);

impl fmt::Display for Drifts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key, Drifting { from, to, over_ms }) = *self;
        let (metric, hours) = (key.metric(), over_ms as f32 / 3_600_000.0);
        let verb = if to < from { "fallen" } else { "risen" };
        write!(f, "{} has {verb} slowly for {:.0} days", Words { key, capital: true }, hours / 24.0)?;
        write!(f, ", by {} an hour", Amount((to - from).abs() / hours, metric))?;
        write!(f, ": from {} to {}.", Amount(from, metric), Amount(to, metric))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::metric;

    #[test]
    fn drifts_are_plain() {
        let key = SeriesKey::new(metric::TEMPERATURE, &["soc", "package"]);
        let drifting = Drifting { from: 41.0, to: 50.6, over_ms: 4 * 86_400_000 };
        assert_eq!(
            drift(&key, drifting).to_string(),
            "Temperature of soc package has risen slowly for 4 days, by 0.10 °C an hour: from 41.0 °C to 50.6 °C."
        );
    }
}
