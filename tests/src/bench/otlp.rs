//! What exports cost: spans a second on one core, and bytes of memory on top of the export itself.
#![expect(clippy::print_stdout, reason = "the figures are what they are for")]

use fieldmouse::otlp::{Intake, JSON, Limits, PROTOBUF, Signal};
use fieldmouse::sources::{Place, Readings};

use crate::hostile::dice::Dice;
use crate::otlp;
use crate::wait::timed;

/// Spans of an export.
const SPANS: usize = 5000;
const EXPORTS: usize = 100;
const LIMITS: Limits = Limits { operations: 100, series: 200, window_ms: 10_000 };

/// Prints the figures.
pub fn main() {
    let mut dice = Dice::new(1);
    let protobuf = otlp::spans(&mut dice, "shop", SPANS);
    println!("otlp.span.protobuf {} By", protobuf.len() / SPANS);
    measure("otlp.protobuf", PROTOBUF, &protobuf);
    let json = otlp::spans_json(&mut dice, "shop", SPANS).into_bytes();
    println!("otlp.span.json {} By", json.len() / SPANS);
    measure("otlp.json", JSON, &json);
    // As many services and operations as an export may hold.
    let services: Vec<u8> =
        (0..10_000).flat_map(|i| otlp::spans(&mut dice, &format!("service {i}"), 1)).collect();
    measure("otlp.services", PROTOBUF, &services);
    // Nests, and fields without end.
    let bomb = (0..20).fold(Vec::new(), |inner, _| otlp::bytes(1, &inner.repeat(2)));
    measure_bomb("otlp.bomb.small_fields", &[0x0a, 0].repeat(2 << 20));
    measure_bomb("otlp.bomb.nest", &bomb);
}

fn measure(name: &str, kind: &str, body: &[u8]) {
    let mut intake = Intake::new(&Place::default(), LIMITS, None);
    let before = begin();
    let mut out = Readings::default();
    let ((), took) = timed(|| {
        for i in 0..EXPORTS as u64 {
            assert_eq!(intake.take(Signal::Traces, kind, body).status, 200);
            out.begin();
            intake.tick(1000 * i, &mut out);
        }
        intake.tick(1000 * EXPORTS as u64 + 10_000, &mut out);
    });
    let peak = highest().saturating_sub(before);
    let spans: f64 = out
        .iter()
        .filter(|(key, _)| key.code == fieldmouse_core::metric::SPAN_COUNT)
        .filter_map(|(_, n)| n.ok())
        .sum();
    println!("{name} {:.0} spans/s", spans / took.as_secs_f64());
    println!("{name}.memory {peak} By");
    println!("{name}.series {} series", out.len());
}

fn measure_bomb(name: &str, body: &[u8]) {
    let mut intake = Intake::new(&Place::default(), LIMITS, None);
    let before = begin();
    let (status, took) = timed(|| intake.take(Signal::Traces, PROTOBUF, body).status);
    println!("{name} {} ms for {} bytes, answered {status}", took.as_millis(), body.len());
    println!("{name}.memory {} By", highest().saturating_sub(before));
}

/// Bytes resident now; what is highest is counted from here.
fn begin() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap_or_else(|e| panic!("/proc/self/clear_refs: {e}"));
    of_status("VmRSS:")
}

fn highest() -> u64 {
    of_status("VmHWM:")
}

fn of_status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
