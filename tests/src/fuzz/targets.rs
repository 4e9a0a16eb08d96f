//! The parsers, each with seeds to begin with.

use std::path::Path;
use std::process::{Command, Stdio};

use fieldmouse::capsule::Capsule;
use fieldmouse::jobs::payload::{self, Sender};
use fieldmouse::learnt::Learnt;
use fieldmouse::logs::book::{Book, Record};
use fieldmouse::logs::journal::Journals;
use fieldmouse::logs::tail::{Begin, Kept, Quota, Tails};
use fieldmouse::otlp::{self, Intake, JSON, PROTOBUF, Signal};
use fieldmouse::sources::{KINDS, Place, Readings};
use fieldmouse_core::logs::{head, pattern, syslog};

use crate::hostile::dice::Dice;
use crate::otlp as exports;

/// Takes an input, and says how it was answered; an error if it was answered wrongly.
pub type Run = Box<dyn FnMut(&[u8]) -> Result<String, String>>;

/// A parser.
pub struct Target {
    /// As its folder in the corpus is called.
    pub name: &'static str,
    /// What is there before anything was kept.
    pub seeds: fn(&mut Dice) -> Vec<Vec<u8>>,
    /// Makes it ready.
    pub start: fn() -> Run,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All of them.
pub static TARGETS: [Target; 11] = [
    Target { name: "lines", seeds: |_| texts(&LINES), start: lines },
    Target { name: "book", seeds: books, start: book },
    Target { name: "syslog", seeds: |_| texts(&SYSLOG), start: syslogs },
    Target { name: "pattern", seeds: |_| texts(&PATTERNS), start: patterns },
    Target { name: "log", seeds: |_| texts(&LOGS), start: logs },
    Target { name: "journal", seeds: |_| journals_of(&[true, false]), start: journals },
    Target { name: "otlp", seeds: exported, start: exports_taken },
    Target { name: "webhook", seeds: |_| texts(&PAYLOADS), start: webhooks },
    Target { name: "package", seeds: |_| texts(&PACKAGES), start: packages },
    Target { name: "capsule", seeds: |_| vec![b"FMCAP\x001\x01\x01\0\0\0abcd\0".to_vec()], start: capsules },
    Target { name: "learnt", seeds: |_| vec![vec![0; 64]], start: learnt },
];

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

const LINES: [&str; 8] = [
    "Accepted password for root from 10.2.3.4 port 22 ssh2\nFailed password for invalid user\n",
    "2026-11-23T04:00:00Z ERROR [main] c.e.Shop - order 4711 failed in 12.5 ms user=ann site=berlin\n",
    "{\"level\":\"error\",\"msg\":\"no space\",\"api_key\":\"horse\",\"status\":503}\n",
    "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:7 +0x1d\n",
    "key -----BEGIN EC PRIVATE KEY-----\nabcd\n-----END EC PRIVATE KEY-----\n",
    "\u{1b}[31mWARN\u{1b}[0m https://a:b@c.example/d?token=e fe80::1 00:11:22:33:44:55 C:\\temp\\x\n",
    "Traceback (most recent call last):\n  File \"a.py\", line 7, in <module>\nValueError: no\n",
    "[a, b, c] (x) \"\" '' ***** ..... 12 MB NaN null Jun 3 AM UTC\n",
];

/// Masking, the miner and what is made of them, line by line.
fn lines() -> Run {
    let mut book = Book::new("log", &Place::default(), None);
    let (mut out, mut now) = (Readings::default(), 0);
    Box::new(move |input| {
        for text in input.split(|b| *b == b'\n') {
            let found = head::parse(text);
            let stream = found.program.unwrap_or("app");
            book.take(&Record { stream, severity: None, text: found.text, wall_ms: found.wall_ms });
        }
        now += 1000;
        out.begin();
        book.tick(now, &mut out);
        if book.bytes() > 3 << 20 {
            return Err(format!("{} bytes", book.bytes()));
        }
        let told: Vec<_> = out.told().map(|told| format!("{} {}", told.severity, told.fact.kind)).collect();
        let mut line = fieldmouse_core::logs::line::Line::default();
        fieldmouse_core::logs::mask::Masker::default().mask(input, &mut line);
        let values = line.words().iter().filter(|word| word.is_value()).count();
        Ok(format!("{told:?} {} {values} {}", line.words().len() / 8, line.is_cut()))
    })
}

fn books(_: &mut Dice) -> Vec<Vec<u8>> {
    let mut book = Book::new("log", &Place::default(), None);
    for text in LINES.iter().flat_map(|lines| lines.split('\n')) {
        book.take(&Record { stream: "app", severity: None, text: text.as_bytes(), wall_ms: None });
    }
    vec![book.save(), Vec::new()]
}

/// What a book knew, as a file may hold it: damage is refused, whatever the checksum says.
fn book() -> Run {
    Box::new(|input| {
        let mut out = Readings::default();
        let mut answers = Vec::new();
        let mut sound = input.to_vec();
        if let Some((head, body)) = sound.split_at_mut_checked(8) {
            head[4..].copy_from_slice(&flate2_sum(body).to_le_bytes());
        }
        for bytes in [input, &sound] {
            let mut book = Book::new("log", &Place::default(), Some(bytes));
            for now in [1000, 2000, 400_000] {
                book.take(&Record { stream: "app", severity: None, text: b"ERROR it failed", wall_ms: None });
                book.tick(now, &mut out);
            }
            answers.push(book.save().len() / 64);
        }
        Ok(format!(
            "{answers:?} {}",
            out.told().map(|told| format!("{} ", told.fact.kind)).collect::<String>()
        ))
    })
}

fn flate2_sum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

const SYSLOG: [&str; 5] = [
    "<165>1 2003-10-11T22:14:15.003Z host evntslog 7 ID47 [a@3 x=\"3\" y=\"a\\\"]b\"][b@3 c=\"h\"] \u{feff}An event",
    "<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed for lonvick",
    "<14>2026-11-23T04:00:00.250000+01:00 host app[1]: hello",
    "<13>1 - - - - - -",
    "<0>su: no",
];

fn syslogs() -> Run {
    Box::new(|input| {
        let m = syslog::parse(input);
        if m.text.len() > input.len() || m.app.len() > 48 || m.host.len() > 48 {
            return Err(format!("{m:?}"));
        }
        let found = head::parse(input);
        Ok(format!(
            "{:?} {} {} {:?} {} {:?} {:?}",
            m.severity,
            m.app.len(),
            m.host.len(),
            m.wall_ms.map(u64::ilog2),
            input.len() - m.text.len(),
            found.program.map(str::len),
            found.wall_ms.is_some()
        ))
    })
}

const PATTERNS: [&str; 4] = [
    "ward *\nmoved to Ward north, on",
    "contract <*>\ncontract <open>",
    "done in * ms\nDone In 7 ms",
    "x\nx",
];

/// A pattern, then lines.
fn patterns() -> Run {
    Box::new(|input| {
        let (first, rest) = input.split_at(input.iter().position(|b| *b == b'\n').unwrap_or(input.len()));
        let Ok(first) = std::str::from_utf8(first) else { return Ok("no text".to_owned()) };
        match pattern::Pattern::parse(first) {
            Err(why) => Ok(why.to_owned()),
            Ok(pattern) => Ok(format!("{:?}", pattern.capture(rest).map(|found| found.len().min(9)))),
        }
    })
}

const LOGS: [&str; 4] = [
    "one\n two\nthree\n",
    "{\"log\":\"hello \\u00fc\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-23T04:00:00.1Z\"}\n{\"log\":\"half\",\"stream\":\"stdout\"}\n{\"log\":\"done\\n\"}\n",
    "2026-11-23T04:00:00.1Z stdout P half\n2026-11-23T04:00:00.2+01:00 stderr F done\n",
    "Traceback (most recent call last):\n  File \"a.py\"\nValueError: no\n\tat a.b(c.java:7)\n",
];

/// A file that is followed, written in two pieces.
fn logs() -> Run {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    Box::new(move |input| {
        let (first, rest) = input.split_at(input.len() / 2);
        // The one before has the same name, and may have the same inode.
        let _absent = std::fs::remove_file(&path);
        std::fs::write(&path, first).map_err(|e| e.to_string())?;
        let mut tails = Tails::new(vec![path.clone()], Begin::Beginning, true, Kept::default(), 1);
        let mut found = Vec::new();
        let _kept_open = &dir;
        for (now, bytes) in [(1, Some(rest)), (2000, None), (9000, None)] {
            let take = &mut |record: &Record<'_>| found.push(record.text.len().min(9));
            tails.look(now, take);
            tails.read(now, &mut Quota::bytes(1 << 20), take);
            if let Some(bytes) = bytes {
                use std::io::Write;
                let mut file =
                    std::fs::OpenOptions::new().append(true).open(&path).map_err(|e| e.to_string())?;
                file.write_all(bytes).map_err(|e| e.to_string())?;
            }
        }
        Ok(format!("{found:?} {:?}", tails.refused().map(|(_, why)| why).collect::<Vec<_>>()))
    })
}

const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// Journals that systemd's own program wrote, compact and not.
fn journals_of(compact: &[bool]) -> Vec<Vec<u8>> {
    const WRITER: &str = "/lib/systemd/systemd-journal-remote";
    let dir = tempfile::tempdir().unwrap();
    let entry = |n: u32| {
        let more = if n == 3 { " and so on".repeat(200) } else { String::new() };
        format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={n}\n_BOOT_ID={MACHINE}\nPRIORITY=3\nUNIT=a\nMESSAGE=m{n}{more}\n\n",
            1_795_400_687_000_000 + u64::from(n)
        )
    };
    let text: String = (1..6).map(entry).collect();
    let write = |is_compact: &bool| {
        let path = dir.path().join(format!("{is_compact}.journal"));
        let mut writer = Command::new(WRITER)
            .env("SYSTEMD_JOURNAL_COMPACT", if *is_compact { "1" } else { "0" })
            .arg(format!("--output={}", path.display()))
            .args(["--split-mode=none", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{WRITER}: {e}; apt-get install -y systemd-journal-remote"));
        std::io::Write::write_all(&mut writer.stdin.take().unwrap(), text.as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
        let mut bytes = std::fs::read(path).unwrap();
        // The end of it is room for more.
        bytes.truncate(bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1));
        bytes
    };
    compact.iter().map(write).collect()
}

fn journals() -> Run {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(MACHINE);
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("system.journal");
    Box::new(move |input| {
        std::fs::write(&path, input).map_err(|e| e.to_string())?;
        let mut journals = Journals::new(vec![dir.path().to_owned()], Begin::Beginning, None);
        let mut bytes = 0;
        for now in [0, 10_000] {
            journals.look(now);
            journals.read(&mut Quota::bytes(1 << 20), &mut |record| bytes += record.text.len());
        }
        let about = journals.about();
        Ok(format!("{} {} {} {}", bytes, about["lines"], about["unreadable"], about["files"][0]["why"]))
    })
}

fn exported(dice: &mut Dice) -> Vec<Vec<u8>> {
    let with = |first: u8, body: Vec<u8>| [vec![first], body].concat();
    vec![
        with(0, exports::spans(dice, "shop", 2)),
        with(1, exports::spans_json(dice, "shop", 2).into_bytes()),
        with(2, exports::metrics(dice)),
        with(4, exports::logs(dice)),
        with(5, br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":17,"body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"7"}}]}},"attributes":[{"key":"site","value":{"stringValue":"b"}}]}]}]}]}"#.to_vec()),
        with(3, br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"q","gauge":{"dataPoints":[{"asDouble":1.5}]}}]}]}]}"#.to_vec()),
    ]
}

