//! Real senders of syslog, and a running agent that is told of a crash by each of them.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use fieldmouse_tests::broker::Mosquitto;
use fieldmouse_tests::ear::Ear;
use fieldmouse_tests::free_port;
use fieldmouse_tests::program::{Agent, Running};
use fieldmouse_tests::wait::{LIMIT, wait_for};

const CRASH: &str = "panic: runtime error: index out of range [5] with length 3";

/// `logger` of util-linux, with these options.
fn log(app: &str, options: &[&str]) {
    let ran =
        Command::new("logger").args(options).args(["--tag", app, "--priority", "user.err", CRASH]).output();
    let ran = ran.unwrap_or_else(|e| panic!("logger: {e}; apt-get install bsdutils"));
    assert!(ran.status.success(), "{app}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// A relay: takes what is written to `DIR/relay` and sends it on.
fn rsyslogd(dir: &Path, port: u16, how: &str) -> Running {
    let (here, conf) = (dir.display(), dir.join("rsyslog.conf"));
    let text = format!(
        "global(workDirectory=\"{here}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{here}/relay\")\n\
         *.* action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" {how})\n"
    );
    std::fs::write(&conf, text).unwrap();
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let program = std::env::split_paths(&path).map(|p| p.join("rsyslogd")).find(|p| p.exists());
    let mut command = Command::new(program.expect("rsyslogd is absent; apt-get install rsyslog"));
    command.arg("-n").arg("-f").arg(conf).arg("-i").arg(dir.join("rsyslogd.pid"));
    let running = Running::start("rsyslogd", command);
    wait_for(LIMIT, "the socket of rsyslogd", || dir.join("relay").exists().then_some(()));
    running
}

#[test]
fn crashes_are_told_whoever_sends_them() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let ear = Ear::at(broker.side_port, "ear", "fieldmouse/1/lab/mouse-1/#");
    let (port, local) = (free_port(), dir.path().join("log"));
    let config = format!(
        "[node]\nname = \"mouse-1\"\nsite = \"lab\"\n[broker]\nurl = \"{}\"\n[source.syslog]\n\
         listen = [\"udp://127.0.0.1:{port}\", \"tcp://127.0.0.1:{port}\", \"unix://{}\"]\n",
        broker.url(),
        local.display()
    );
    let _agent = Agent::start(dir.path(), &config);
    wait_for(LIMIT, "a listener", || TcpStream::connect(("127.0.0.1", port)).ok());
    wait_for(LIMIT, "a local socket", || local.exists().then_some(()));

    let (port_text, local_text) = (port.to_string(), local.display().to_string());
    let to = ["--server", "127.0.0.1", "--port", &port_text];
    let check = |app: &str| {
        let is_it = |e: &serde_json::Value| {
            e["body"]["kind"] == "log-crash" && e["body"]["text"] == format!("{app}: a panic").as_str()
        };
        ear.wait(LIMIT, "event", app, is_it);
    };
    log("udp-old", &[&to[..], &["--udp", "--rfc3164"]].concat());
    log("udp-new", &[&to[..], &["--udp", "--rfc5424"]].concat());
    log("tcp-lines", &[&to[..], &["--tcp", "--rfc5424"]].concat());
    log("tcp-counted", &[&to[..], &["--tcp", "--rfc5424", "--octet-count"]].concat());
    log("local", &["--socket", &local_text]);
    for app in ["udp-old", "udp-new", "tcp-lines", "tcp-counted", "local"] {
        check(app);
    }
    for (app, how) in [
        ("relay-udp", "protocol=\"udp\""),
        ("relay-lines", "protocol=\"tcp\" template=\"RSYSLOG_ForwardFormat\""),
        (
            "relay-counted",
            "protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\"",
        ),
    ] {
        let folder = dir.path().join(app);
        std::fs::create_dir(&folder).unwrap();
        let _relay = rsyslogd(&folder, port, how);
        log(app, &["--socket", &folder.join("relay").display().to_string()]);
        check(app);
    }
}
