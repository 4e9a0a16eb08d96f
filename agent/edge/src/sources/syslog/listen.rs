//! What listens: a task for each address, which hands messages over through a bounded inbox.
//!
//! Who sends datagrams does not wait: what finds no room is counted. A connection is read no further until there is room.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::frames::{Frames, HELD};

/// Bytes of messages that wait for a sample.
const MOST: usize = 2 << 20;
/// Connections at once, of one address.
const CONNECTIONS: usize = 64;
/// How long a message may take that has begun.
const PATIENCE: Duration = Duration::from_secs(30);
/// After an error of a socket.
const PAUSE: Duration = Duration::from_secs(1);

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Udp(SocketAddr),
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Addresses from which messages are taken: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    ip: IpAddr,
    bits: u8,
}

impl Net {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let ip: IpAddr = ip.parse().ok()?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
        Some(Self { ip, bits })
    }

    fn holds(&self, ip: IpAddr) -> bool {
        let head = |a: u128, b: u128, width: u32| {
            let rest = width - u32::from(self.bits);
            a.checked_shr(rest) == b.checked_shr(rest)
        };
        match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => head(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => head(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// What was received and not yet read.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    held: Mutex<Held>,
    room: Notify,
    allowed: Vec<Net>,
}

/// Messages, each behind its length in two bytes; and what did not get in.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    counts: Counts,
}

/// What did not get in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Messages for which there was no room.
    pub(super) lost: u64,
    /// Messages and connections from elsewhere than is allowed, and connections that were too many or too slow.
    pub(super) refused: u64,
}

impl Inbox {
    pub(super) fn new(allowed: Vec<Net>) -> Self {
        Self { allowed, ..Self::default() }
    }

    /// Puts all that waits into `to`, and says what did not get in since the last time.
    pub(super) fn take(&self, to: &mut Vec<u8>) -> Counts {
        to.clear();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut held.bytes, to);
        self.room.notify_waiters();
        std::mem::take(&mut held.counts)
    }

    /// Whether there was room.
    fn put(&self, message: &[u8]) -> bool {
        let message = &message[..message.len().min(HELD)];
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.bytes.len() + 2 + message.len() > MOST {
            return false;
        }
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_le_bytes();
        held.bytes.extend_from_slice(&length);
        held.bytes.extend_from_slice(message);
        true
    }

    fn put_or_lose(&self, message: &[u8]) {
        if !self.put(message) {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).counts.lost += 1;
        }
    }

    fn refuse(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).counts.refused += 1;
    }

    async fn put_when_there_is_room(&self, message: &[u8]) {
        loop {
            // Asked for before it is looked, so that room made in between is seen.
            let room = self.room.notified();
            if self.put(message) {
                return;
            }
            room.await;
        }
    }

    fn allows(&self, ip: IpAddr) -> bool {
        ip.to_canonical().is_loopback() || self.allowed.iter().any(|net| net.holds(ip))
    }
}

/// The messages of [`Inbox::take`].
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_at_checked(2)?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        let (message, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some(message)
    })
}

/// Listens until the handle is used to stop it.
pub(super) fn start(address: &Address, inbox: &Arc<Inbox>, on: &Handle) -> io::Result<AbortHandle> {
    let _context = on.enter();
    let inbox = inbox.clone();
    let task = match address {
        Address::Udp(at) => {
            let socket = std::net::UdpSocket::bind(at)?;
            socket.set_nonblocking(true)?;
            on.spawn(udp(UdpSocket::from_std(socket)?, inbox))
        }
        Address::Tcp(at) => {
            let listener = std::net::TcpListener::bind(at)?;
            listener.set_nonblocking(true)?;
            on.spawn(tcp(TcpListener::from_std(listener)?, inbox))
        }
        Address::Unix(path) => {
            // What an agent that was killed left behind. Somebody who listens there keeps it.
            let probe = std::os::unix::net::UnixDatagram::unbound()?;
            if probe.connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
                std::fs::remove_file(path)?;
            }
            let socket = UnixDatagram::bind(path)?;
            // As with /dev/log, every program may write to it.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
            on.spawn(unix(socket, inbox))
        }
    };
    Ok(task.abort_handle())
}