/// The first byte says which signal, and in which encoding.
fn exports_taken() -> Run {
    const LIMITS: otlp::Limits = otlp::Limits { operations: 20, series: 40, window_ms: 10_000 };
    let mut intake = Intake::new(&Place::default(), LIMITS, None);
    let (mut out, mut now) = (Readings::default(), 0);
    Box::new(move |input| {
        let (first, body) = input.split_first().unwrap_or((&0, &[]));
        let signal = Signal::ALL[usize::from(first / 2) % 3];
        let answer = intake.take(signal, [PROTOBUF, JSON][usize::from(first % 2)], body);
        now += 1000;
        out.begin();
        intake.tick(now, &mut out);
        out.told().for_each(drop);
        match answer.status {
            200 | 400 if out.len() <= 5 * 21 + 40 + 8 => Ok(format!(
                "{signal:?} {} {} {}",
                answer.status,
                out.len(),
                String::from_utf8_lossy(&answer.body)
            )),
            status => Err(format!("status {status}, {} series", out.len())),
        }
    })
}

const PAYLOADS: [&str; 8] = [
    r#"0{"action":"completed","workflow_run":{"id":3,"name":"B","head_branch":"m","head_sha":"ac","conclusion":"failure","run_attempt":2,"run_started_at":"2020-01-22T19:33:08Z","updated_at":"2020-01-22T19:38:20Z"},"workflow":{"name":"B"},"repository":{"full_name":"o/r"}}"#,
    r#"1{"workflow_job":{"id":2,"workflow_name":"CI","conclusion":"success","started_at":"2021-06-15T19:22:27Z","completed_at":"2021-06-15T19:22:31Z","name":"t"},"repository":{"full_name":"o/r"}}"#,
    r#"2{"deployment":{"id":1,"sha":"f9","ref":"refs/heads/main","environment":"p","created_at":"2019-05-15T15:20:41Z"},"deployment_status":{"state":"error","created_at":"2019-05-15T15:21:22Z"}}"#,
    r#"3{"action":"success","run":{"id":7,"workflow_id":"ci","prettyref":"main","commit_sha":"a","duration":1e9,"repository":{"full_name":"o/r"}}}"#,
    r#"4{"object_kind":"pipeline","object_attributes":{"id":31,"name":null,"ref":"m","sha":"b","status":"success","duration":63},"project":{"path_with_namespace":"g/t"}}"#,
    r#"4{"object_kind":"build","ref":"m","sha":"2","build_id":1,"build_name":"t","build_status":"failed","build_duration":17.5,"project_name":"g / t"}"#,
    r#"5{"name":"j","build":{"number":1,"phase":"COMPLETED","status":"FAILURE","duration":100,"scm":{"branch":"origin/m","commit":"a"}}}"#,
    r#"5{"job":"backup","status":"failed","duration":312,"id":"7","branch":"main","commit":"1a2b"}"#,
];

