//! What systemd hears of the programs, over a socket as systemd makes it.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use fieldmouse_tests::broker::Mosquitto;
use fieldmouse_tests::free_port;
use fieldmouse_tests::program::{Agent, Collector};
use fieldmouse_tests::wait::{LIMIT, wait_for};
use rustix::process::Signal;

/// The supervisor's end of the socket.
struct Ear {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Ear {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// Everything said so far, one assignment each.
    fn listen(&mut self) -> &[String] {
        let mut buffer = [0; 4096];
        while let Ok(n) = self.socket.recv(&mut buffer) {
            self.heard.extend(String::from_utf8_lossy(&buffer[..n]).lines().map(ToOwned::to_owned));
        }
        &self.heard
    }

    fn count(&mut self, what: &str) -> usize {
        self.listen().iter().filter(|line| line.starts_with(what)).count()
    }

    fn wait(&mut self, what: &str, times: usize) {
        wait_for(LIMIT, &format!("{what}, {times} times"), || (self.count(what) >= times).then_some(()));
    }
}

#[test]
fn the_agent_tells_that_it_is_ready_lives_reloads_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let mut ear = Ear::at(&dir.path().join("notify"));
    let config =
        format!("[node]\nname = \"mouse-1\"\n[broker]\nurl = \"mqtt://127.0.0.1:{}\"\n", free_port());
    let mut agent = Agent::start_with(dir.path(), &config, |command| {
        command.env("NOTIFY_SOCKET", dir.path().join("notify")).env("WATCHDOG_USEC", "400000")
    });
    ear.wait("READY=1", 1);
    ear.wait("STATUS=not connected: ", 1);
    ear.wait("WATCHDOG=1", 5);
    agent.run.signal(Signal::HUP);
    ear.wait("RELOADING=1", 1);
    ear.wait("MONOTONIC_USEC=", 1);
    ear.wait("READY=1", 2);
    // Frozen, it says nothing.
    agent.run.signal(Signal::STOP);
    ear.listen();
    let before = ear.count("WATCHDOG=1");
    std::thread::park_timeout(Duration::from_secs(1));
    assert_eq!(ear.count("WATCHDOG=1"), before);
    agent.run.signal(Signal::CONT);
    ear.wait("WATCHDOG=1", before + 1);
    agent.run.signal(Signal::TERM);
    assert_eq!(agent.run.ended().code(), Some(0), "{}", agent.run.said());
    ear.wait("STOPPING=1", 1);
}

#[test]
fn an_abstract_socket_will_do_and_nothing_is_asked_where_there_is_none() {
    use std::os::linux::net::SocketAddrExt;
    let dir = tempfile::tempdir().unwrap();
    let name = format!("fieldmouse-test-{}", free_port());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut ear = Ear { socket, heard: Vec::new() };
    let config =
        format!("[node]\nname = \"mouse-1\"\n[broker]\nurl = \"mqtt://127.0.0.1:{}\"\n", free_port());
    let _agent =
        Agent::start_with(dir.path(), &config, |command| command.env("NOTIFY_SOCKET", format!("@{name}")));
    ear.wait("READY=1", 1);
    ear.wait("STATUS=", 1);
    assert_eq!(ear.count("WATCHDOG=1"), 0, "nobody asked for it");
}

#[test]
fn the_collector_is_ready_when_it_listens() {
    let dir = tempfile::tempdir().unwrap();
    let mut ear = Ear::at(&dir.path().join("notify"));
    let broker = Mosquitto::plain(dir.path());
    let notify = dir.path().join("notify");
    let mut collector = Collector::start_with(dir.path(), &broker.url(), "c-1", |command| {
        command.env("NOTIFY_SOCKET", &notify)
    });
    ear.wait("READY=1", 1);
    collector.run.signal(Signal::TERM);
    assert_eq!(collector.run.ended().code(), Some(0), "{}", collector.run.said());
    ear.wait("STOPPING=1", 1);
}