async fn udp(socket: UdpSocket, inbox: Arc<Inbox>) {
    let mut room = vec![0; HELD];
    loop {
        match socket.recv_from(&mut room).await {
            Ok((length, from)) if inbox.allows(from.ip()) => inbox.put_or_lose(&room[..length]),
            Ok(_) => inbox.refuse(),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn unix(socket: UnixDatagram, inbox: Arc<Inbox>) {
    let mut room = vec![0; HELD];
    loop {
        match socket.recv(&mut room).await {
            Ok(length) => inbox.put_or_lose(&room[..length]),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn tcp(listener: TcpListener, inbox: Arc<Inbox>) {
    // They end when this task does.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, from)) if inbox.allows(from.ip()) && connections.len() < CONNECTIONS => {
                connections.spawn(connection(stream, inbox.clone()));
            }
            Ok(_) => inbox.refuse(),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn connection(mut stream: TcpStream, inbox: Arc<Inbox>) {
    let (mut frames, mut room) = (Frames::default(), vec![0; 4096]);
    loop {
        let is_partial = frames.is_partial();
        let read = read(&mut stream, &mut frames, &mut room, &inbox);
        // Between messages it may be silent as long as it likes.
        let done = if is_partial { timeout(PATIENCE, read).await } else { Ok(read.await) };
        match done {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => return inbox.refuse(),
        }
    }
    if let Some(message) = frames.end() {
        inbox.put_when_there_is_room(message).await;
    }
}

/// Reads until a message has ended, or until one has begun where none had. `false`: the stream has ended.
async fn read(stream: &mut TcpStream, frames: &mut Frames, room: &mut [u8], inbox: &Inbox) -> bool {
    let was_partial = frames.is_partial();
    loop {
        let Ok(length @ 1..) = stream.read(room).await else { return false };
        let (mut rest, mut is_any) = (&room[..length], false);
        while let Some(message) = frames.next(&mut rest) {
            is_any = true;
            inbox.put_when_there_is_room(message).await;
        }
        if is_any || !was_partial {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_they_name() {
        let check = |net: &str, ip: &str, want: Option<bool>| {
            let held = Net::parse(net).map(|net| net.holds(ip.parse().unwrap()));
            assert_eq!(held, want, "{net} {ip}");
        };
        check("10.0.0.0/8", "10.200.3.4", Some(true));
        check("10.0.0.0/8", "11.0.0.1", Some(false));
        check("10.0.0.0/8", "::ffff:10.0.0.1", Some(true));
        check("192.0.2.7", "192.0.2.7", Some(true));
        check("192.0.2.7", "192.0.2.6", Some(false));
        check("0.0.0.0/0", "8.8.8.8", Some(true));
        check("2001:db8::/32", "2001:db8:1::1", Some(true));
        check("2001:db8::/32", "2001:db9::1", Some(false));
        check("::/0", "::1", Some(true));
        check("10.0.0.0/33", "10.0.0.1", None);
        check("ten", "10.0.0.1", None);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let inbox = Inbox::default();
        let message = [b'x'; 1000];
        let sent = 3 * MOST / message.len();
        (0..sent).for_each(|_| inbox.put_or_lose(&message));
        let mut bytes = Vec::new();
        let counts = inbox.take(&mut bytes);
        let held = messages(&bytes).inspect(|m| assert_eq!(*m, message)).count();
        assert!(bytes.len() <= MOST && held > 1000, "{held}");
        assert_eq!(counts, Counts { lost: (sent - held) as u64, refused: 0 });
        assert_eq!((inbox.take(&mut bytes), bytes.len()), (Counts::default(), 0));
    }
}
