//! Exports in both encodings, as they should be and as they should not.

use fieldmouse_core::series::{NoData, Reading};
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { operations: 100, series: 200, window_ms: 10_000 };

struct Bench {
    intake: Intake,
    out: Readings,
    edges: Vec<String>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self {
            intake: Intake::new(&Place::default(), limits, None),
            out: Readings::default(),
            edges: Vec::new(),
        }
    }

    fn post(&mut self, signal: Signal, kind: &str, body: &[u8]) -> Response {
        self.intake.take(signal, kind, body)
    }

    #[track_caller]
    fn json(&mut self, signal: Signal, text: &str) {
        let answer = self.post(signal, JSON, text.as_bytes());
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()), "{text}");
    }

    /// What a sample then shows of series that have something to show.
    fn sample(&mut self, now: Millis) -> Vec<(String, Reading)> {
        self.out.begin();
        self.intake.tick(now, &mut self.out);
        if let Some(edges) = self.out.take_edges() {
            self.edges = edges.iter().map(|e| format!("{}>{}", e.from, e.to)).collect();
        }
        let due: Vec<_> = self.out.due().collect();
        let named =
            self.out.keys().zip(due).filter_map(|((key, _), reading)| Some((key.to_string(), reading?)));
        let mut shown: Vec<_> = named.collect();
        shown.sort_by(|a, b| a.0.cmp(&b.0));
        shown
    }

    fn told(&mut self) -> Vec<String> {
        self.out.told().map(|told| told.fact.kind.to_string()).collect()
    }
}

fn series(name: &str, value: f64) -> (String, Reading) {
    (name.to_owned(), Ok(value))
}

/// A field of protobuf that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut to = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        to.push(length as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
    [to.as_slice(), bytes].concat()
}

/// A resource of a service with one scope of these records.
fn of_service(service: &str, records: &[Vec<u8>]) -> Vec<u8> {
    let value = field(2, &field(1, service.as_bytes()));
    let attribute = [field(1, b"service.name"), value].concat();
    let records: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    field(1, &[field(1, &field(1, &attribute)), field(2, &records)].concat())
}

/// A span that took so many seconds.
fn span(name: &str, ids: [u8; 2], kind: u8, seconds: u64, code: u8) -> Vec<u8> {
    let ends = [&[0x41], (seconds * 1_000_000_000).to_le_bytes().as_slice()].concat();
    let parent = if ids[1] > 0 { field(4, &[ids[1]; 8]) } else { Vec::new() };
    let ids = [field(1, &[7; 16]), field(2, &[ids[0]; 8]), parent].concat();
    [ids, field(5, name.as_bytes()), vec![0x30, kind], ends, field(15, &[0x18, code])].concat()
}

/// The example of the protocol's own documents.
const SPAN: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":
    "my.service"}}]},"scopeSpans":[{"scope":{"name":"my.library","version":"1.0.0","attributes":[{"key":
    "my.scope.attribute","value":{"stringValue":"some scope attribute"}}]},"spans":[{"traceId":
    "5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"EEE19B7EC3C1B173","name":
    "I'm a server span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000","kind":2,
    "attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}}],"status":{"code":2}}]}]}]}"#;

#[test]
fn a_span_is_counted_by_service_and_operation() {
    let mut bench = Bench::new(LIMITS);
    bench.sample(1000);
    bench.json(Signal::Traces, SPAN);
    assert_eq!(bench.sample(2000), []);
    let count = "span.count{service.name=my.service,span.name=I'm a server span}";
    let error = "span.error{service.name=my.service,span.name=I'm a server span}";
    let later = bench.sample(11_000);
    assert!(later.contains(&series(count, 1.0)) && later.contains(&series(error, 1.0)), "{later:?}");
    let duration = |q: &str| {
        format!("span.duration{{service.name=my.service,span.name=I'm a server span,quantile={q}}}")
    };
    assert_eq!(later.len(), 5);
    for q in ["p50", "p95", "p99"] {
        let (_, value) = later.iter().find(|(name, _)| *name == duration(q)).unwrap();
        assert!((value.unwrap() - 1.0).abs() < 0.05, "{later:?}");
    }
}

#[test]
fn protobuf_says_the_same_and_the_resource_may_stand_behind() {
    let mut bench = Bench::new(LIMITS);
    let spans = [span("GET /user/1", [1, 0], 3, 1, 0), span("GET /user/2", [2, 1], 2, 1, 2)];
    let export = of_service("shop", &spans);
    assert_eq!(bench.post(Signal::Traces, PROTOBUF, &export).body, b"");
    let service = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}"#;
    let text = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"name":"GET /user/3"}}]}}],"resource":{service}}}]}}"#
    );
    bench.json(Signal::Traces, &text);
    bench.sample(1000);
    let seen = bench.sample(11_000);
    assert_eq!(seen[0], series("span.count{service.name=shop,span.name=GET /user/<*>}", 3.0));
    assert_eq!(seen[4], series("span.error{service.name=shop,span.name=GET /user/<*>}", 1.0));
}

