//! Whatever arrives: the other sources go on, memory stays within its budget, what is lost is counted and told.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fieldmouse::control::{self, Ask};
use fieldmouse_tests::program::{Agent, fieldmouse};
use fieldmouse_tests::results::say;
use fieldmouse_tests::wait::{LIMIT, wait_for, wait_until};
use fieldmouse_tests::{free_port, otlp};
use serde_json::Value;

/// Bytes of memory of its own that bad input may cost: bodies that are being taken, one that is unpacked, and what is
/// known of lines and operations.
const BUDGET: u64 = 12 << 20;
/// Another source. It is sampled every 100 ms; on a loaded machine a good deal more seldom.
const OTHER: &str = "host";
const SELDOM: Duration = Duration::from_secs(5);

/// A running agent that takes everything, and where.
struct Scene {
    dir: tempfile::TempDir,
    agent: Agent,
    otlp: u16,
    webhook: u16,
    syslog: u16,
}

impl Scene {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [otlp, webhook, syslog, broker] = [(); 4].map(|()| free_port());
        let logs = dir.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        for name in ["steady", "long", "fast", "odd", "clock", "latin"] {
            std::fs::write(logs.join(format!("{name}.log")), "a line like any other\n").unwrap();
        }
        let binary: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(logs.join("binary.log"), binary).unwrap();
        let made =
            Command::new("mkfifo").arg(logs.join("pipe.log")).status().expect("apt-get install coreutils");
        assert!(made.success());
        std::fs::create_dir(logs.join("folder.log")).unwrap();
        std::os::unix::fs::symlink("loop.log", logs.join("loop.log")).unwrap();
        let off = ["filesystem", "process", "hwmon", "journal", "package", "watch", "change"]
            .map(|source| format!("[source.{source}]\nenabled = false\n"))
            .concat();
        let config = format!(
            "[node]\nname = \"mouse-1\"\n[agent]\ntick = \"100ms\"\ndeadline = \"90ms\"\n[model]\nenabled = false\n\
             [broker]\nurl = \"mqtt://127.0.0.1:{broker}\"\n{off}[source.host]\nevery = \"100ms\"\n\
             [source.log]\nevery = \"100ms\"\nfiles = [\"{}/logs/*\"]\nfrom = \"beginning\"\n\
             [source.otlp]\nevery = \"100ms\"\nwindow = \"1s\"\nlisten = \"127.0.0.1:{otlp}\"\n\
             [source.webhook]\nlisten = \"127.0.0.1:{webhook}\"\n\
             [source.syslog]\nevery = \"100ms\"\nlisten = [\"udp://127.0.0.1:{syslog}\", \"tcp://127.0.0.1:{syslog}\"]\n",
            dir.path().display()
        );
        let agent = Agent::with(dir.path(), &config, |command| {
            command.env("FIELDMOUSE__SOURCE__OTLP__ENABLED", "true")
        });
        for port in [otlp, webhook, syslog] {
            wait_for(LIMIT, "a listener", || TcpStream::connect(("127.0.0.1", port)).ok());
        }
        Self { dir, agent, otlp, webhook, syslog }
    }

    fn write(&self, name: &str, text: &[u8]) {
        OpenOptions::new().append(true).open(self.log(name)).unwrap().write_all(text).unwrap();
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    /// What is told of a log.
    fn file(&self, name: &str) -> Value {
        let status = self.agent.status();
        let source =
            status["sources"].as_array().unwrap().iter().find(|source| source["name"] == "log").unwrap();
        let path = self.log(name).display().to_string();
        let files = source["about"]["files"].as_array().cloned().unwrap_or_default();
        files.into_iter().find(|file| file["path"] == path.as_str()).unwrap_or_default()
    }

    /// Waits until so many lines were taken of a log, all that there are.
    fn lines(&self, name: &str, lines: u64) {
        let what = format!("{lines} lines of {name}");
        wait_for(4 * LIMIT, &what, || (self.file(name)["lines"] == lines).then_some(()));
        assert_eq!(self.file(name)["lost_bytes"], 0, "{name}");
    }

    fn refused(&self, name: &str, why: &str) {
        let says = |file: &Value| file["why"].as_str().is_some_and(|is| is.contains(why));
        wait_for(LIMIT, &format!("{name}: {why}"), || says(&self.file(name)).then_some(()));
    }

    fn told(&self, words: &str) {
        wait_for(2 * LIMIT, words, || self.agent.run.said().contains(words).then_some(()));
    }

    fn ask(&self, ask: &Ask) -> Value {
        control::ask(&self.dir.path().join("agent.sock"), ask).unwrap()
    }

    fn series(&self) -> usize {
        self.ask(&Ask::Series)["series"].as_array().map_or(0, Vec::len)
    }

    /// How often the other source was sampled.
    fn other(&self) -> u64 {
        let status = self.ask(&Ask::Status);
        let found = status["sources"].as_array().unwrap().iter().find(|source| source["name"] == OTHER);
        found.and_then(|source| source["samples"].as_u64()).unwrap()
    }

    /// Bytes that are the agent's own.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.agent.run.pid())).unwrap();
        let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        1024 * own.unwrap().trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    /// Does one thing, and sees to the others meanwhile.
    fn check(&mut self, name: &str, arrive: impl FnOnce(&Self)) {
        let (calm, before) = (self.memory(), self.other());
        let (peak, is_over, is_still) =
            (AtomicU64::new(calm), AtomicBool::new(false), AtomicBool::new(false));
        let scene = &*self;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let last = scene.other();
                    let goes_on = wait_until(SELDOM, || {
                        peak.fetch_max(scene.memory(), Ordering::Relaxed);
                        scene.other() > last
                    });
                    is_still.fetch_or(!goes_on, Ordering::Relaxed);
                }
            });
            // Whatever fails in here, the watch ends.
            let over = Over(&is_over);
            arrive(scene);
            wait_for(LIMIT, "another source's next sample", || (scene.other() > before).then_some(()));
            drop(over);
        });
        let grown = peak.into_inner().saturating_sub(calm);
        let samples = self.other() - before;
        say(&format!("{name}: {grown} bytes at the most, {samples} samples of {OTHER} meanwhile"));
        assert!(grown <= BUDGET, "{name}: {grown} bytes");
        assert!(!is_still.into_inner(), "{name}: no sample of {OTHER} in {SELDOM:?}");
        self.agent.run.check_alive();
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The status of the answer to a request.
fn post(port: u16, path: &str, headers: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // A server may turn away what it has not read.
    let _broken = stream.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..n]);
    }
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

