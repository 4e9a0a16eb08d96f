//! Golden bytes of every body at every revision that was ever shipped. A changed byte is a failed test: devices in the
//! field and messages in outboxes do not change with the code.

use std::fmt::Debug;

use fieldmouse::decode;
use fieldmouse_collector::replay::line;
use fieldmouse_core::metric;
use fieldmouse_core::series::{SeriesKey, cut};
use fieldmouse_core::wire::{
    self, Ack, AckFrom, Alarms, Ask, Beat, Birth, ClockSet, Contributor, Culprit, Detail, Edge, Episode,
    Fact, Forecast, Head, Item, Kind, Loss, Near, Piece, Spark, Status, Trouble, Without, loss, omitted,
    phase, piece, state,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.bytes().filter_map(|b| char::from(b).to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn bytes_of<T: Serialize>(body: &T) -> Vec<u8> {
    let mut to = vec![0; wire::MAX_PAYLOAD];
    let len = wire::write_body(body, &mut to).unwrap();
    to.truncate(len);
    to
}

/// Encoding gives the golden bytes, and they decode to the same value.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, golden: &str) {
    assert_eq!(decode::hex(&bytes_of(value)), decode::hex(&hex(golden)), "{value:?}");
    assert_eq!(&wire::read_body::<T>(&hex(golden)).unwrap(), value);
}

const HEAD: Head<'_> = Head { node: "press-4", epoch: 0x0123_4567_89AB_CDEF };

fn item(seq: u64, kind: Kind, severity: u8, body: &[u8]) -> Item<'_> {
    Item {
        seq,
        mono_ms: 86_400_123,
        wall_ms: Some(1_795_000_000_000),
        clock: wire::Clock::Synced as u8,
        severity,
        kind: kind as u16,
        rev: 1,
        body,
    }
}

fn message(items: &[Item<'_>]) -> Vec<u8> {
    let mut to = vec![0; wire::MAX_PAYLOAD];
    let mut len = wire::write_head(&HEAD, &mut to).unwrap();
    for item in items {
        len += wire::write_item(item, &mut to[len..]).unwrap();
    }
    to.truncate(len);
    to
}

fn status() -> Status {
    Status { state: state::LOST, version: cut("0.1.0") }
}

fn birth() -> Birth {
    Birth {
        version: cut("0.1.0"),
        platform: cut("linux/aarch64"),
        os: cut("Debian GNU/Linux 12"),
        host: cut("press-4"),
        cpus: 4,
        memory: 2_014_973_952,
        model: [0x86, 0xD7, 0x11, 0x22, 0x39, 0x07, 0x4C, 0xDD],
        model_name: cut("forecaster 1"),
        tick_ms: 1000,
        labels: cut("line=b"),
        series: 2,
    }
}

const ALARMS: Alarms =
    Alarms { budget: 1.0, period_s: 604_800, opened: 3, observed_s: 2_627_633, confident: 200 };

fn beat() -> Beat {
    Beat {
        seq: 42,
        acked: 41,
        waiting: 1,
        outbox_bytes: 4096,
        lost: 3,
        flags: 2,
        series: 212,
        no_data: 5,
        open: 1,
        uptime_s: 86_400,
        cpu_us: 4100,
        rss_kib: 9800,
        late: 7,
    }
}

fn contributor(code: u16, values: &[&str], actual: f32, share: u8) -> Contributor {
    let key = SeriesKey::new(code, values);
    Contributor { key, actual, expected: actual / 10.0, low: actual / 20.0, high: actual / 5.0, share }
}

fn episode(with_spark: bool) -> Episode {
    Episode {
        id: 17,
        phase: phase::OPENED,
        since_ms: 4000,
        lasted_ms: 3000,
        shape: 3,
        group: 3,
        score: 0.97,
        confidence: 80,
        recurred: 1,
        moved: 9,
        contributors: [
            contributor(metric::DISK_IO, &["mmcblk0", "write"], 2.1e7, 55),
            contributor(metric::DISK_IO_TIME, &["mmcblk0"], 0.98, 25),
            contributor(metric::PRESSURE, &["io", "some"], 0.61, 12),
            contributor(metric::CPU_MODE, &["iowait"], 0.7, 8),
        ]
        .into_iter()
        .collect(),
        culprit: Some(Culprit { name: cut("backup-agent"), pid: 2201, count: 1, amount: 2.0e7 }),
        model: [0x86, 0xD7, 0x11, 0x22, 0x39, 0x07, 0x4C, 0xDD],
        spark: with_spark.then(|| Spark {
            step_ms: 2000,
            onset_ms: 8000,
            low: 0.0,
            high: 2.1e7,
            points: (0..32).map(|i| if i < 28 { i % 3 } else { 250 }).collect(),
        }),
        without: None,
        near: heapless::Vec::new(),
    }
}

/// Longer than most: with what would be without its culprit.
fn episode_2(with_spark: bool) -> Episode {
    let without = Without { omitted: omitted::CULPRIT, score: 0.583, without: 0.041 };
    Episode { without: Some(without), ..episode(with_spark) }
}

fn ask() -> Ask {
    Ask { episode: 300, at: 16_384, by: cut("hall") }
}

const PIECE: Piece<'_> = Piece {
    episode: 300,
    why: piece::HERE,
    retry_s: 0,
    whole: (40_000, 0xDEAD_BEEF),
    at: 16_384,
    bytes: &[1, 2, 3],
};