#[test]
fn who_calls_whom_is_seen_among_batches() {
    let mut bench = Bench::new(LIMITS);
    let exports = [
        of_service("web", &[span("GET", [1, 0], 3, 1, 0)]),
        of_service("shop", &[span("GET /", [2, 1], 2, 1, 0), span("send", [3, 2], 4, 1, 0)]),
        of_service("mail", &[span("take", [4, 3], 5, 1, 0), span("inner", [5, 4], 1, 1, 0)]),
    ];
    for export in exports {
        bench.post(Signal::Traces, PROTOBUF, &export);
    }
    bench.sample(1000);
    assert_eq!(bench.edges, ["web>shop", "shop>mail"]);
    bench.json(
        Signal::Traces,
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01","spanId":"02","kind":3,"attributes":
        [{"key":"server.address","value":{"stringValue":"db.hall"}},{"key":"db.system","value":{"stringValue":"postgresql"}}]}]}]}]}"#,
    );
    bench.sample(31_000);
    assert_eq!(bench.edges, ["web>shop", "shop>mail", "unknown_service>postgresql"]);
}

#[test]
fn ten_thousand_services_in_one_batch_are_a_hundred_and_the_others() {
    let mut bench = Bench::new(LIMITS);
    let all: Vec<u8> = (0..10_000)
        .flat_map(|i| of_service(&format!("service {i}"), &[span("x", [1, 2], 2, 1, 2)]))
        .collect();
    assert!(all.len() > 500_000);
    assert_eq!(bench.post(Signal::Traces, PROTOBUF, &all).status, 200);
    bench.sample(1000);
    assert_eq!(bench.told(), ["otlp-full"]);
    let seen = bench.sample(11_000);
    assert_eq!(seen.len(), 5 * 101);
    let total: f64 =
        seen.iter().filter(|(name, _)| name.starts_with("span.count")).map(|(_, n)| n.unwrap()).sum();
    assert_eq!(total, 10_000.0, "every span is counted");
    assert!(seen.contains(&series("span.count{service.name=other,span.name=other}", 9_900.0)));
    assert_eq!(bench.told(), Vec::<String>::new(), "told once");
}

/// A number of a metric: `data` is what stands in `sum` or `gauge` beside its points.
fn number(name: &str, kind: &str, data: &str, start_s: u64, time_s: u64, value: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
        "scopeMetrics":[{{"metrics":[{{"name":"{name}","unit":"1","{kind}":{{"dataPoints":[{{{value},"startTimeUnixNano":
        "{start_s}000000000","timeUnixNano":"{time_s}000000000","attributes":[{{"key":"b","value":{{"intValue":"7"}}}},
        {{"key":"a","value":{{"boolValue":true}}}}]}}]{data}}}}}]}}]}}]}}"#
    )
}

/// Exports of one metric, each with its start, time and value, one sample after each; what was shown.
#[track_caller]
fn check(kind: &str, data: &str, points: &[(u64, u64, &str)], wanted: &[Option<f64>]) {
    let mut bench = Bench::new(LIMITS);
    let mut shown = Vec::new();
    for (start, time, value) in points {
        bench.json(Signal::Metrics, &number("queue", kind, data, *start, *time, value));
        let seen = bench.sample(1000 * time);
        assert!(seen.iter().all(|(name, _)| name == "queue{service.name=shop,a=true,b=7}"), "{seen:?}");
        shown.push(seen.first().map(|(_, reading)| reading.unwrap()));
    }
    assert_eq!(shown, wanted, "{kind} {data} {points:?}");
}