const PROTOBUF: &str = "Content-Type: application/x-protobuf";
const JSON: &str = "Content-Type: application/json";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn bad_input_costs_its_own_source_at_most() {
    const FLOOD: u64 = 300_000;
    let mut scene = Scene::start();
    scene.check("a binary file, a pipe, a folder, and what cannot be opened", |scene| {
        scene.refused("binary.log", "is binary");
        scene.refused("pipe.log", "a pipe");
        // Whoever writes to it would wait for a reader, had anybody opened it.
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        let opened = rustix::fs::open(scene.log("pipe.log"), flags, rustix::fs::Mode::empty());
        assert_eq!(opened.err(), Some(rustix::io::Errno::NXIO));
        for name in ["folder.log", "loop.log"] {
            assert_eq!(scene.file(name)["lines"].as_u64().unwrap_or(0), 0, "{name}");
        }
        scene.lines("steady.log", 1);
    });
    scene.check("a line of 100 MB", |scene| {
        let mut file = OpenOptions::new().append(true).open(scene.log("long.log")).unwrap();
        let piece = vec![b'x'; 1 << 20];
        (0..100).for_each(|_| file.write_all(&piece).unwrap());
        file.write_all(b"\nand another one\n").unwrap();
        scene.lines("long.log", 3);
    });
    scene.check("lines as fast as they can be written", |scene| {
        let line = b"INFO request 4711 of 10.0.0.7 was served in 12 ms\n";
        scene.write("fast.log", &line.repeat(usize::try_from(FLOOD).unwrap()));
        scene.write("steady.log", b"second\n");
        scene.lines("steady.log", 2);
        scene.lines("fast.log", FLOOD + 1);
    });
    scene.check("lines that are all different", |scene| {
        let words =
            |n: u64| (0..8).map(|i| char::from(b'a' + ((n >> (3 * i)) & 7) as u8)).collect::<String>();
        let line = |n: u64| format!("ERROR {} {} {}=no\n", words(n), words(n * 7), words(n * 31));
        scene.write("odd.log", (0..20_000).map(line).collect::<String>().as_bytes());
        scene.lines("odd.log", 20_001);
    });
    scene.check("a clock that jumps", |scene| {
        let years = ["1970-01-01", "9999-12-31", "2026-11-23", "0000-00-00", "2038-01-19", "1969-12-31"];
        let line = |n: usize| format!("{}T{:02}:59:60.999Z INFO tick\n", years[n % years.len()], n % 25);
        scene.write("clock.log", (0..600).map(line).collect::<String>().as_bytes());
        scene.lines("clock.log", 601);
    });
    scene.check("invalid UTF-8", |scene| {
        let line = b"ERROR \xff\xfe\xc0\xaf \xed\xa0\x80 key=\xf5\xf5 \"\xc3\":\"\xc3\x28\"\n";
        scene.write("latin.log", &line.repeat(2000));
        scene.lines("latin.log", 2001);
    });
    scene.check("a bomb in gzip beside a log", |scene| {
        std::fs::write(scene.log("steady.log.1.gz"), gzip(&vec![b'z'; 64 << 20])).unwrap();
        scene.write("steady.log", b"third\n");
        scene.lines("steady.log", 3);
    });
    scene.check("datagrams faster than they are read", |scene| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let text = [b"<14>Nov  3 04:00:00 host app: ".as_slice(), &b"x".repeat(1000)].concat();
        wait_for(LIMIT, "messages that are lost", || {
            // Who is not there yet, or has no room in its socket, hears nothing.
            (0..5000).for_each(|_| drop(socket.send_to(&text, ("127.0.0.1", scene.syslog))));
            scene.agent.run.said().contains("syslog messages lost").then_some(())
        });
    });
    scene.check("protobuf that claims to be long, deep, or nothing at all", |scene| {
        let mut deep = Vec::new();
        (0..5000).for_each(|_| deep = otlp::bytes(2, &deep));
        let long = [b"\x0a\xff\xff\xff\xff\xff\xff\xff\x7f".as_slice(), b"a"].concat();
        for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
            assert_eq!(post(scene.otlp, path, PROTOBUF, &long), 400, "{path}");
            assert_eq!(post(scene.otlp, path, PROTOBUF, &deep), 200, "{path}: nothing that is known");
            let nested = otlp::bytes(1, &otlp::bytes(2, &otlp::bytes(2, &[0xff; 9])));
            assert_eq!(post(scene.otlp, path, PROTOBUF, &nested), 400, "{path}");
            let brackets = format!("{{\"resourceSpans\":{}", "[".repeat(1 << 20));
            assert_eq!(post(scene.otlp, path, JSON, brackets.as_bytes()), 400, "{path}");
        }
    });
    scene.check("a bomb in gzip over HTTP", |scene| {
        let bomb = gzip(&vec![0; 200 << 20]);
        let headers = format!("{PROTOBUF}\r\nContent-Encoding: gzip");
        (0..4).for_each(|_| assert_eq!(post(scene.otlp, "/v1/traces", &headers, &bomb), 413));
        let headers = format!("{JSON}\r\nContent-Encoding: gzip");
        assert_eq!(post(scene.webhook, "/webhook", &headers, &bomb), 413);
    });
    scene.check("a wrong content type, a wrong path, a wrong payload", |scene| {
        assert_eq!(post(scene.otlp, "/v1/traces", "Content-Type: text/plain", b"{}"), 415);
        assert_eq!(post(scene.otlp, "/v1/traces", "Accept: a", b"{}"), 415);
        assert_eq!(post(scene.otlp, "/v2/traces", JSON, b"{}"), 404);
        assert_eq!(post(scene.webhook, "/webhook", "Content-Type: text/plain", b"{}"), 415);
        assert_eq!(post(scene.webhook, "/webhook", JSON, b"{\"job\":"), 400);
        assert_eq!(post(scene.webhook, "/webhook", JSON, &vec![b' '; 600 << 10]), 413);
    });
    scene.told("exports were turned away");
    scene.check("ten thousand services in one export", |scene| {
        let mut dice = fieldmouse_tests::hostile::dice::Dice::new(1);
        let all: Vec<u8> =
            (0..10_000).flat_map(|n| otlp::spans(&mut dice, &format!("service-{n}"), 1)).collect();
        let before = scene.series();
        assert_eq!(post(scene.otlp, "/v1/traces", PROTOBUF, &all), 200);
        scene.told("the others are counted together");
        wait_for(LIMIT, "series of operations", || (scene.series() > before).then_some(()));
        let grown = scene.series() - before;
        // Of a hundred operations, and of all others together.
        assert!(grown <= 101 * 5, "{grown} series");
    });
    scene.check("many who send a byte now and then", |scene| {
        let mut slow: Vec<TcpStream> = Vec::new();
        let begin = || {
            let mut stream = TcpStream::connect(("127.0.0.1", scene.otlp)).unwrap();
            stream.write_all(b"POST /v1/traces HTTP/1.1\r\nHost: ").unwrap();
            stream
        };
        slow.extend((0..100).map(|_| begin()));
        // Somebody who asks properly is told to come again, and gets in when patience with these is over.
        wait_for(LIMIT, "room for an export", || {
            // Those that were closed are gone.
            slow.retain_mut(|stream| stream.write_all(b"x").is_ok());
            (post(scene.otlp, "/v1/traces", JSON, b"{}") == 200).then_some(())
        });
    });
    // All that was readable was read.
    scene.write("steady.log", b"fourth\n");
    scene.lines("steady.log", 4);
}

