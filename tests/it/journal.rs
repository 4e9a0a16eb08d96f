//! A real systemd-journald writes, rotates and is followed by a running agent that is killed meanwhile.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fieldmouse_tests::free_port;
use fieldmouse_tests::program::{Agent, Running};
use fieldmouse_tests::results::say;
use fieldmouse_tests::wait::{LIMIT, wait_for};
use rustix::process::Signal;

const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

/// A journal daemon of its own name, whose `/run` and `/var/log/journal` are folders below `dir`.
fn journald(dir: &Path) -> Running {
    assert!(Path::new(JOURNALD).exists(), "{JOURNALD} is absent; apt-get install -y systemd");
    let script = format!(
        "mkdir -p /var/log/journal && mount --bind {0}/run /run && mount --bind {0}/journal /var/log/journal && \
         exec {JOURNALD} mouse",
        dir.display()
    );
    for folder in ["run/systemd", "journal"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let running = Running::start("systemd-journald", command);
    wait_for(LIMIT, "the socket of systemd-journald, which needs root", || {
        socket(dir).exists().then_some(())
    });
    running
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("run/systemd/journal.mouse/dev-log")
}

/// `logger` of util-linux: a line for each of these.
fn log(dir: &Path, app: &str, lines: &[String]) {
    let mut command = Command::new("logger");
    command.arg("--socket").arg(socket(dir)).args(["--tag", app, "--priority", "user.err"]);
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("logger: {e}; apt-get install bsdutils"));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), (lines.join("\n") + "\n").as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

/// The files of the journal.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries =
        |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries(&dir.join("journal")).flat_map(|machine| entries(&machine).collect::<Vec<_>>());
    found.filter(|path| path.extension().is_some_and(|e| e == "journal")).collect()
}

/// How many entries systemd's own reader finds.
fn oracle(dir: &Path) -> u64 {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--output=json", "--all"]);
    command.args(files(dir).iter().map(|file| format!("--file={}", file.display())));
    let out = command.output().unwrap_or_else(|e| panic!("journalctl: {e}; apt-get install -y systemd"));
    String::from_utf8_lossy(&out.stdout).lines().count() as u64
}

fn agent(dir: &Path) -> Agent {
    let off = ["host", "filesystem", "process", "hwmon", "log", "package", "watch", "change"]
        .map(|source| format!("[source.{source}]\nenabled = false\n"))
        .concat();
    let config = format!(
        "[node]\nname = \"mouse-1\"\n[agent]\ntick = \"100ms\"\n[model]\nenabled = false\n\
         [broker]\nurl = \"mqtt://127.0.0.1:{}\"\n{off}\
         [source.journal]\nevery = \"100ms\"\nfolders = [\"{}\"]\nfrom = \"beginning\"\n",
        free_port(),
        dir.join("journal").display()
    );
    Agent::with(dir, &config, |command| command)
}

/// Entries that the agent has taken, and those that it calls lost.
fn taken(agent: &Agent) -> (u64, u64) {
    let status = agent.status();
    let source =
        status["sources"].as_array().unwrap().iter().find(|source| source["name"] == "journal").unwrap();
    let of = |key: &str| source["about"][key].as_u64().unwrap_or(0);
    (of("lines"), of("lost_lines"))
}

#[test]
fn each_entry_of_a_live_journal_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let journald = journald(dir);
    let mut running = agent(dir);
    let lines = |from: u32, to: u32| (from..to).map(|n| format!("line {n} of a job")).collect::<Vec<_>>();
    log(dir, "job", &lines(0, 200));
    log(dir, "app", &["panic: runtime error: index out of range [5] with length 3".to_owned()]);
    wait_for(LIMIT, "a crash that is told", || {
        running.run.said().contains("log-crash: app: a panic").then_some(())
    });
    for round in 1..4 {
        // Killed, then rotated while it is away, or the other way round.
        if round % 2 == 0 {
            running.run.signal(Signal::KILL);
        }
        let before = files(dir).len();
        journald.signal(Signal::USR2);
        wait_for(LIMIT, "a rotated journal", || (files(dir).len() > before).then_some(()));
        log(dir, "job", &lines(200 * round, 200 * (round + 1)));
        if round % 2 == 1 {
            running.run.signal(Signal::KILL);
        }
        let _killed = running.run.ended();
        log(dir, "job", &["line while nobody listened".to_owned()]);
        running = agent(dir);
    }
    // What journald says of itself is in it, too.
    wait_for(LIMIT, "all entries", || (taken(&running).0 >= oracle(dir) && oracle(dir) >= 804).then_some(()));
    say(&format!(
        "{} entries in {} files, {:?} taken and lost",
        oracle(dir),
        files(dir).len(),
        taken(&running)
    ));
    assert_eq!(taken(&running), (oracle(dir), 0));
}