#[test]
fn numbers_become_levels_and_rates() {
    let cumulative = r#","aggregationTemporality":2,"isMonotonic":true"#;
    let delta = r#","aggregationTemporality":1,"isMonotonic":true"#;
    let (v, i) = (|n: &'static str| n, r#""asInt":"5""#);
    check("gauge", "", &[(0, 10, i), (0, 20, v(r#""asDouble":2.5"#))], &[None, Some(2.5)]);
    check(
        "sum",
        cumulative,
        &[(1, 10, r#""asInt":"100""#), (1, 20, r#""asInt":"150""#), (1, 30, r#""asInt":"150""#)],
        &[None, Some(5.0), Some(0.0)],
    );
    // Begun anew: it says since when, or it does not.
    check(
        "sum",
        cumulative,
        &[(1, 10, r#""asInt":"100""#), (15, 20, r#""asInt":"50""#)],
        &[None, Some(10.0)],
    );
    check(
        "sum",
        cumulative,
        &[(0, 10, r#""asInt":"100""#), (0, 20, r#""asInt":"50""#), (0, 30, r#""asInt":"60""#)],
        &[None, None, Some(1.0)],
    );
    check("sum", delta, &[(1, 11, i), (11, 21, r#""asDouble":20"#)], &[None, Some(2.0)]);
    check(
        "sum",
        r#","aggregationTemporality":2"#,
        &[(1, 11, i), (1, 21, r#""asInt":"-3""#)],
        &[None, Some(-3.0)],
    );
    check(
        "sum",
        r#","aggregationTemporality":1"#,
        &[(1, 11, i), (11, 21, r#""asInt":"-3""#)],
        &[None, Some(2.0)],
    );
    check("gauge", "", &[(0, 10, i), (0, 20, r#""asDouble":"NaN""#)], &[None, Some(5.0)]);
    check("gauge", "", &[(0, 10, i), (0, 20, r#""flags":1"#)], &[None, None]);
}

#[test]
fn a_histogram_is_a_rate_a_mean_and_a_quantile() {
    let mut bench = Bench::new(LIMITS);
    let point = |count: u32, sum: u32, buckets: &str| {
        format!(r#""count":"{count}","sum":{sum},"bucketCounts":{buckets},"explicitBounds":[10,20]"#)
    };
    let data = r#","aggregationTemporality":2"#;
    bench.json(
        Signal::Metrics,
        &number("t", "histogram", data, 1, 10, &point(10, 50, "[\"10\",\"0\",\"0\"]")),
    );
    assert_eq!(bench.sample(10_000), []);
    bench.json(Signal::Metrics, &number("t", "histogram", data, 1, 20, &point(30, 350, "[10,20,0]")));
    let wanted = [
        series("t.count{service.name=shop,a=true,b=7}", 2.0),
        series("t.mean{service.name=shop,a=true,b=7}", 15.0),
        series("t.p95{service.name=shop,a=true,b=7}", 19.5),
    ];
    assert_eq!(bench.sample(20_000), wanted);
    bench.json(Signal::Metrics, &number("t", "histogram", data, 1, 30, &point(30, 350, "[10,20,0]")));
    assert_eq!(bench.sample(30_000), [series("t.count{service.name=shop,a=true,b=7}", 0.0)]);
    for (kind, name) in [("exponentialHistogram", "e"), ("summary", "s")] {
        for (time, count, sum) in [(10, 10, 50), (20, 30, 350)] {
            let point = format!(r#""count":"{count}","sum":{sum}"#);
            bench.json(Signal::Metrics, &number(name, kind, data, 1, time, &point));
        }
    }
    let seen = bench.sample(40_000);
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert_eq!(seen[1], series("e.mean{service.name=shop,a=true,b=7}", 15.0));
}

#[test]
fn what_comes_every_minute_rests_between_and_is_gone_in_the_end() {
    let mut bench = Bench::new(LIMITS);
    bench.sample(59_500);
    for minute in 1..=3 {
        bench.json(Signal::Metrics, &number("q", "gauge", "", 0, 60 * minute, r#""asInt":"5""#));
        for second in 0..60 {
            let seen = bench.sample(60_000 * minute + 1000 * second);
            let is_first = second == 0 && minute > 1;
            assert_eq!(seen.len(), usize::from(is_first), "{minute} {second}: {seen:?}");
        }
    }
    assert_eq!(bench.out.keys().map(|(_, every)| every).collect::<Vec<_>>(), [60_000]);
    let name = "q{service.name=shop,a=true,b=7}".to_owned();
    for second in 0..=120 {
        let seen = bench.sample(240_000 + 1000 * second);
        let wanted = if second < 119 { vec![] } else { vec![(name.clone(), Err(NoData::Absent))] };
        assert_eq!(seen, wanted, "{second}");
    }
    bench.json(Signal::Metrics, &number("q", "gauge", "", 0, 400, r#""asInt":"6""#));
    assert_eq!(bench.sample(400_000), [(name, Ok(6.0))]);
}

#[test]
fn what_would_be_one_series_too_many_is_refused() {
    let mut bench = Bench::new(Limits { series: 2, ..LIMITS });
    let mut answers = Vec::new();
    for name in ["a", "b", "c", "a", "d"] {
        let text = number(name, "gauge", "", 0, 10, r#""asInt":"5""#);
        answers.push(String::from_utf8(bench.post(Signal::Metrics, JSON, text.as_bytes()).body).unwrap());
    }
    let is_refused: Vec<_> = answers.iter().map(|a| a.contains(r#""rejectedDataPoints":"1""#)).collect();
    assert_eq!(is_refused, [false, false, true, false, true]);
    assert!(answers[2].contains("more than 2 series"), "{}", answers[2]);
    bench.sample(11_000);
    assert_eq!(bench.told(), ["otlp-full"]);
    assert_eq!(bench.sample(70_000).len(), 2);
}

#[test]
fn names_are_short_masked_and_apart() {
    let mut bench = Bench::new(LIMITS);
    let name = "http.server.request.duration.of.all.requests.that.were.ever.served";
    for (time, id) in [(10, "41110001"), (10, "41110002"), (20, "41110001"), (20, "41110002")] {
        let text = number(name, "gauge", "", 0, time, r#""asInt":"5""#)
            .replace(r#""intValue":"7""#, &format!(r#""stringValue":"{id}""#));
        bench.json(Signal::Metrics, &text);
    }
    let seen = bench.sample(20_000);
    assert!(seen.len() == 2 && seen[0].0 != seen[1].0, "{seen:?}");
    assert!(
        seen.iter()
            .all(|(name, _)| name.len() <= 64 && name.starts_with("http.server") && !name.contains("4111"))
    );
}

#[test]
fn log_records_are_lines() {
    let mut bench = Bench::new(LIMITS);
    assert_eq!(bench.intake.save(), None);
    bench.json(
        Signal::Logs,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
        {"timeUnixNano":"1544712660300000000","severityNumber":17,"severityText":"ERROR","body":{"stringValue":"no room for 7"}},
        {"body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"1"}},{"key":"b","value":{"stringValue":"x"}}]}}},
        {"body":{"arrayValue":{"values":[{"stringValue":"x"},{"stringValue":"y"}]}}},
        {"eventName":"device.begun"},{}]}]}]}"#,
    );
    let saved = bench.intake.save().unwrap();
    let has = |words: &[u8]| saved.windows(words.len()).any(|w| w == words);
    assert!(has(b"no room for <*>") && has(b"device.begun"), "{}", String::from_utf8_lossy(&saved));
}

#[test]
fn what_is_no_export_is_refused_as_the_protocol_says() {
    let mut bench = Bench::new(LIMITS);
    let mut check = |kind: &str, body: &[u8], says: &str| {
        let answer = bench.post(Signal::Traces, kind, body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status == 400 && answer.kind == kind && text.contains(says), "{text}");
    };
    check(JSON, b"{", "no JSON");
    check(JSON, br#"{"resourceSpans":[7]}"#, "a message was expected");
    check(PROTOBUF, b"{}", "no protobuf");
    check(PROTOBUF, b"\x0a\x02\x12", "no protobuf");
    check(PROTOBUF, b"\x0a\x02\x12\x7f", "no protobuf");
    assert_eq!(bench.sample(1000), []);
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0..3_usize) {
        let mut bench = Bench::new(LIMITS);
        for kind in [JSON, PROTOBUF] {
            let status = bench.post(Signal::ALL[at], kind, &bytes).status;
            prop_assert!(status == 200 || status == 400);
        }
        bench.sample(1000);
    }

    #[test]
    fn bent_exports_are_taken_or_refused(at in 0..2000_usize, to in any::<u8>(), cut in 0..2000_usize) {
        let spans = [span("GET /user/1", [1, 0], 3, 1, 2), span("x", [2, 1], 2, 1, 2)];
        let histogram = number("t", "histogram", "", 1, 10, r#""count":"3","sum":5,"bucketCounts":[1,2],"explicitBounds":[10]"#);
        let exports = [
            (Signal::Traces, PROTOBUF, of_service("shop", &spans)),
            (Signal::Traces, JSON, SPAN.as_bytes().to_vec()),
            (Signal::Metrics, JSON, histogram.into_bytes()),
            (Signal::Logs, PROTOBUF, of_service("shop", &[field(5, &field(1, b"a line"))])),
        ];
        let mut bench = Bench::new(LIMITS);
        for (signal, kind, mut body) in exports {
            let length = body.len();
            body[at % length] = to;
            body.truncate(cut % (2 * length) + 1);
            let status = bench.post(signal, kind, &body).status;
            prop_assert!(status == 200 || status == 400);
        }
        let shown = bench.sample(1000);
        prop_assert!(shown.iter().all(|(name, _)| name.len() <= 120));
    }
}
