//! What systemd is told, if it started us: that the collector is ready, and that it stops.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says this to the supervisor; without one it does nothing.
pub(crate) fn tell(what: &str) {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return };
    // A name that begins with @ stands in no folder.
    let address = match place.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&place),
    };
    let sent = address.and_then(|to| {
        let socket = UnixDatagram::unbound()?;
        // A supervisor that does not read must not hold us up.
        socket.set_nonblocking(true)?;
        socket.send_to_addr(what.as_bytes(), &to)
    });
    if let Err(e) = sent {
        log::debug!("{}: the supervisor was not told: {e}", place.display());
    }
}
