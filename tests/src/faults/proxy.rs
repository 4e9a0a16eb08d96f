//! A TCP proxy that does what bad networks do: it delays, stalls, trickles, refuses, and cuts in the middle of a packet.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::wait::pause;

/// How bytes get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At once.
    Pass,
    /// Each piece so much later.
    Delay(Duration),
    /// Not at all, though the connection stands.
    Stall,
    /// One byte a second.
    Trickle,
    /// Connections are reset as soon as they are made.
    Refuse,
}

const GLANCE: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct State {
    to: AtomicU16,
    mode: Mutex<Mode>,
    /// Bytes after which the next connection that carries something is reset.
    cut_after: Mutex<Option<usize>>,
    links: Mutex<Vec<Arc<AtomicBool>>>,
    over: AtomicBool,
}

/// The proxy, as long as this value lives.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// A proxy in front of a port of the loopback.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = Arc::new(State {
            to: AtomicU16::new(port),
            mode: Mutex::new(Mode::Pass),
            cut_after: Mutex::new(None),
            links: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let proxy = Self { port: listener.local_addr().unwrap().port(), state: state.clone() };
        std::thread::spawn(move || accept(&listener, &state));
        proxy
    }

    /// From now on bytes get through so, also those of connections that stand.
    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    /// Resets every connection that stands.
    pub fn cut(&self) {
        for link in self.state.links.lock().unwrap().drain(..) {
            link.store(true, Ordering::Relaxed);
        }
    }

    /// Resets the connection that next carries something, after so many bytes more.
    pub fn cut_after(&self, bytes: usize) {
        *self.state.cut_after.lock().unwrap() = Some(bytes);
    }

    /// No fault any more.
    pub fn heal(&self) {
        self.set(Mode::Pass);
        *self.state.cut_after.lock().unwrap() = None;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.cut();
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    while !state.over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((here, _)) => {
                let there = TcpStream::connect(("127.0.0.1", state.to.load(Ordering::Relaxed)));
                match there {
                    Ok(there) if state.mode() != Mode::Refuse => link(here, there, state),
                    _ => reset(&here),
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => pause(GLANCE),
            Err(e) => panic!("the proxy cannot accept: {e}"),
        }
    }
}

fn link(here: TcpStream, there: TcpStream, state: &Arc<State>) {
    let cut = Arc::new(AtomicBool::new(false));
    let mut links = state.links.lock().unwrap();
    links.retain(|link| Arc::strong_count(link) > 1);
    links.push(cut.clone());
    for stream in [&here, &there] {
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        // So that a cut is noticed by a thread that waits for bytes.
        stream.set_read_timeout(Some(GLANCE)).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    }
    let (here2, there2) = (here.try_clone().unwrap(), there.try_clone().unwrap());
    for (from, to) in [(here, there), (there2, here2)] {
        let (state, cut) = (state.clone(), cut.clone());
        std::thread::spawn(move || {
            pump(&from, &to, &state, &cut);
            if cut.load(Ordering::Relaxed) {
                reset(&from);
                reset(&to);
            } else {
                // One side is done; the other may still have something to say. It may be gone already.
                let _gone = to.shutdown(Shutdown::Write);
            }
        });
    }
}

/// The close of this socket tells the other side that everything is lost.
fn reset(stream: &TcpStream) {
    // It may be gone already.
    let _gone = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    let _gone = stream.shutdown(Shutdown::Read);
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, state: &State, cut: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !cut.load(Ordering::Relaxed) {
        let len = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => len,
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(_) => {
                cut.store(true, Ordering::Relaxed);
                return;
            }
        };
        let mut rest = &buffer[..len];
        while !rest.is_empty() && !cut.load(Ordering::Relaxed) {
            let mode = state.mode();
            let mut now = match mode {
                Mode::Stall => {
                    pause(GLANCE);
                    continue;
                }
                Mode::Trickle => 1,
                Mode::Delay(by) => {
                    pause(by);
                    rest.len()
                }
                Mode::Pass | Mode::Refuse => rest.len(),
            };
            let ends = state.cut_after.lock().unwrap().take_if(|_| mode != Mode::Stall);
            if let Some(bytes) = ends {
                now = now.min(bytes);
            }
            if to.write_all(&rest[..now]).is_err() || ends.is_some() {
                cut.store(true, Ordering::Relaxed);
                return;
            }
            rest = &rest[now..];
            if mode == Mode::Trickle && !rest.is_empty() {
                for _ in 0..100 {
                    if cut.load(Ordering::Relaxed) || state.mode() != mode {
                        break;
                    }
                    pause(GLANCE);
                }
            }
        }
    }
}

impl State {
    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client and the server's end of its connection.
    fn pair() -> (Proxy, TcpStream, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::to(server.local_addr().unwrap().port());
        let client = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (end, _) = server.accept().unwrap();
        end.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        (proxy, client, end)
    }

    fn heard(end: &mut TcpStream, len: usize) -> String {
        let mut buffer = vec![0; len];
        end.read_exact(&mut buffer)
            .map_or_else(|e| e.kind().to_string(), |()| String::from_utf8(buffer).unwrap())
    }

    #[test]
    fn bytes_pass_stall_and_go_on() {
        let (proxy, mut client, mut end) = pair();
        client.write_all(b"cheese").unwrap();
        assert_eq!(heard(&mut end, 6), "cheese");
        end.write_all(b"mouse").unwrap();
        assert_eq!(heard(&mut client, 5), "mouse");
        proxy.set(Mode::Stall);
        client.write_all(b"ham").unwrap();
        assert!(end.read(&mut [0; 1]).is_err(), "nothing gets through");
        proxy.set(Mode::Trickle);
        assert_eq!(heard(&mut end, 1), "h");
        proxy.heal();
        assert_eq!(heard(&mut end, 2), "am");
    }

    #[test]
    fn a_cut_in_the_middle_resets_both_sides() {
        let (proxy, mut client, mut end) = pair();
        proxy.cut_after(3);
        client.write_all(b"cheese").unwrap();
        assert_eq!(heard(&mut end, 3), "che");
        assert_eq!(heard(&mut end, 1), ErrorKind::ConnectionReset.to_string());
        assert_eq!(heard(&mut client, 1), ErrorKind::ConnectionReset.to_string());
        proxy.set(Mode::Refuse);
        let mut refused = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        assert_ne!(heard(&mut refused, 1).len(), 1);
    }
}
