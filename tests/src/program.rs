//! The programs of the project, run as people run them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::wait::{LIMIT, wait_for};

/// The agent's binary: `FIELDMOUSE_BIN`, or the one built beside this test.
#[must_use]
pub fn agent_binary() -> PathBuf {
    binary("fieldmouse", "FIELDMOUSE_BIN")
}

/// The collector's binary: `FIELDMOUSE_COLLECTOR_BIN`, or the one built beside this test.
#[must_use]
pub fn collector_binary() -> PathBuf {
    binary("fieldmouse-collector", "FIELDMOUSE_COLLECTOR_BIN")
}

/// A binary of the workspace: what the variable says, or the one built beside this test.
#[must_use]
pub fn binary(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    // This is target/PROFILE/deps/it-… or target/PROFILE/…; Cargo does not build other packages' programs for a test.
    let here = std::env::current_exe().unwrap();
    let folder = here.ancestors().skip(1).find(|a| !a.ends_with("deps")).unwrap();
    let path = folder.join(name);
    assert!(path.exists(), "{}: absent; build first: cargo build --workspace", path.display());
    path
}

/// A command, run to its end.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `fieldmouse` with these arguments in `dir`.
#[must_use]
pub fn fieldmouse(dir: &Path, args: &[&str]) -> Ran {
    ran(&agent_binary(), dir, args)
}

/// Runs `fieldmouse-collector` with these arguments in `dir`.
#[must_use]
pub fn collector(dir: &Path, args: &[&str]) -> Ran {
    ran(&collector_binary(), dir, args)
}

fn ran(binary: &Path, dir: &Path, args: &[&str]) -> Ran {
    let done = Command::new(binary)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
    let Output { status, stdout, stderr } = done;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// A program that runs until the test ends.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    /// Starts it.
    #[must_use]
    pub fn start(name: &'static str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let said = Arc::new(Mutex::new(String::new()));
        let (mut stderr, to) = (child.stderr.take().unwrap(), said.clone());
        // The thread ends with the program's standard error.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        });
        Self { name, child, said }
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What it holds of memory, in KiB.
    #[must_use]
    pub fn memory_kib(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Waits for its end.
    #[must_use]
    pub fn ended(&mut self) -> ExitStatus {
        let (name, child) = (self.name, &mut self.child);
        wait_for(LIMIT, &format!("the end of {name}"), || child.try_wait().unwrap())
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Fails if it has ended.
    pub fn check_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended with {status}:\n{}", self.name, self.said());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- standard error of {} ----\n{}", self.name, self.said());
        }
    }
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    /// The program.
    pub run: Running,
    dir: PathBuf,
}

impl Agent {
    /// Starts an agent over the captured machine `server` that keeps everything in `dir`, and waits until it answers.
    #[must_use]
    pub fn start(dir: &Path, config: &str) -> Self {
        Self::start_with(dir, config, |command| command)
    }

    /// As [`Agent::start`], with more said to the command.
    #[must_use]
    pub fn start_with(dir: &Path, config: &str, more: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let machine = crate::repository().join("tests/machines/server");
        Self::with(dir, config, |command| {
            more(command)
                .env("FIELDMOUSE__AGENT__ROOT", machine)
                .env("FIELDMOUSE__AGENT__TICK", "100ms")
                .env("FIELDMOUSE__AGENT__DEADLINE", "90ms")
        })
    }

    /// Starts an agent over this very machine, as it is shipped.
    #[must_use]
    pub fn on_host(dir: &Path, broker: &str) -> Self {
        Self::with(dir, &format!("[broker]\nurl = \"{broker}\"\n"), |command| command)
    }

    /// Starts an agent whose command is changed by `more`, and waits until it answers.
    #[must_use]
    pub fn with(dir: &Path, config: &str, more: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        std::fs::write(dir.join("fieldmouse.toml"), config).unwrap();
        let mut command = Command::new(agent_binary());
        command
            .args(["run", "--config", "fieldmouse.toml"])
            .current_dir(dir)
            // The environment wins over the file, so a test's file says only what the test is about.
            .env("FIELDMOUSE__AGENT__STATE_DIR", dir.join("state"))
            .env("FIELDMOUSE__AGENT__SOCKET", dir.join("agent.sock"))
            // Several agents of one machine would want one port.
            .env("FIELDMOUSE__SOURCE__OTLP__ENABLED", "false");
        more(&mut command);
        let mut agent = Self { run: Running::start("fieldmouse", command), dir: dir.to_owned() };
        wait_for(LIMIT, "the agent's socket", || {
            agent.run.check_alive();
            agent.ask()
        });
        agent
    }

    fn ask(&self) -> Option<Value> {
        let ran = fieldmouse(&self.dir, &["status", "--json", "--socket", "agent.sock"]);
        (ran.code == 0).then(|| serde_json::from_str(&ran.out).unwrap())
    }

    /// What `status --json` says.
    #[must_use]
    pub fn status(&self) -> Value {
        self.ask().expect("a running agent answers")
    }

    /// Waits until the status is as wanted, and returns it.
    #[track_caller]
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(LIMIT, what, || {
            self.run.check_alive();
            self.ask().filter(|status| wanted(status))
        })
    }

    /// Hands over a fact by the command line.
    pub fn event(&self, kind: &str, text: &str) {
        let ran = fieldmouse(&self.dir, &["event", kind, "--text", text, "--socket", "agent.sock"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    /// The program.
    pub run: Running,
    /// Where its page is.
    pub http: String,
}

impl Collector {
    /// Starts a collector that keeps everything in `dir`, with the broker of `url`, and waits until its page is there.
    #[must_use]
    pub fn start(dir: &Path, url: &str) -> Self {
        Self::named(dir, url, "collector")
    }

    /// The same under another name: several may listen at one broker.
    #[must_use]
    pub fn named(dir: &Path, url: &str, id: &str) -> Self {
        Self::start_with(dir, url, id, |command| command)
    }

    /// The same, with more said to the command.
    #[must_use]
    pub fn start_with(
        dir: &Path,
        url: &str,
        id: &str,
        more: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let store = format!("path = \"{}\"", dir.join(format!("{id}.db")).display());
        Self::configured(
            dir,
            id,
            &format!("id = \"{id}\"\n[broker]\nurl = \"{url}\"\n[store]\n{store}\n"),
            more,
        )
    }

    /// One of several that share the PostgreSQL of `store`.
    #[must_use]
    pub fn member(dir: &Path, url: &str, store: &str, instance: &str) -> Self {
        let config = format!(
            "[broker]\nurl = \"{url}\"\n[store]\nurl = \"{store}\"\n[cluster]\ninstance = \"{instance}\"\n"
        );
        Self::configured(dir, instance, &config, |command| command)
    }

    /// One with this configuration, but for where its page is.
    #[must_use]
    pub fn configured(
        dir: &Path,
        id: &str,
        config: &str,
        more: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let http = format!("127.0.0.1:{}", crate::free_port());
        let config = format!("{config}[http]\nlisten = \"{http}\"\n");
        let file = format!("{id}.toml");
        std::fs::write(dir.join(&file), config).unwrap();
        let mut command = Command::new(collector_binary());
        more(command.args(["run", "--config", &file]).current_dir(dir));
        let mut collector = Self { run: Running::start("fieldmouse-collector", command), http };
        wait_for(LIMIT, "the collector's page", || {
            collector.run.check_alive();
            std::net::TcpStream::connect(&collector.http).ok()
        });
        collector
    }
}
