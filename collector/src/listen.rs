//! Addresses of this program, and why it may not have one.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Listens at the address that this key names.
///
/// # Errors
/// What is in the way, and what helps.
pub(crate) async fn listen(key: &str, at: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(at).await.map_err(|e| {
        let fix = match e.kind() {
            ErrorKind::AddrInUse => "; another program listens there: end it, or give another port",
            ErrorKind::AddrNotAvailable => "; this machine has no such address",
            ErrorKind::PermissionDenied => "; give a port above 1023",
            _ => "",
        };
        anyhow::anyhow!("{key} {at}: {e}{fix}")
    })
}