/// The first byte says who sends it.
fn webhooks() -> Run {
    const SENDERS: [Sender<'static>; 6] = [
        Sender::GitHub("workflow_run"),
        Sender::GitHub("workflow_job"),
        Sender::GitHub("deployment_status"),
        Sender::Gitea("action_run_success"),
        Sender::GitLab,
        Sender::Unsaid,
    ];
    Box::new(|input| {
        let (first, body) = input.split_first().unwrap_or((&0, &[]));
        match payload::parse(SENDERS[usize::from(first.wrapping_sub(b'0')) % 6], body) {
            // What it offends stands behind.
            Err(why) => Ok(why.chars().take(32).collect()),
            Ok(None) => Ok("nothing".to_owned()),
            Ok(Some(run)) => {
                let (severity, fact) = run.fact();
                let words = fact.text.split(' ').count();
                Ok(format!("{severity} {} {words} {:?} {}", fact.kind, run.status, run.seconds.is_some()))
            }
        }
    })
}

const PACKAGES: [&str; 2] = [
    "Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2.13.dfsg-1\nDescription: a\n b\n\nPackage: x\nStatus: deinstall ok config-files\nVersion: 2\n",
    "P:musl\nV:1.2.5-r0\nA:x86_64\n\nP:busybox\nV:1.36\n",
];

