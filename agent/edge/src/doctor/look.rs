//! What `doctor` looks at. Nothing is changed but for one file that is made and removed, to see whether that is possible.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use super::{Finding, Reach, Seen};
use crate::clock;
use crate::config::{self, Config};
use crate::control::{self, Ask};
use crate::disk::Memory;
use crate::link::Broker;
use crate::outbox::inspect::inspect;
use crate::outbox::{self, Outbox};
use crate::run::Start;

/// For a broker to take a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks at everything.
pub(super) fn around(file: Option<&Path>, socket: Option<&Path>) -> Seen {
    let mut seen = Seen::default();
    let config = match config::from_here(file) {
        Ok(config) => config,
        Err(e) => {
            let cure = "mend it; `fieldmouse check` tells the next mistake, if there is one";
            seen.first.push(Finding::new("the configuration is wrong", e.to_string(), cure));
            return seen;
        }
    };
    let socket = socket.unwrap_or(&config.written.agent.socket);
    seen.socket = socket.display().to_string();
    seen.status = control::ask(socket, &Ask::Status).ok();
    match Start::new(config.clone(), file.map(Path::to_owned)) {
        Ok(start) => {
            if let Some(fault) = start.model_fault() {
                let place = config::locate_here(file, fault).to_string();
                let cure = "mend the file or take the model out; until then the robust scorer judges alone";
                seen.first.push(Finding::new("a model may not run", place, cure));
            }
            seen.brokers = start.broker.brokers().iter().map(|b| (b.clone(), reach(b))).collect();
        }
        Err(e) => {
            let place = config::locate_here(file, e).to_string();
            let cure = "mend it; `fieldmouse check` tells the next mistake, if there is one";
            seen.first.push(Finding::new("the configuration cannot be used", place, cure));
        }
    }
    state(&config, seen.status.is_some(), &mut seen.first);
    seen
}

/// The state directory and, while no agent writes to it, the outbox in it.
fn state(config: &Config, is_running: bool, found: &mut Vec<Finding>) {
    let dir = &config.written.agent.state_dir;
    let probe = dir.join(".doctor");
    let user = "run this as the agent's user, as in sudo -u fieldmouse fieldmouse doctor";
    match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        // The agent knows better whether it can write.
        Err(e) if !is_running => found.push(Finding::new(
            "the state directory cannot be written",
            format!("{}: {e}", dir.display()),
            format!("make it and give it to the user of the agent; to see what the agent sees, {user}"),
        )),
        _ => {}
    }
    if let Ok(fs) = rustix::fs::statvfs(dir) {
        let (free, wanted) = (fs.f_bavail.saturating_mul(fs.f_frsize), config.written.outbox.max_bytes);
        if free < wanted {
            found.push(Finding::new(
                "the file system of the state directory is nearly full",
                format!("{}: {free} bytes free; the outbox may want {wanted}", dir.display()),
                "make room, or lower outbox.max_bytes",
            ));
        }
    }
    let dir = dir.join("outbox");
    // Of a running agent, the last bytes may just be on their way.
    if is_running {
        return;
    }
    let (mut copy, unread) = match Memory::copy_of(&dir) {
        Ok(read) => read,
        // The first start makes it.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return,
        Err(e) => {
            let what = "the outbox cannot be read";
            return found.push(Finding::new(what, format!("{}: {e}", dir.display()), user));
        }
    };
    let whole = inspect(&mut copy).is_ok_and(|i| i.is_whole()) && unread.is_empty();
    let options = outbox::Options::new(config.written.outbox.max_bytes);
    let (_, recovery) = Outbox::open(Box::new(copy), options, outbox::entropy(), clock::stamp());
    if !whole {
        found.push(Finding::new(
            "the outbox is damaged",
            format!(
                "{}: {} damaged bytes, {} events lost",
                dir.display(),
                recovery.damaged_bytes,
                recovery.lost
            ),
            format!(
                "nothing: the next start repairs it; `fieldmouse outbox check {}` tells where",
                dir.display()
            ),
        ));
    }
}

fn reach(broker: &Broker) -> Reach {
    let addresses = match (broker.host.as_str(), broker.port).to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(e) => return Reach::Nameless(e.to_string()),
    };
    let mut why = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Reach::Open,
            Err(e) => why = format!("{address}: {e}"),
        }
    }
    Reach::Closed(why)
}
