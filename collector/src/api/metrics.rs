//! `/metrics`: what Prometheus asks for.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State as Get;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::{Answer, State, totals};
use crate::counters::{COMMIT_BOUNDS, Counters};
use crate::notify::outlets::Counts;
use crate::store::Totals;

pub(super) async fn text(Get(state): Get<State>) -> Answer {
    // What is asked of the store is left out while it does not answer: an old figure would look like a new one.
    let totals = totals(&state).await.ok();
    let own = Own { quarantined: state.door.cases().len() as u64, is_member: state.instance.is_some() };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let text = exposition(&state.counters, &own, totals.as_ref());
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

/// What is known without the store.
#[derive(Debug, Default)]
struct Own {
    quarantined: u64,
    is_member: bool,
}

fn exposition(c: &Counters, own: &Own, t: Option<&Totals>) -> String {
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
    out.counter("broker_connections", "Times the broker was reached", read(&c.connections));
    out.counter("commit_failures", "Commits that failed and were tried again", read(&c.commit_failures));
    out.counter("quarantines", "Times a device was put aside because it floods", read(&c.quarantined));
    out.counter(
        "messages_held_back",
        "Messages of devices in quarantine, dropped unread",
        read(&c.held_back),
    );
    out.counter("messages_foreign", "Messages left to another member of the cluster", read(&c.foreign));
    out.told(c);
    let reasons: Vec<(&str, u64)> = c.reasons().into_iter().collect();
    out.family(
        "malformed_total",
        "counter",
        "Messages and bodies that could not be read",
        "reason",
        &reasons,
    );
    out.gauge("devices_quarantined", "Devices that flood and are not listened to", own.quarantined);
    if own.is_member {
        out.gauge("cluster_members", "Collectors that share the sites", read(&c.members));
        out.gauge("sites_held", "Sites that this collector looks after", read(&c.sites_held));
        out.gauge("sites_without", "Sites that nobody looks after at this moment", read(&c.sites_without));
    }
    if let Some(t) = t {
        out.totals(t);
    }
    out.gauge(
        "broker_connected",
        "Whether the broker has confirmed the subscriptions",
        c.connected.load(Ordering::Relaxed).into(),
    );
    out.gauge(
        "store_failing",
        "Whether the store takes or answers nothing",
        (t.is_none() || c.store_failing.load(Ordering::Relaxed)).into(),
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

    fn told(&mut self, c: &Counters) {
        let outlets = c.of_outlets();
        let mut of = |name: &str, kind: &str, help: &str, read: &dyn Fn(&Counts) -> &AtomicU64| {
            let values: Vec<(&str, u64)> =
                outlets.iter().map(|&(name, counts)| (name, read(counts).load(Ordering::Relaxed))).collect();
            if !values.is_empty() {
                self.family(name, kind, help, "outlet", &values);
            }
        };
        of("notices_sent_total", "counter", "Notices that an outlet took", &|n| &n.sent);
        of("notices_repeated_total", "counter", "Notices told again while they stand", &|n| &n.repeated);
        of("notices_failed_total", "counter", "Tries in vain", &|n| &n.failed);
        of("notices_dead_total", "counter", "Notices given up", &|n| &n.dead);
        of("notices_waiting", "gauge", "Notices that wait for an outlet", &|n| &n.waiting);
        let pages = c.pages();
        for (name, help, value) in [
            ("pages_left", "Incidents that people may be told of now, negative while in debt", pages.left),
            (
                "pages_per_period",
                "Incidents that people were told of in a period of the budget",
                pages.realised,
            ),
        ] {
            self.head(name, "gauge", help);
            self.line(format_args!("{name} {value:.2}"));
        }
        self.gauge("pages_held_back", "Open incidents that the budget holds back", pages.held_back);
    }

    fn totals(&mut self, t: &Totals) {
        let states = [("online", t.online), ("offline", t.offline), ("lost", t.lost), ("unknown", t.unknown)];
        self.family("devices", "gauge", "Devices by state", "state", &states);
        self.gauge("episodes_open", "Episodes open now", t.open_episodes);
        self.gauge("missing_numbers", "Event numbers missing below the highest seen", t.missing_numbers);
        self.gauge("lost_events", "Events declared lost, as far as the database remembers", t.lost_events);
        self.gauge("dead_letters", "Dead letters kept", t.dead_letters);
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
        let text = exposition(
            &counters,
            &Own { quarantined: 1, is_member: true },
            Some(&Totals { online: 2, ..Totals::default() }),
        );
        for wanted in [
            "# TYPE fieldmouse_collector_events_stored_total counter\nfieldmouse_collector_events_stored_total 3\n",
            "fieldmouse_collector_malformed_total{reason=\"body\"} 2\n",
            "fieldmouse_collector_devices{state=\"online\"} 2\n",
            "fieldmouse_collector_devices_quarantined 1\n",
            "fieldmouse_collector_store_failing 0\n",
            "fieldmouse_collector_commit_seconds_bucket{le=\"0.0025\"} 0\n",
            "fieldmouse_collector_commit_seconds_bucket{le=\"0.005\"} 1\n",
            "fieldmouse_collector_commit_seconds_count 1\n",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        let without = exposition(&counters, &Own::default(), None);
        assert!(without.contains("fieldmouse_collector_store_failing 1\n"), "{without}");
        assert!(!without.contains("fieldmouse_collector_devices{"), "{without}");
        let mut typed = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                typed = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(typed), "{line} stands under {typed}");
            }
        }
    }

    #[test]
    fn promtool_takes_it_without_a_word() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};

        let counters = Counters::default();
        let done = Committed { malformed: vec!["body"], stored: 3, ..Committed::default() };
        counters.committed(&done, Duration::from_millis(3));
        let own = Own { quarantined: 1, is_member: true };
        let text = exposition(&counters, &own, Some(&Totals::default()));
        let mut tool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("promtool: {e}; install it: apt-get install prometheus"));
        tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let said = tool.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && words.is_empty(), "{words}{text}");
    }
}
