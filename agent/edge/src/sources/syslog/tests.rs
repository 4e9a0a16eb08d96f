use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::*;

/// A port that nobody has.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn build(keys: &str, place: &Place) -> anyhow::Result<Box<dyn Source>> {
    (KIND.build)(keys.parse().unwrap(), place)
}

#[test]
fn what_cannot_be_listened_to_is_refused() {
    let check = |keys: &str, want: &str| {
        let said = build(keys, &Place::default()).err().map(|e| format!("{e:#}")).unwrap_or_default();
        assert!(said.contains(want) && said.is_empty() == want.is_empty(), "{keys}: {said}");
    };
    check("", "");
    check("listen = ['udp://127.0.0.1:5514', 'tcp://[::1]:5514', 'unix:///run/fieldmouse/log']", "");
    check("listen = ['udp://0.0.0.0:514']", "syslog has no authentication; name who may send in `allow_from`");
    check("listen = ['tcp://192.0.2.1:514']\nallow_from = ['192.0.2.0/24']", "");
    check("listen = ['tcp://localhost:514']", "`localhost:514` is no address with a port");
    check("listen = ['tls://127.0.0.1:6514']", "`tls://127.0.0.1:6514` is none of udp://");
    check("listen = ['unix://run/log']", "is none of");
    check("listen = ['udp://0.0.0.0:514']\nallow_from = ['all']", "`all` is no network; write it like `10.0.0.0/8`");
}

fn place(dir: &std::path::Path) -> Place {
    Place { state: Some(dir.join("state")), run: Some(dir.join("run")), ..Place::at(dir) }
}

/// A source that listens everywhere, and what it has read so far.
struct Listening {
    source: Box<dyn Source>,
    out: Readings,
    now: Millis,
    port: u16,
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Listening {
    fn new() -> Self {
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let place = place(dir.path());
        let keys = format!("listen = ['udp://127.0.0.1:{port}', 'tcp://127.0.0.1:{port}', 'unix://{}/log']", dir.path().display());
        let source = build(&keys, &place).unwrap();
        let runtime = crate::once::runtime().unwrap();
        let mut it = Self { source, out: Readings::default(), now: 0, port, dir, runtime };
        it.sample();
        it
    }

    fn sample(&mut self) {
        let Self { source, out, now, runtime, .. } = self;
        *now += 1000;
        runtime.block_on(async {
            out.begin();
            source.sample(*now, out).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        });
    }

    /// Lines of all severities.
    fn lines(&self) -> f64 {
        self.out.iter().filter_map(|(_, reading)| reading.ok()).sum()
    }

    /// Samples until there are so many lines.
    #[track_caller]
    fn wait_for(&mut self, lines: f64) {
        for _ in 0..2000 {
            if self.lines() >= lines {
                break;
            }
            self.sample();
        }
        assert_eq!(self.lines(), lines);
    }
}

#[test]
fn messages_come_in_by_every_way() {
    let mut it = Listening::new();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"<11>Nov  3 04:00:00 host app[7]: one", ("127.0.0.1", it.port)).unwrap();
    it.wait_for(1.0);
    let local = UnixDatagram::unbound().unwrap();
    local.send_to(b"<14>Nov  3 04:00:00 app[7]: two", it.dir.path().join("log")).unwrap();
    it.wait_for(2.0);
    let mut tcp = TcpStream::connect(("127.0.0.1", it.port)).unwrap();
    tcp.write_all(b"<13>three\n31 <12>1 - - app - - - four\nand more<13>fi").unwrap();
    it.wait_for(4.0);
    tcp.write_all(b"ve\n").unwrap();
    it.wait_for(5.0);
    let of = |class: &str| it.out.iter().find(|(k, _)| k.label.ends_with(class)).and_then(|(_, r)| r.ok());
    assert_eq!((of("error"), of("warn"), of("info")), (Some(1.0), Some(1.0), Some(3.0)));
}

#[test]
fn one_who_sends_slowly_or_without_end_holds_up_nobody() {
    let mut it = Listening::new();
    // A message of 100 MB, of which little is held, while another one never ends and some hold their places.
    let idle: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(("127.0.0.1", it.port)).unwrap()).collect();
    let mut slow = TcpStream::connect(("127.0.0.1", it.port)).unwrap();
    slow.write_all(b"<13>never ").unwrap();
    let port = it.port;
    let sender = std::thread::spawn(move || {
        let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let piece = vec![b'x'; 1 << 20];
        (0..100).for_each(|_| tcp.write_all(&piece).unwrap());
        tcp.write_all(b"\n<13>short\n").unwrap();
    });
    it.wait_for(2.0);
    sender.join().unwrap();
    drop((idle, slow));
    // What had begun is taken when its sender goes.
    it.wait_for(3.0);
}

#[test]
fn a_flood_by_udp_is_read_or_counted_and_told() {
    let mut it = Listening::new();
    let local = UnixDatagram::unbound().unwrap();
    let path = it.dir.path().join("log");
    local.connect(&path).unwrap();
    local.set_nonblocking(true).unwrap();
    let message = [b"<13>flood ", [b'x'; 8000].as_slice()].concat();
    // The inbox is filled while nobody samples.
    let mut sent = 0_u64;
    it.runtime.block_on(async {
        while sent < 1000 {
            match local.send(&message) {
                Ok(_) => sent += 1,
                Err(_) => tokio::task::yield_now().await,
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    });
    it.sample();
    let told: Vec<_> = it.out.told().collect();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    let lost = told.fact.detail.as_ref().map_or(0, |d| d.count);
    println!("{sent} sent, {} read, {lost} lost", it.lines());
    assert_eq!((told.fact.kind.as_str(), it.lines() as u64 + u64::from(lost)), ("lines-lost", sent));
    assert!(lost > 0);
}

#[test]
fn what_is_only_looked_at_is_not_listened_to() {
    let port = free_port();
    let keys = format!("listen = ['tcp://127.0.0.1:{port}']");
    let mut source = build(&keys, &Place::default()).unwrap();
    source.sample(0, &mut Readings::default()).unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_book_outlives_its_source_and_a_stale_socket_is_no_obstacle() {
    let mut it = Listening::new();
    let local = UnixDatagram::unbound().unwrap();
    local.send_to(b"<14>app: two", it.dir.path().join("log")).unwrap();
    it.wait_for(1.0);
    let Listening { source, dir, .. } = it;
    drop(source);
    assert!(dir.path().join("state/syslog.book").exists() && !dir.path().join("log").exists());
    let keys = format!("listen = ['unix://{}/log']", dir.path().display());
    // A socket of somebody who was killed.
    drop(UnixDatagram::bind(dir.path().join("log")).unwrap());
    let mut source = build(&keys, &place(dir.path())).unwrap();
    let runtime = crate::once::runtime().unwrap();
    runtime.block_on(async { source.sample(0, &mut Readings::default()) }).unwrap();
    local.send_to(b"<14>app: two", dir.path().join("log")).unwrap();
    // One that is in use is left alone.
    let elsewhere = Place { run: Some(dir.path().join("other")), ..place(dir.path()) };
    let mut other = build(&keys, &elsewhere).unwrap();
    let refused = runtime.block_on(async { other.sample(0, &mut Readings::default()) });
    assert!(refused.is_err_and(|e| e.to_string().contains("/log: cannot listen: ")));
}