fn fact() -> Fact {
    Fact::new("deployment", "web 2.4.1 is out")
}

fn trouble() -> Trouble {
    Trouble {
        source: cut("hwmon"),
        series: Some(SeriesKey::new(metric::TEMPERATURE, &["nct6775", "SYSTIN"])),
        verdict: 1,
        why: 3,
        text: cut("temp1_input: Input/output error"),
    }
}

fn forecast() -> Forecast {
    Forecast {
        key: SeriesKey::new(metric::FILESYSTEM_USED, &["/var"]),
        phase: phase::OPENED,
        limit: 1.0,
        level: 0.91,
        per_day: 0.012,
        whole: 1e11,
        expected_s: 273_600,
        early_s: 180_000,
        late_s: Some(432_000),
    }
}

const CLOCK_SET: ClockSet = ClockSet { epoch: 3, first: 1, last: 300, boot_ms: 1_795_000_000_000 };
const LOSS: Loss = Loss { first: 12, count: 30, reason: loss::FULL };

/// A fact and a loss in one message.
pub(crate) fn two_items() -> Vec<u8> {
    let (fact, loss) = (bytes_of(&fact()), bytes_of(&LOSS));
    message(&[item(41, Kind::Fact, 9, &fact), item(42, Kind::Loss, 17, &loss)])
}

