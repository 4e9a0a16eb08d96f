//! Many devices at once: the broker is not let down, so that nobody has to send twice.

use fieldmouse_tests::bench::storm::{EVENTS, storm};
use fieldmouse_tests::broker::Mosquitto;
use fieldmouse_tests::hostile::prepare;
use fieldmouse_tests::http;
use fieldmouse_tests::program::Collector;
use fieldmouse_tests::wait::{LIMIT, wait_for};

#[test]
fn of_a_storm_mosquitto_drops_nothing_as_it_is_installed() {
    const DEVICES: u64 = 2000;
    prepare();
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let collector = Collector::start(dir.path(), &broker.url());
    wait_for(LIMIT, "the collector to be connected", || {
        (http::get(&collector.http, "/api/v1/status").ok()?["connected"] == true).then_some(())
    });
    assert_eq!(
        storm(broker.port, DEVICES).len() as u64,
        DEVICES,
        "devices whose events were all acknowledged"
    );
    let metrics = http::text(&collector.http, "/metrics").unwrap();
    let count = |name: &str| -> Option<u64> {
        let name = format!("fieldmouse_collector_{name} ");
        metrics.lines().find_map(|line| line.strip_prefix(name.as_str())?.parse().ok())
    };
    assert_eq!(count("events_stored_total"), Some(DEVICES * EVENTS));
    // A status, a birth and the events of each, and what the collector says of itself.
    let messages = count("messages_total").unwrap();
    assert!(messages > 3 * DEVICES, "{messages} of {}: the rest was dropped", 3 * DEVICES + 1);
}
