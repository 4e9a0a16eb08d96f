//! Episodes that opened where nothing is labelled, against the budget that was set.

use serde_json::Value;

use super::sets::{Recording, Truth};

/// Sums over recordings.
#[derive(Debug, Default, Clone, Copy)]
pub struct Calm {
    /// Recorded time outside of anomalies.
    pub seconds: f64,
    /// Episodes that opened in it.
    pub episodes: u64,
    /// How often one came back, which is no new one but is told as well.
    pub returns: u64,
}

impl Calm {
    /// What the events of a recording add. An episode belongs to an anomaly if it began or opened in it.
    #[must_use]
    pub fn of(recording: &Recording, truth: &Truth, events: &str) -> Self {
        let at = |row: usize| recording.seconds[row.min(recording.seconds.len() - 1)];
        let spans: Vec<(f64, f64)> = truth.spans.iter().map(|(a, b)| (at(*a), at(b + 1))).collect();
        let all = recording.seconds.last().copied().unwrap_or(0.0);
        let told_in_calm = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            let ms = |value: &Value| value.as_f64().unwrap_or(0.0) / 1000.0;
            let now = ms(&event["mono_ms"]);
            let began = now - ms(&event["body"]["since_ms"]);
            let is_calm = event["kind"] == "episode" && !spans.iter().any(|(a, b)| began <= *b && now >= *a);
            event["body"]["phase"].as_str().filter(|_| is_calm).map(str::to_owned)
        };
        let phases: Vec<String> = events.lines().filter_map(told_in_calm).collect();
        let count = |phase: &str| phases.iter().filter(|p| *p == phase).count() as u64;
        Self {
            seconds: all - spans.iter().map(|(a, b)| b - a).sum::<f64>(),
            episodes: count("opened"),
            returns: count("reopened"),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            episodes: self.episodes + other.episodes,
            returns: self.returns + other.returns,
        }
    }

    /// How many are allowed at one in so many seconds.
    #[must_use]
    pub fn allowed(self, per: f64) -> f64 {
        self.seconds / per
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_labelled_is_not_false() {
        let recording = Recording {
            csv: String::new(),
            names: Vec::new(),
            seconds: (0..100).map(|i| f64::from(i) * 10.0).collect(),
            columns: Vec::new(),
        };
        let truth = Truth { spans: vec![(50, 59)], ..Truth::default() };
        let event = |at: u64, since: u64, phase: &str| {
            format!(
                r#"{{"kind":"episode","mono_ms":{},"body":{{"phase":"{phase}","since_ms":{}}}}}"#,
                at * 1000,
                since * 1000
            )
        };
        let events = [
            event(300, 5, "opened"),
            event(350, 5, "updated"),
            event(550, 5, "opened"),
            event(620, 30, "opened"),
            event(480, 10, "opened"),
            event(800, 0, "reopened"),
        ];
        let calm = Calm::of(&recording, &truth, &events.join("\n"));
        assert_eq!((calm.episodes, calm.returns), (2, 1));
        assert!((calm.seconds - 890.0).abs() < 1e-9);
        assert!((calm.and(calm).allowed(89.0) - 20.0).abs() < 1e-9);
    }
}
