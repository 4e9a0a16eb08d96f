//! Exports as instrumented programs make them, in both encodings.

use std::fmt::Write;

use crate::hostile::dice::Dice;

/// A field of protobuf that holds bytes.
#[must_use]
pub fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
    let mut to = vec![number << 3 | 2];
    let mut length = value.len();
    while length >= 0x80 {
        to.push(length as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
    to.extend_from_slice(value);
    to
}

/// A field of eight bytes.
#[must_use]
pub fn fixed64(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3 | 1], value.to_le_bytes().as_slice()].concat()
}

fn attribute(field: u8, key: &str, value: &str) -> Vec<u8> {
    bytes(field, &[bytes(1, key.as_bytes()), bytes(2, &bytes(1, value.as_bytes()))].concat())
}

/// An export of one service with these records: spans, metrics or log records.
#[must_use]
pub fn export(service: &str, records: &[Vec<u8>]) -> Vec<u8> {
    let records: Vec<u8> = records.iter().flat_map(|record| bytes(2, record)).collect();
    let resource = bytes(1, &attribute(1, "service.name", service));
    bytes(1, &[resource, bytes(2, &records)].concat())
}

/// What is in a span, in whichever encoding.
#[derive(Debug)]
struct Span {
    ids: [u64; 4],
    name: String,
    kind: u8,
    times: [u64; 2],
    attributes: Vec<(&'static str, String)>,
    is_error: bool,
}

const NOW: u64 = 1_795_000_000_000_000_000;

/// A span as a web service exports it: seven attributes, some paths with numbers in them.
fn span(dice: &mut Dice) -> Span {
    let number = dice.of(1, 100_000);
    let route = ["/user/{id}", "/cart/{id}", "/order/{id}/items", "/health"][dice.below(4)];
    let status = if dice.percent(2) { "500" } else { "200" };
    Span {
        ids: [dice.any(), dice.any(), dice.any(), if dice.percent(80) { dice.any() } else { 0 }],
        name: format!("{} {}", dice.pick(&["GET", "POST"]), route.replace("{id}", &number.to_string())),
        kind: dice.pick(&[1, 2, 2, 3, 5]),
        times: [NOW, NOW + dice.of(100_000, 200_000_000)],
        attributes: vec![
            ("http.request.method", "GET".into()),
            ("http.route", route.into()),
            ("http.response.status_code", status.into()),
            ("url.path", route.replace("{id}", &number.to_string())),
            ("server.address", "shop.hall".into()),
            ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)".into()),
            ("network.protocol.version", "1.1".into()),
        ],
        is_error: status == "500",
    }
}

fn protobuf(span: &Span) -> Vec<u8> {
    let id = |number: u8, parts: &[u64]| {
        bytes(number, &parts.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>())
    };
    let [high, low, own, parent] = span.ids;
    let parent = if parent > 0 { id(4, &[parent]) } else { Vec::new() };
    let mut all = [id(1, &[high, low]), id(2, &[own]), parent, bytes(5, span.name.as_bytes())].concat();
    all.extend([0x30, span.kind]);
    all.extend([fixed64(7, span.times[0]), fixed64(8, span.times[1])].concat());
    span.attributes.iter().for_each(|(key, value)| all.extend(attribute(9, key, value)));
    all.extend(bytes(15, &[0x18, if span.is_error { 2 } else { 0 }]));
    all
}

fn json(span: &Span) -> String {
    let [high, low, own, parent] = span.ids;
    let mut all = format!(
        r#"{{"traceId":"{high:016x}{low:016x}","spanId":"{own:016x}","parentSpanId":"{parent:016x}","name":"{}","kind":{},
        "startTimeUnixNano":"{}","endTimeUnixNano":"{}","attributes":["#,
        span.name, span.kind, span.times[0], span.times[1]
    );
    for (i, (key, value)) in span.attributes.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _infallible = write!(all, r#"{comma}{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    }
    let _infallible = write!(all, r#"],"status":{{"code":{}}}}}"#, if span.is_error { 2 } else { 0 });
    all
}

/// An export of so many spans as protobuf.
#[must_use]
pub fn spans(dice: &mut Dice, service: &str, count: usize) -> Vec<u8> {
    let spans: Vec<_> = (0..count).map(|_| protobuf(&span(dice))).collect();
    export(service, &spans)
}

/// The same as JSON.
#[must_use]
pub fn spans_json(dice: &mut Dice, service: &str, count: usize) -> String {
    let spans: Vec<_> = (0..count).map(|_| json(&span(dice))).collect();
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},
        "scopeSpans":[{{"scope":{{"name":"requests"}},"spans":[{}]}}]}}]}}"#,
        spans.join(",")
    )
}

/// Metrics of every kind as protobuf.
#[must_use]
pub fn metrics(dice: &mut Dice) -> Vec<u8> {
    let time = NOW + dice.of(0, 1 << 40);
    let point =
        [fixed64(2, NOW), fixed64(3, time), fixed64(4, 2.5_f64.to_bits()), attribute(7, "state", "used")]
            .concat();
    let whole = [fixed64(2, NOW), fixed64(3, time), fixed64(6, dice.of(0, 1000))].concat();
    let buckets: Vec<u8> = (0..4).flat_map(|_| dice.of(0, 9).to_le_bytes()).collect();
    let bounds: Vec<u8> = [1.0_f64, 5.0, 25.0].iter().flat_map(|b| b.to_le_bytes()).collect();
    let histogram = [
        [fixed64(2, NOW), fixed64(3, time), fixed64(4, 9), fixed64(5, 40.0_f64.to_bits())].concat(),
        [bytes(6, &buckets), bytes(7, &bounds), attribute(9, "route", "/user/{id}")].concat(),
    ]
    .concat();
    let temporality = [0x10, dice.pick(&[1, 2])];
    let named =
        |name: &str, field: u8, data: Vec<u8>| [bytes(1, name.as_bytes()), bytes(field, &data)].concat();
    let all = [
        named("memory.usage", 5, bytes(1, &point)),
        named("requests", 7, [bytes(1, &whole), temporality.to_vec(), vec![0x18, 1]].concat()),
        named("duration", 9, [bytes(1, &histogram), temporality.to_vec()].concat()),
        named("size", 10, bytes(1, &histogram)),
        named("wait", 11, bytes(1, &whole)),
    ];
    export("shop", &all)
}

/// Log records as protobuf.
#[must_use]
pub fn logs(dice: &mut Dice) -> Vec<u8> {
    let line = format!("user {} of {} has left", dice.any(), dice.pick(&["red", "blue", "green"]));
    let record = [fixed64(1, NOW), vec![0x10, 17], bytes(5, &bytes(1, line.as_bytes()))].concat();
    let map = bytes(5, &bytes(6, &attribute(1, "state", "gone")));
    export("shop", &[record, map])
}
