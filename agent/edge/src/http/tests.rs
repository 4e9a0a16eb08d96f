//! The server against clients that know no manners, over real connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const SMALL: Limits = Limits {
    body: 1000,
    bodies: 1500,
    connections: 32,
    patience: Duration::from_secs(10),
    life: Duration::from_secs(300),
};

/// A runtime on a thread of its own; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) handle: Handle,
    _until: tokio::sync::oneshot::Sender<()>,
}

impl Runtime {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (until, dropped) = tokio::sync::oneshot::channel();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(dropped));
        Self { handle, _until: until }
    }
}

/// A server that answers how long the body was, and the runtime it lives on.
fn server(listen: &Listen, limits: Limits) -> (Runtime, Server) {
    let runtime = Runtime::start();
    let handler: Handler =
        Arc::new(|r: &Request<'_>| Response::text(200, &format!("{} {} {}", r.path, r.kind, r.body.len())));
    let route = Route { method: "POST", path: "/in", kinds: &["application/json"], handler };
    let server = Server::start(&runtime.handle, listen, limits, vec![route]).unwrap();
    (runtime, server)
}

fn here() -> Listen {
    Listen::new("127.0.0.1:0", None).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The status, and all of the answer.
fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    // A connection that is broken off has said what it said.
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        text.extend_from_slice(&buffer[..n]);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    (text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0), text)
}