/// The list of packages, of each kind of package manager, before and after it is bent.
fn packages() -> Run {
    const LISTS: [&str; 3] = ["var/lib/dpkg/status", "usr/lib/opkg/status", "lib/apk/db/installed"];
    let kind = KINDS.iter().find(|kind| kind.name == "package").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    LISTS.iter().for_each(|list| std::fs::create_dir_all(dir.path().join(list).parent().unwrap()).unwrap());
    Box::new(move |input| {
        let mut answer = String::new();
        for list in LISTS {
            let path = dir.path().join(list);
            let mut source = (kind.build)(toml::Table::new(), &place).map_err(|e| e.to_string())?;
            let mut out = Readings::default();
            for (now, text) in
                [(0, PACKAGES[usize::from(list.contains("apk"))].as_bytes()), (3_600_000, input)]
            {
                write(&path, text)?;
                // The second time it has come to rest, and is read.
                for now in [now, now + 1000] {
                    answer += &format!("{} ", source.sample(now, &mut out).is_ok());
                }
            }
            let told =
                |told: fieldmouse::sources::Told| format!("{} {} ", told.fact.kind, told.fact.text.len() / 8);
            answer += &out.told().map(told).collect::<String>();
            std::fs::remove_file(&path).map_err(|e| e.to_string())?;
        }
        Ok(answer)
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}

fn capsules() -> Run {
    Box::new(|input| match Capsule::read(input) {
        Err(why) => Ok(why.to_string()),
        Ok(capsule) => {
            let ticks: usize = capsule.blocks.iter().map(|block| block.read().len()).sum();
            Ok(format!("{} {} {} {ticks}", capsule.series.len(), capsule.told.len(), capsule.blocks.len()))
        }
    })
}

fn learnt() -> Run {
    Box::new(|input| {
        let learnt = Learnt::read(input);
        Ok(format!("{} {:?}", learnt.len(), learnt.moment.is_some()))
    })
}