#[test]
fn bodies_revision_1() {
    check(&status(), "0305302e312e30");
    check(
        &birth(),
        "05302e312e300d6c696e75782f616172636836341344656269616e20474e552f4c696e75782031320770726573732d34 \
         0480a0e8c00786d7112239074cdd0c666f72656361737465722031e807066c696e653d6202",
    );
    check(&beat(), "2a290180200302d401050180a3058420c84c07");
    check(&Ack { epoch: HEAD.epoch, seq: 41 }, "ef9bafcdf8acd1910129");
    check(
        &trouble(),
        "0568776d6f6e01640e6e6374363737353b53595354494e01031f74656d70315f696e7075743a20496e7075742f6f7574 \
         707574206572726f72",
    );
    check(&LOSS, "0c1e01");
    check(&forecast(), "33042f766172010000803fc3f5683fa69b443cb743ba51c0d910a0fe0a0180af1a");
    check(&Ack { epoch: 1, seq: 2 }, "0102");
    let from = AckFrom { ack: Ack { epoch: 1, seq: 2 }, collector: cut("hall") };
    check(&from, "01020468616c6c");
    check(&CLOCK_SET, "0301ac0280bcd9f29e34");
    check(&ask(), "ac0280800104 68616c6c");
    let golden = "ac0200 00 c0b802 effdb6f50d 808001 03010203";
    assert_eq!(decode::hex(&bytes_of(&PIECE)), decode::hex(&hex(golden)));
    assert_eq!(wire::read_body::<Piece<'_>>(&hex(golden)), Ok(PIECE));
}

/// Of an episode, in the order of its fields, but for what revision 2 appended.
const EPISODE: &str = "1101a01fb8170303ec51783f50010904280d6d6d63626c6b303b7772697465a037a04b802c004a802c8049802c804a372a07 \
     6d6d63626c6b3048e17a3f3ab4c83d3ab4483d3ab4483e190b07696f3b736f6d65f6281c3f23db793d23dbf93c23dbf9 \
     3d0c0106696f776169743333333f295c8f3d295c0f3d295c0f3e08010c6261636b75702d6167656e749911018096984b \
     86d7112239074cdd";
const SPARK: &str = "01d00fc03e00000000a037a04b200001020001020001020001020001020001020001020001020001 \
     0200fafafafa";

#[test]
fn an_episode_of_a_revision_is_one_of_those_before_and_more() {
    for (with_spark, spark) in [(false, "00"), (true, SPARK)] {
        let old = format!("{EPISODE}{spark}");
        assert_eq!(wire::read_body(&hex(&old)), Ok(episode(with_spark)), "an old agent is read");
        check(&episode(with_spark), &format!("{old}0000"));
        let rev_2 = format!("{old}01027d3f153f9eef273d");
        assert_eq!(wire::read_body(&hex(&rev_2)), Ok(episode_2(with_spark)), "an old agent is read");
        check(&episode_2(with_spark), &format!("{rev_2}00"));
        let near = Near { kind: cut("package"), before_ms: 94_000, text: cut("zlib upgraded") };
        let rev_3 = Episode { near: [near].into_iter().collect(), ..episode_2(with_spark) };
        check(&rev_3, &format!("{rev_2}01077061636b616765e0bc0b0d7a6c6962207570677261646564"));
    }
    assert_eq!(Kind::Episode.rev(), 3);
}

#[test]
fn a_fact_of_revision_2_is_one_of_revision_1_and_more() {
    let old = "0a6465706c6f796d656e74107765622032 2e342e31206973206f7574".replace(' ', "");
    assert_eq!(wire::read_body(&hex(&old)), Ok(fact()), "an old agent is read");
    check(&fact(), &format!("{old}00"));
    let detail = Detail { about: cut("web"), since_ms: 1500, count: 3, example: cut("out") };
    let rev_2 = Fact { detail: Some(detail), ..fact() };
    check(&rev_2, &format!("{old}0103776562dc0b03036f7574"));
    assert_eq!(Kind::Fact.rev(), 2);
}

#[test]
fn a_birth_names_its_series() {
    let series = [SeriesKey::new(metric::CPU_BUSY, &[]), SeriesKey::custom("tank.level")];
    let golden = "0300000a74616e6b2e6c6576656c";
    let mut body = bytes_of(&birth());
    series.iter().for_each(|key| body.extend(bytes_of(key)));
    assert_eq!(decode::hex(&body), decode::hex(&[bytes_of(&birth()), hex(golden)].concat()));
    let (read, named, edges) = wire::read_birth(1, &body).unwrap();
    assert_eq!((read, named.collect::<Vec<_>>(), edges.count()), (birth(), series.to_vec(), 0));
    // Revision 2 says at its end who calls whom.
    let edge = Edge { from: cut("web"), to: cut("shop") };
    check(&edge, "037765620473686f70");
    body.extend([bytes_of(&edge), hex("0900")].concat());
    let (read, named, edges) = wire::read_birth(2, &body).unwrap();
    assert_eq!(
        (read, named.collect::<Vec<_>>(), edges.collect::<Vec<_>>()),
        (birth(), series.to_vec(), vec![edge])
    );
    let (read, named, _) = wire::read_birth(1, &body).unwrap();
    assert_eq!(
        (read, named.collect::<Vec<_>>()),
        (birth(), series.to_vec()),
        "an old collector reads a new agent"
    );
    assert!(wire::read_birth(2, &bytes_of(&birth())).is_err(), "it ends with more than there is");
}

#[test]
fn a_beat_of_revision_2_is_one_of_revision_1_and_more() {
    check(&ALARMS, "0000803f80f52403b1b0a001c801");
    let old = bytes_of(&beat());
    let new = [old.clone(), bytes_of(&ALARMS)].concat();
    assert_eq!(wire::read_beat(1, &old), Ok((beat(), None)));
    assert_eq!(wire::read_beat(2, &new), Ok((beat(), Some(ALARMS))));
    assert_eq!(wire::read_beat(2, &old), Err(wire::DecodeError::Body));
    assert_eq!(wire::read_body::<Beat>(&new), Ok(beat()), "an old collector reads a new agent");
}

#[test]
fn a_message_of_two_items() {
    let golden = "fd010770726573732d34ef9bafcdf8acd1910129fbb899290180bcd9f29e3402090b011d0a6465706c6f796d656e7410 \
         77656220322e342e31206973206f7574002afbb899290180bcd9f29e3402110d01030c1e01";
    assert_eq!(decode::hex(&two_items()), decode::hex(&hex(golden)));
    let golden = hex(golden);
    let (head, items) = wire::read(&golden).unwrap();
    let items: Vec<Item<'_>> = items.map(Result::unwrap).collect();
    assert_eq!(head, HEAD);
    assert_eq!((items.len(), items[0].seq, items[1].seq), (2, 41, 42));
    assert_eq!(wire::read_body::<Fact>(items[0].body).unwrap(), fact());
    assert_eq!(wire::read_body::<Loss>(items[1].body).unwrap(), LOSS);
}

/// A message of every kind.
fn all() -> Vec<Vec<u8>> {
    let mut named = bytes_of(&birth());
    named.extend(bytes_of(&SeriesKey::custom("tank.level")));
    let bodies = [
        (Kind::Status, bytes_of(&status())),
        (Kind::Birth, named),
        (Kind::Beat, bytes_of(&beat())),
        (Kind::Ack, bytes_of(&Ack { epoch: 1, seq: 2 })),
        (Kind::Ask, bytes_of(&ask())),
        (Kind::Piece, bytes_of(&PIECE)),
        (Kind::ClockSet, bytes_of(&CLOCK_SET)),
        (Kind::Episode, bytes_of(&episode_2(true))),
        (Kind::Fact, bytes_of(&fact())),
        (Kind::Trouble, bytes_of(&trouble())),
        (Kind::Loss, bytes_of(&LOSS)),
        (Kind::Forecast, bytes_of(&forecast())),
    ];
    let mut all: Vec<_> = bodies.iter().map(|(kind, body)| message(&[item(7, *kind, 13, body)])).collect();
    all.push(two_items());
    all
}

/// Every kind in its last revision.
fn newest() -> Vec<Vec<u8>> {
    let mut named = bytes_of(&birth());
    for series in [SeriesKey::custom("tank.level"), SeriesKey::new(metric::DISK_IO, &["sda", "read"])] {
        named.extend(bytes_of(&series));
    }
    let edge = bytes_of(&Edge { from: cut("web"), to: cut("shop") });
    named.extend([edge.as_slice(), &u16::try_from(edge.len()).unwrap().to_le_bytes()].concat());
    let near = Near { kind: cut("package"), before_ms: -94_000, text: cut("zlib \"upgraded\"") };
    let long = Episode { near: [near].into_iter().collect(), score: f32::NAN, ..episode_2(true) };
    let detail = Detail { about: cut("web"), since_ms: 1500, count: 3, example: cut("out") };
    let ack = AckFrom { ack: Ack { epoch: u64::MAX, seq: 2 }, collector: cut("hall") };
    let bodies = [
        (Kind::Status, bytes_of(&status())),
        (Kind::Birth, named),
        (Kind::Beat, [bytes_of(&beat()), bytes_of(&ALARMS)].concat()),
        (Kind::Ack, bytes_of(&ack)),
        (Kind::Ask, bytes_of(&ask())),
        (Kind::Episode, bytes_of(&long)),
        (Kind::Episode, bytes_of(&episode(false))),
        (Kind::Fact, bytes_of(&fact())),
        (Kind::Fact, bytes_of(&Fact { detail: Some(detail), ..fact() })),
        (Kind::Trouble, bytes_of(&trouble())),
        (Kind::Trouble, bytes_of(&Trouble { series: None, verdict: 0, why: 0, ..trouble() })),
        (Kind::Loss, bytes_of(&LOSS)),
        (Kind::ClockSet, bytes_of(&CLOCK_SET)),
        (Kind::Forecast, bytes_of(&forecast())),
        (Kind::Forecast, bytes_of(&Forecast { late_s: None, ..forecast() })),
    ];
    bodies
        .iter()
        .map(|(kind, body)| message(&[Item { rev: kind.rev(), ..item(7, *kind, 13, body) }]))
        .collect()
}

#[test]
fn what_is_printed_is_read_again_byte_for_byte() {
    for bytes in newest() {
        let printed = decode::message(&bytes).unwrap()[0].to_string();
        let read = line::read(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
        assert_eq!(decode::hex(&read.payload), decode::hex(&bytes), "{printed}");
    }
    // Of older revisions what they say, in the newest; of what cannot be read, its bytes.
    let bent = message(&[item(7, Kind::Episode, 13, &[1, 2, 3]), item(8, Kind::Fact, 9, &[])]);
    for bytes in all().into_iter().chain([bent]) {
        for mut printed in decode::message(&bytes).unwrap() {
            if printed["kind"] == "piece" {
                assert!(line::read(&printed.to_string()).unwrap_err().starts_with("body.bytes: "));
                continue;
            }
            let read = line::read(&printed.to_string()).unwrap_or_else(|e| panic!("{e}: {printed}"));
            let mut again = decode::message(&read.payload).unwrap().remove(0);
            (printed["rev"], again["rev"]) = (0.into(), 0.into());
            assert_eq!(again, printed);
        }
    }
}

/// What arrives may be anything: it is read or refused. Bodies are read under every kind, too.
fn read_everything(bytes: &[u8]) {
    drop(decode::message(bytes));
    if let Ok((head, items)) = wire::read(bytes) {
        for item in items.flatten() {
            for kind in 0..20 {
                drop(decode::event(&head, &Item { kind, ..item }));
            }
        }
    }
}

#[test]
fn nothing_that_arrives_can_stop_the_reader() {
    for whole in all() {
        assert!(decode::message(&whole).is_ok());
        for end in 0..whole.len() {
            read_everything(&whole[..end]);
        }
        let mut bent = whole.clone();
        for bit in 0..whole.len() * 8 {
            bent[bit / 8] ^= 1 << (bit % 8);
            read_everything(&bent);
            bent[bit / 8] = whole[bit / 8];
        }
    }
}

#[test]
fn an_ordinary_event_is_small() {
    let size =
        |with_spark| message(&[item(1_000_000, Kind::Episode, 13, &bytes_of(&episode_2(with_spark)))]).len();
    let (ordinary, with_spark) = (size(false), size(true));
    println!("event.size.ordinary {ordinary} By");
    println!("event.size.with_spark {with_spark} By");
    assert!(ordinary <= 300, "{ordinary} bytes");
    let forecast = message(&[item(1_000_000, Kind::Forecast, 13, &bytes_of(&forecast()))]).len();
    println!("event.size.forecast {forecast} By");
    assert!(forecast <= 100, "{forecast} bytes");
}