fn ask(server: &Server, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = connect(server);
    let head = format!("{head}\r\nHost: here\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    // A server may turn away what it has not read.
    let _broken = stream.write_all(&[head.as_bytes(), body].concat());
    answer(stream)
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(body).unwrap();
    gzip.finish().unwrap()
}

const POST: &str = "POST /in HTTP/1.1\r\nContent-Type: application/json; charset=utf-8";

#[test]
fn what_is_asked_rightly_is_answered_and_nothing_else() {
    let (_runtime, server) = server(&here(), SMALL);
    let check = |head: &str, body: &[u8], status: u16, says: &str| {
        let (got, text) = ask(&server, head, body);
        assert!(got == status && text.contains(says), "{head}: {text}");
    };
    let gzip = format!("{POST}\r\nContent-Encoding: gzip");
    check(POST, b"12345", 200, "/in application/json 5\n");
    check(POST, &[b'x'; 1000], 200, "application/json 1000\n");
    check(&gzip, &packed(&[b'x'; 1000]), 200, "application/json 1000\n");
    check("POST /in?a=b HTTP/1.1\r\nContent-Type: application/json", b"", 200, "/in application/json 0\n");
    check("POST /on HTTP/1.1", b"", 404, "");
    check("GET /in HTTP/1.1", b"", 405, "allow: POST");
    check("POST /in HTTP/1.1\r\nContent-Type: text/plain", b"", 415, "application/json");
    check("POST /in HTTP/1.1", b"", 415, "");
    check(&format!("{POST}\r\nContent-Encoding: br"), b"", 415, "accept-encoding: gzip");
    check(POST, &[b'x'; 1001], 413, "more than 1000 bytes");
    check(&gzip, &packed(&vec![0; 100 << 20]), 413, "");
    check(&gzip, &packed(&vec![0; 500_000]), 413, "when unpacked");
    check(&gzip, b"no gzip", 400, "no gzip");
    check(&gzip, &packed(&[7; 900])[..20], 400, "no gzip");
    check(&format!("{POST}\r\nX: {}", "x".repeat(40_000)), b"", 431, "");
    check(&format!("{POST}{}", "\r\nX: y".repeat(100)), b"", 431, "");
    check("nonsense", b"", 400, "");
    assert_eq!(server.counts(), Counts { taken: 4, refused: 10 });
}

#[test]
fn who_is_slow_is_not_waited_for() {
    let (_runtime, server) = server(&here(), Limits { patience: Duration::from_millis(200), ..SMALL });
    let check = |sent: &str, status: u16| {
        let mut stream = connect(&server);
        stream.write_all(sent.as_bytes()).unwrap();
        assert_eq!(answer(stream).0, status, "{sent}");
    };
    check("", 0);
    check("POST /in HTTP/1.1\r\nContent-", 0);
    check(&format!("{POST}\r\nContent-Length: 9\r\n\r\n1234"), 408);
}

#[test]
fn what_is_taken_at_once_is_bounded() {
    let (_runtime, server) = server(&here(), Limits { connections: 2, ..SMALL });
    let begin = |length: usize, sent: usize| {
        let mut stream = connect(&server);
        let head = format!("{POST}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &vec![b'x'; sent]].concat()).unwrap();
        stream
    };
    // The server has taken this before it is asked again: only then a second one does not fit.
    let mut first = begin(1000, 999);
    let mut found = (0, String::new());
    for _ in 0..1000 {
        found = answer(begin(999, 999));
        if found.0 == 429 {
            break;
        }
    }
    assert!(found.0 == 429 && found.1.contains("retry-after: 1"), "{found:?}");
    let second = begin(10, 1);
    let third = answer(begin(10, 10));
    assert!(third.0 == 503 && third.1.contains("retry-after: 1"), "{third:?}");
    drop(second);
    first.write_all(b"x").unwrap();
    assert_eq!(answer(first).0, 200);
    let mut after = (0, String::new());
    for _ in 0..1000 {
        after = answer(begin(999, 999));
        if after.0 == 200 {
            break;
        }
    }
    assert_eq!(after.0, 200, "what was given back is there again");
}

#[test]
fn a_connection_may_ask_twice_and_ends_with_the_server() {
    let (_runtime, server) = server(&here(), Limits::default());
    let mut stream = connect(&server);
    let one = format!("{POST}\r\nContent-Length: 2\r\n\r\nab");
    stream.write_all(one.repeat(2).as_bytes()).unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while seen.matches("/in application/json 2\n").count() < 2 {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    let address = server.address();
    drop(server);
    assert_eq!(stream.read(&mut buffer).unwrap_or(0), 0);
    // The port is free again.
    drop(std::net::TcpListener::bind(address).unwrap());
    let _gone = stream.shutdown(Shutdown::Both);
}

#[test]
fn who_may_speak_is_known_by_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "correct horse battery\n").unwrap();
    let (_runtime, server) = server(&Listen::new("127.0.0.1:0", Some(&file)).unwrap(), SMALL);
    let check = |header: &str, status: u16| {
        let (got, text) = ask(&server, &format!("{POST}{header}"), b"{}");
        assert_eq!(got, status, "{header}: {text}");
        assert!(status == 200 || text.contains("www-authenticate: Bearer"), "{text}");
    };
    check("\r\nAuthorization: Bearer correct horse battery", 200);
    check("\r\nAuthorization: bearer  correct horse battery", 200);
    check("\r\nAuthorization: Bearer correct horse batterz", 401);
    check("\r\nAuthorization: Basic correct horse battery", 401);
    check("", 401);
    std::fs::write(&file, "short\n").unwrap();
    let error = Token::read(&file).unwrap_err().to_string();
    assert!(
        error.contains("token") && error.contains("at least 16 bytes") && !error.contains("short"),
        "{error}"
    );
}

#[test]
fn a_wide_address_needs_a_token() {
    let token = Path::new("/etc/fieldmouse/otlp.token");
    let check =
        |listen: &str, token: Option<&Path>, wrong: Option<&str>| match (Listen::new(listen, token), wrong) {
            (Ok(_), None) => {}
            (Err(e), Some(why)) => assert!(format!("{e:#}").contains(why), "{e:#}"),
            (got, _) => panic!("{listen}: {got:?}"),
        };
    check("127.0.0.1:4318", None, None);
    check("[::1]:4318", None, None);
    check("127.8.0.1:4318", None, None);
    check("0.0.0.0:4318", Some(token), None);
    for wide in ["0.0.0.0:4318", "[::]:4318", "192.0.2.1:4318"] {
        check(wide, None, Some("set `token_file`"));
    }
    check("localhost:4318", None, Some("no address"));
    check("4318", Some(token), Some("no address"));
}
