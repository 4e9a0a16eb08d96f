//! `/metrics`: what Prometheus asks for.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State as Get;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::{Answer, State, ask};
use crate::counters::{COMMIT_BOUNDS, Counters};
use crate::store::Totals;

pub(super) async fn text(Get(state): Get<State>) -> Answer {
    let totals = ask(&state, |s| s.totals()).await?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let response: Response = ([(CONTENT_TYPE, kind)], exposition(&state.counters, &totals)).into_response();
    Ok(response)
}

fn exposition(c: &Counters, t: &Totals) -> String {
    let mut out = Exposition(String::with_capacity(4096));
    let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
    out.counter("messages", "MQTT messages taken in", read(&c.messages));
    out.counter("events_stored", "Events stored", read(&c.stored));
    out.counter("events_duplicate", "Events that were stored before", read(&c.duplicates));
    out.counter("events_refused", "Events left to come again because of too many gaps", read(&c.refused));
    out.counter("events_lost", "Events newly declared lost", read(&c.lost));
    out.counter(
        "events_newer",
        "Events of kinds or revisions unknown to this version, kept raw",
        read(&c.newer),
    );
    out.counter("wills_stale", "Last wills of an epoch that is over, ignored", read(&c.stale));
    out.counter("acks", "Acknowledgements handed to the broker", read(&c.acks));
    out.counter("acks_dropped", "Acknowledgements dropped for want of room", read(&c.acks_dropped));
    out.counter("broker_connections", "Times the broker was reached", read(&c.connections));
    out.counter("commit_failures", "Commits that failed and were tried again", read(&c.commit_failures));
    let reasons: Vec<(&str, u64)> = c.malformed().into_iter().collect();
    out.family(
        "malformed_total",
        "counter",
        "Messages and bodies that could not be read",
        "reason",
        &reasons,
    );
    let states = [("online", t.online), ("offline", t.offline), ("lost", t.lost), ("unknown", t.unknown)];
    out.family("devices", "gauge", "Devices by state", "state", &states);
    out.gauge("episodes_open", "Episodes open now", t.open_episodes);
    out.gauge("missing_numbers", "Event numbers missing below the highest seen", t.missing_numbers);
    out.gauge("lost_events", "Events declared lost, as far as the database remembers", t.lost_events);
    out.gauge("dead_letters", "Dead letters kept", t.dead_letters);
    out.gauge(
        "broker_connected",
        "Whether the broker has confirmed the subscriptions",
        c.connected.load(Ordering::Relaxed).into(),
    );
    out.gauge(
        "store_failing",
        "Whether the last commit failed and is being tried again",
        c.store_failing.load(Ordering::Relaxed).into(),
    );
    out.commits(c);
    out.0
}

struct Exposition(String);

impl Exposition {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _infallible = writeln!(self.0, "fieldmouse_collector_{line}");
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = writeln!(
            self.0,
            "# HELP fieldmouse_collector_{name} {help}.\n# TYPE fieldmouse_collector_{name} {kind}"
        );
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("{name}_total");
        self.head(&name, "counter", help);
        self.line(format_args!("{name} {value}"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    // Label values are words of this program: nothing in them needs escaping.
    fn family(&mut self, name: &str, kind: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.head(name, kind, help);
        for (word, value) in values {
            self.line(format_args!("{name}{{{label}=\"{word}\"}} {value}"));
        }
    }

    fn commits(&mut self, c: &Counters) {
        let commits = c.commits();
        self.head("commit_seconds", "histogram", "Duration of database commits");
        for (bound, n) in COMMIT_BOUNDS.iter().zip(commits.buckets) {
            self.line(format_args!("commit_seconds_bucket{{le=\"{bound}\"}} {n}"));
        }
        self.line(format_args!("commit_seconds_bucket{{le=\"+Inf\"}} {}", commits.count));
        self.line(format_args!("commit_seconds_sum {}", commits.seconds));
        self.line(format_args!("commit_seconds_count {}", commits.count));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Committed;

    #[test]
    fn every_sample_has_its_help_and_type() {
        let counters = Counters::default();
        let done = Committed { malformed: vec!["body", "body", "item"], stored: 3, ..Committed::default() };
        counters.committed(&done, Duration::from_millis(3));
        let text = exposition(&counters, &Totals { online: 2, ..Totals::default() });
        for wanted in [
            "# TYPE fieldmouse_collector_events_stored_total counter\nfieldmouse_collector_events_stored_total 3\n",
            "fieldmouse_collector_malformed_total{reason=\"body\"} 2\n",
            "fieldmouse_collector_devices{state=\"online\"} 2\n",
            "fieldmouse_collector_commit_seconds_bucket{le=\"0.0025\"} 0\n",
            "fieldmouse_collector_commit_seconds_bucket{le=\"0.005\"} 1\n",
            "fieldmouse_collector_commit_seconds_count 1\n",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        let mut typed = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                typed = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(typed), "{line} stands under {typed}");
            }
        }
    }
}