#[test]
fn nobody_listens_to_other_machines_without_knowing_them() {
    let dir = tempfile::tempdir().unwrap();
    let broker = "[broker]\nurl = \"mqtt://127.0.0.1:1883\"\n";
    let check = |source: &str, why: &str| {
        std::fs::write(dir.path().join("c.toml"), format!("{broker}{source}\n")).unwrap();
        let ran = fieldmouse(dir.path(), &["check", "--config", "c.toml"]);
        assert_eq!(ran.code, if why.is_empty() { 0 } else { 78 }, "{source}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(why), "{source}: {}", ran.err);
    };
    for wide in ["0.0.0.0:4318", "[::]:4318", "192.0.2.1:4318"] {
        check(&format!("[source.otlp]\nlisten = \"{wide}\""), "set `token_file`");
        check(&format!("[source.webhook]\nlisten = \"{wide}\""), "set `secret_file`");
        for how in ["udp", "tcp"] {
            check(&format!("[source.syslog]\nlisten = [\"{how}://{wide}\"]"), "`allow_from`");
        }
    }
    check("[source.otlp]\nlisten = \"127.0.0.1:4318\"\n[source.webhook]\nlisten = \"[::1]:9000\"", "");
    check("[source.syslog]\nlisten = [\"udp://127.0.0.1:5514\", \"tcp://[::1]:5514\"]", "");
}
