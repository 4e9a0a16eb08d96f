//! What systemd is told: that the agent is ready, how it is, and that it lives. Silent where nobody asked.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use fieldmouse_core::series::Millis;

use crate::clock;

/// The loop must have turned, and the link's task shown itself, within this time.
const FROZEN_MS: Millis = 60_000;
/// Rebuilt so often without an acknowledgement, over such a time, …
const REBUILDS: u32 = 3;
/// … a fresh process is the last thing to try.
const WEDGED_MS: Millis = 30 * 60_000;
/// How often the line of `systemctl status` is looked at, at least.
const STATUS_MS: Millis = 10_000;

/// What tells whether the agent gets on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vitals {
    /// When readings were last judged.
    pub ticked: Millis,
    /// Time between ticks.
    pub tick_ms: Millis,
    /// When the link's task last showed itself.
    pub link: Millis,
    /// Connected, a collector is online, events wait for it, and nothing was acknowledged since the first of so many
    /// rebuilds.
    pub wedged: Option<(Millis, u32)>,
}

impl Vitals {
    /// Whether it gets on; else why not.
    ///
    /// A broker that is away, or a collector that is, are no reason: the outbox waits. But if everything is there and
    /// the link, rebuilt again and again, brings nothing home for half an hour, then only what a new process does
    /// differently is left: its sockets, its resolver, its memory. Should the fault lie with the collector, a restart
    /// every half hour does no harm, for what waits is on disk.
    ///
    /// # Errors
    /// What stands still.
    pub fn check(&self, now: Millis) -> Result<(), &'static str> {
        if now.saturating_sub(self.ticked) > FROZEN_MS.max(3 * self.tick_ms) {
            return Err("readings are not judged");
        }
        if now.saturating_sub(self.link) > FROZEN_MS {
            return Err("the link's task does not answer");
        }
        match self.wedged {
            Some((since, rebuilds)) if rebuilds >= REBUILDS && now.saturating_sub(since) >= WEDGED_MS => {
                Err("nothing is acknowledged, though everything is there")
            }
            _ => Ok(()),
        }
    }
}

/// The way to systemd.
#[derive(Debug)]
pub struct Supervisor {
    /// How often it wants to hear of us; half of what it allows.
    every: Option<Millis>,
    next: Millis,
    said: String,
    /// How often in a row it did not get on. Once is no proof: the machine may just have woken.
    bad: u32,
}

impl Supervisor {
    /// What the environment asks for.
    #[must_use]
    pub fn from_here() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let every = number("WATCHDOG_USEC").filter(|_| is_for_us).map(|us| (us / 2000).max(1));
        let is_wanted = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self { every, next: if is_wanted { 0 } else { Millis::MAX }, said: String::new(), bad: 0 }
    }

    /// When [`Supervisor::tend`] is wanted next; never, if there is no supervisor.
    #[must_use]
    pub fn due(&self) -> Millis {
        self.next
    }

    /// Started.
    pub fn ready(&self) {
        tell("READY=1");
    }

    /// The configuration is read again; [`Supervisor::ready`] follows.
    pub fn reloading(&self) {
        tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_us()));
    }

    /// The end begins.
    pub fn stopping(&self) {
        tell("STOPPING=1");
    }

    /// Shows that the agent lives, if it does, and how it is, if that has changed.
    pub fn tend(&mut self, now: Millis, vitals: &Vitals, status: String) {
        self.next = now + self.every.unwrap_or(STATUS_MS).min(STATUS_MS);
        let health = vitals.check(now);
        self.bad = if health.is_ok() { 0 } else { self.bad.saturating_add(1) };
        let mut status = status;
        match health {
            Err(why) if self.bad > 1 => {
                if self.bad == 2 {
                    log::error!("{why}; the supervisor is no longer told that we live");
                }
                status = format!("{why}; {status}");
            }
            _ if self.every.is_some() => tell("WATCHDOG=1"),
            _ => {}
        }
        if status != self.said {
            tell(&format!("STATUS={}", status.replace('\n', " ")));
            self.said = status;
        }
    }
}

fn tell(what: &str) {
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
    // One that does not listen is not our concern.
    if let Err(e) = sent {
        log::debug!("{}: the supervisor was not told: {e}", place.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lives_while_there_is_progress() {
        const HOUR: Millis = 3_600_000;
        let well = Vitals { ticked: 10 * HOUR, tick_ms: 1000, link: 10 * HOUR, wedged: None };
        let check =
            |what: Vitals, wanted: Result<(), &str>| assert_eq!(what.check(10 * HOUR), wanted, "{what:?}");
        check(well, Ok(()));
        check(Vitals { ticked: 10 * HOUR - 60_000, ..well }, Ok(()));
        check(Vitals { ticked: 10 * HOUR - 60_001, ..well }, Err("readings are not judged"));
        check(Vitals { ticked: 9 * HOUR, tick_ms: HOUR, ..well }, Ok(()));
        check(Vitals { link: 10 * HOUR - 60_001, ..well }, Err("the link's task does not answer"));
        check(Vitals { wedged: Some((9 * HOUR, 2)), ..well }, Ok(()));
        check(Vitals { wedged: Some((10 * HOUR - WEDGED_MS + 1, 9)), ..well }, Ok(()));
        let wedged = Err("nothing is acknowledged, though everything is there");
        check(Vitals { wedged: Some((10 * HOUR - WEDGED_MS, 3)), ..well }, wedged);
    }
}
