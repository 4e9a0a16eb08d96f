//! The demo, step by step; see `bin/demo.rs`.

use std::future::Future;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// Calm before the drill: the agent judges nothing in its first 30 readings.
const CALM: Duration = Duration::from_secs(60);
/// From this share of all processors on, one more busy loop is nothing new.
const BUSY: f64 = 0.3;

/// Runs the demo until Ctrl-C, or until the drill is over.
///
/// # Errors
/// If a part does not start, or the drill's episode does not reach the page.
pub fn run(once: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let mut children = Children::default();
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = session(dir.path(), &mut children, once) => outcome,
            _ = tokio::signal::ctrl_c() => say("\nstopping"),
            () = terminated() => say("stopping"),
        }
    });
    let stopped = runtime.block_on(children.stop());
    outcome.and(stopped)
}

async fn session(dir: &Path, children: &mut Children, once: bool) -> anyhow::Result<()> {
    let (broker, page) = (free_port(0)?, free_port(8080)?);
    std::fs::write(
        dir.join("collector.toml"),
        format!(
            "[broker]\nembedded = true\nlisten = \"127.0.0.1:{broker}\"\n[http]\nlisten = \"127.0.0.1:{page}\"\n\
             [store]\npath = \"{}\"\n",
            dir.join("collector.db").display()
        ),
    )?;
    let agent_config = dir.join("fieldmouse.toml");
    std::fs::write(
        &agent_config,
        format!(
            "[broker]\nurl = \"mqtt://127.0.0.1:{broker}\"\n[agent]\nstate_dir = \"{0}/state\"\nsocket = \
             \"{0}/agent.sock\"\nbeat = \"30s\"\n[source.file]\ndir = \"{0}/sensors\"\n",
            dir.display()
        ),
    )?;
    children.start(
        dir,
        "collector",
        &["fieldmouse-collector", "run", "--config"],
        &dir.join("collector.toml"),
    )?;
    let status = || get(page, "/api/v1/status");
    patiently("the collector", 30, || async { status().await.ok().filter(|s| s["connected"] == true) })
        .await?;
    say(&format!("collector and broker run; the page is at http://127.0.0.1:{page}/"))?;
    children.start(dir, "agent", &["run", "--config"], &agent_config)?;
    let device = || async {
        let devices = get(page, "/api/v1/devices").await.ok()?;
        devices["devices"].as_array()?.iter().find(|d| d["state"] == "online").cloned()
    };
    let device = patiently("the agent", 30, device).await?;
    say(&format!(
        "this host's agent is online as `{}`; a minute of calm lets it learn",
        device["node"].as_str().unwrap_or("")
    ))?;
    let before = processor()?;
    for second in (0..CALM.as_secs()).step_by(10) {
        sleep(Duration::from_secs(10)).await;
        children.check(dir)?;
        say(&format!("  calm, {} of {} s", second + 10, CALM.as_secs()))?;
    }
    let busy = busy(before, processor()?);
    // A fault shows where it is calm; a sensor of our own always is.
    let (drill, group, patience) =
        if busy < BUSY { ("cpu-hog", "cpu", 60) } else { ("sensor-freeze", "sensor", 200) };
    if busy >= BUSY {
        let busy = busy * 100.0;
        say(&format!(
            "this host's processors are {busy:.0} % busy; the drill is of a sensor, and takes three minutes"
        ))?;
    }
    say(&format!("drill `{drill}`:"))?;
    let drill = children.start(dir, "drill", &["drill", drill, "--config"], &agent_config)?;
    // What is open already, the drill cannot have opened.
    let before = episodes(page).await.unwrap_or_default();
    let is_new = |e: &Value| {
        e["group"] == group && before.iter().all(|b| b["id"] != e["id"] || b["recurred"] != e["recurred"])
    };
    let opened = || async { episodes(page).await?.into_iter().find(is_new) };
    match patiently("the episode on the page", patience, opened).await {
        Ok(e) => {
            let text = |key: &str| e[key].as_str().unwrap_or("").to_owned();
            say(&format!("  on the page: {}", text("sentence")))?;
            let (site, node, epoch) = (text("site"), text("node"), text("epoch"));
            let id = e["id"].as_str().map_or_else(|| e["id"].to_string(), ToOwned::to_owned);
            say(&format!("  http://127.0.0.1:{page}/#/episode/{site}/{node}/{epoch}/{id}"))?;
            say("what the collector makes of it:")?;
            let id = patiently("its incident", 60, || incident(page, (&epoch, &id))).await?;
            for line in request(page, &format!("/api/v1/incidents/{id}/statement")).await?.lines() {
                say(&format!("  {line}"))?;
            }
            say(&format!("  http://127.0.0.1:{page}/#/incident/{id}"))?;
        }
        Err(error) => bail!("{error}; {}", tail(&dir.join("drill.log"))),
    }
    let ended =
        patiently("the end of the drill", 180, || std::future::ready(children.has_ended(drill))).await?;
    say(std::fs::read_to_string(dir.join("drill.log")).unwrap_or_default().trim_end())?;
    if !ended {
        bail!("the drill failed");
    }
    if !once {
        say(&format!("the page stays at http://127.0.0.1:{page}/ until Ctrl-C"))?;
        loop {
            sleep(Duration::from_secs(1)).await;
            children.check(dir)?;
        }
    }
    Ok(())
}

/// Processor time since boot, in ticks: all of it, and the idle part.
fn processor() -> anyhow::Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let ticks: Vec<f64> =
        stat.lines().next().unwrap_or("").split(' ').filter_map(|t| t.parse().ok()).collect();
    Ok((ticks.iter().take(8).sum(), ticks.iter().skip(3).take(2).sum()))
}

/// The busy share between two looks.
fn busy(from: (f64, f64), to: (f64, f64)) -> f64 {
    1.0 - (to.1 - from.1) / (to.0 - from.0).max(1.0)
}

async fn episodes(page: u16) -> Option<Vec<Value>> {
    Some(get(page, "/api/v1/episodes?state=open").await.ok()?["episodes"].as_array()?.clone())
}

async fn incidents(page: u16) -> Option<Vec<Value>> {
    Some(get(page, "/api/v1/incidents?state=open").await.ok()?["incidents"].as_array()?.clone())
}

/// The open incident of which this episode is a part, by its epoch and id.
async fn incident(page: u16, episode: (&str, &str)) -> Option<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    for open in incidents(page).await? {
        let id = open["id"].as_str()?.to_owned();
        let whole = get(page, &format!("/api/v1/incidents/{id}")).await.ok()?;
        let is_it = |m: &Value| (word(&m["epoch"]).as_str(), word(&m["id"]).as_str()) == episode;
        if whole["members"].as_array().is_some_and(|all| all.iter().any(is_it)) {
            return Some(id);
        }
    }
    None
}

/// Looks twice a second until there is something.
async fn patiently<T, F>(what: &str, seconds: u64, mut look: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Option<T>>,
{
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(Duration::from_secs(seconds), found)
        .await
        .with_context(|| format!("{what}: not seen within {seconds} s"))
}

/// The JSON at a path of the page's server.
async fn get(port: u16, path: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&request(port, path).await?)?)
}

/// What stands at a path of the page's server.
async fn request(port: u16, path: &str) -> anyhow::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await??;
    Ok(answer.split_once("\r\n\r\n").context("no answer")?.1.to_owned())
}

/// This port if it is free, else any that is.
fn free_port(wanted: u16) -> anyhow::Result<u16> {
    let listener =
        TcpListener::bind(("127.0.0.1", wanted)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.port())
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// A child must not outlive a demo that was killed.
pub fn die_with_parent() {
    let signal = Some(rustix::process::Signal::TERM);
    // Where the kernel cannot, the demo still stops its children itself.
    let _cannot = rustix::process::set_parent_process_death_signal(signal);
}

/// The programs of the demo, in the order of their start.
#[derive(Default)]
struct Children(Vec<(&'static str, Child)>);

impl Children {
    /// Starts this program as another; its output goes to a file. Returns its place.
    fn start(
        &mut self,
        dir: &Path,
        name: &'static str,
        words: &[&str],
        config: &Path,
    ) -> anyhow::Result<usize> {
        let log = std::fs::File::create(dir.join(format!("{name}.log")))?;
        let program = if name == "collector" { "collector" } else { "agent" };
        let child = Command::new(std::env::current_exe()?)
            .arg(program)
            .args(words)
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        self.0.push((name, child));
        Ok(self.0.len() - 1)
    }

    /// Whether a child that must run has ended.
    fn check(&mut self, dir: &Path) -> anyhow::Result<()> {
        for (name, child) in &mut self.0 {
            if *name != "drill"
                && let Some(status) = child.try_wait()?
            {
                bail!("{name} ended with {status}; {}", tail(&dir.join(format!("{name}.log"))));
            }
        }
        Ok(())
    }

    /// Whether a child has ended, and then whether well.
    fn has_ended(&mut self, at: usize) -> Option<bool> {
        let (_, child) = self.0.get_mut(at)?;
        child.try_wait().ok().flatten().map(|status| status.success())
    }

    /// Asks all to end, the last first, and sees that they do.
    async fn stop(&mut self) -> anyhow::Result<()> {
        for (name, child) in self.0.iter_mut().rev() {
            if child.try_wait()?.is_some() {
                continue;
            }
            let pid = rustix::process::Pid::from_child(child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            let ended = async {
                while matches!(child.try_wait(), Ok(None)) {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            if timeout(Duration::from_secs(10), ended).await.is_err() {
                say(&format!("{name} did not stop within 10 s and is killed"))?;
                child.kill()?;
                child.wait()?;
            }
        }
        Ok(())
    }
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    format!("its last words: {}", lines.into_iter().rev().collect::<Vec<_>>().join(" | "))
}
