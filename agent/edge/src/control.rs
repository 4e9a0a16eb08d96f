//! The socket of the running agent: one JSON line asks, one JSON line answers.
//!
//! An event is answered once it is durable, which may take a second: `{"epoch": "…", "seq": n, "durable": true}`, or
//! `{"durable": false}` if the outbox stands in memory alone. So that a second can hold many, a client may ask on before
//! it is answered; answers come in the order of the questions. What is refused is answered with `{"error": "…"}`.
//!
//! The socket's directory is the lock: who may open it may ask. Not a remote interface.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::duration::Span;
use crate::jobs;
use anyhow::{Context, bail};
use fieldmouse_core::series::Millis;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Ask {
    /// How the agent is.
    Status,
    /// Which series there are, by name.
    Series,
    /// Open a window of maintenance: nothing alerts, nothing is learnt.
    #[serde(rename = "maintenance-start")]
    MaintenanceStart {
        /// What is done, in words.
        text: String,
        /// For how long.
        span_ms: Millis,
        /// Which series; all if none.
        pattern: Option<String>,
    },
    /// Close it before its time.
    #[serde(rename = "maintenance-end")]
    MaintenanceEnd,
    /// Tell this fact.
    Event {
        /// What sort.
        kind: String,
        /// In words.
        text: String,
        /// OpenTelemetry severity number.
        severity: u8,
    },
    /// Tell of this run of a job, or of this deployment.
    Run(RunTold),
}

/// A run as it is told on the socket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RunTold {
    /// Whether something was deployed; else it was a job.
    #[serde(default)]
    pub deployment: bool,
    /// What it is called. Runs of one name are compared.
    pub name: String,
    /// How it ended.
    pub status: jobs::Status,
    /// How long it took.
    pub duration_ms: Option<Millis>,
    /// Which run it was; told twice it counts once.
    #[serde(default)]
    pub id: String,
    /// Branch or tag.
    #[serde(default)]
    pub branch: String,
    /// Id of the commit.
    #[serde(default)]
    pub commit: String,
    /// Where to, of a deployment.
    #[serde(default)]
    pub environment: String,
}

/// A question with the way to answer it.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Value>,
}

/// A client that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer may wait for a commit of a worn flash.
const ANSWER: Duration = Duration::from_millis(crate::outbox::SYNC_WORN_MS + 5_000);
/// Clients served at once.
const CLIENTS: usize = 16;
/// The longest question.
const MAX_LINE: u64 = 8 << 10;
/// Questions of one client that wait for their answers.
const ASKED: usize = 1024;

/// Binds the socket, for this user alone.
///
/// # Errors
/// If the directory or the socket cannot be made.
pub fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let shown = path.display();
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    }
    // A socket left by a killed agent is in the way; one that answers is another agent.
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!("{shown}: another agent answers on this socket; stop it, or set agent.socket");
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{shown}: in the way"));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("{shown}: cannot be bound"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("{shown}: cannot be made private"))?;
    Ok(listener)
}

/// Serves clients for ever.
pub async fn serve(listener: UnixListener, requests: mpsc::Sender<Request>) {
    let places = std::sync::Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let requests = requests.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve_one(stream, requests).await {
                        log::debug!("a client of the socket: {error:#}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                log::warn!("the socket cannot accept: {error}");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn serve_one(stream: UnixStream, requests: mpsc::Sender<Request>) -> anyhow::Result<()> {
    let (read, write) = stream.into_split();
    let (asked, waiting) = mpsc::channel(ASKED);
    let (heard, told) = tokio::join!(listen(read, requests, asked), tell(write, waiting));
    heard.and(told)
}

/// Hands questions to the agent until the client has no more.
async fn listen(
    read: OwnedReadHalf,
    requests: mpsc::Sender<Request>,
    asked: mpsc::Sender<oneshot::Receiver<Value>>,
) -> anyhow::Result<()> {
    let mut read = BufReader::new(read);
    let mut line = String::new();
    loop {
        line.clear();
        let mut limited = (&mut read).take(MAX_LINE);
        let len = tokio::time::timeout(PATIENCE, limited.read_line(&mut line)).await??;
        if len == 0 {
            return Ok(());
        }
        let (answer, reply) = oneshot::channel();
        asked.send(reply).await?;
        match serde_json::from_str::<Ask>(&line) {
            Ok(ask) => requests.send(Request { ask, answer }).await?,
            Err(error) => {
                let refusal = serde_json::json!({"error": format!("not understood: {error}")});
                // A client that went away needs no answer.
                let _gone = answer.send(refusal);
                // What follows may be the rest of a line that was too long.
                return Ok(());
            }
        }
    }
}

/// Answers in the order of the questions.
async fn tell(
    mut write: OwnedWriteHalf,
    mut waiting: mpsc::Receiver<oneshot::Receiver<Value>>,
) -> anyhow::Result<()> {
    while let Some(reply) = waiting.recv().await {
        let text = format!("{}\n", tokio::time::timeout(ANSWER, reply).await??);
        tokio::time::timeout(PATIENCE, write.write_all(text.as_bytes())).await??;
    }
    Ok(())
}

/// Asks the running agent.
///
/// # Errors
/// If no agent answers, or it answers with an error.
pub fn ask(socket: &Path, ask: &Ask) -> anyhow::Result<Value> {
    use std::io::{BufRead, Write};
    let shown = socket.display();
    let mut stream = std::os::unix::net::UnixStream::connect(socket).with_context(|| {
        format!("{shown}: no agent answers; is `fieldmouse run` running with this socket?")
    })?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    writeln!(stream, "{}", serde_json::to_string(ask)?)?;
    let mut line = String::new();
    std::io::BufReader::new(stream).read_line(&mut line).with_context(|| format!("{shown}: no answer"))?;
    let value: Value = serde_json::from_str(&line).with_context(|| format!("{shown}: the answer is cut"))?;
    match value.get("error").and_then(Value::as_str) {
        Some(error) => bail!("{error}"),
        None => Ok(value),
    }
}

/// `status`: prints how the agent is.
///
/// # Errors
/// If no agent answers.
pub fn status(socket: &Path, as_json: bool) -> anyhow::Result<()> {
    use std::io::Write;
    let value = ask(socket, &Ask::Status)?;
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{value}")?;
    } else {
        write!(out, "{}", crate::status::in_words(&value))?;
    }
    Ok(())
}

/// `event`: hands over a fact, and returns when it is durable.
///
/// # Errors
/// If no agent answers, or it did not take the fact.
pub fn event(socket: &Path, kind: &str, text: &str, severity: u8) -> anyhow::Result<()> {
    told(&ask(socket, &Ask::Event { kind: kind.into(), text: text.into(), severity })?)
}

/// `event job --name …`: the same of a run.
///
/// # Errors
/// If no agent answers, or it did not take it.
pub fn run(socket: &Path, run: RunTold) -> anyhow::Result<()> {
    told(&ask(socket, &Ask::Run(run))?)
}

fn told(answer: &Value) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout();
    if answer["durable"] == true {
        writeln!(out, "told as event {}", answer["seq"])?;
    } else {
        writeln!(
            out,
            "told, but kept in memory only: the outbox cannot be written; see `fieldmouse status`"
        )?;
    }
    Ok(())
}

/// `maintenance start`: nothing alerts and nothing is learnt for so long.
///
/// # Errors
/// If no agent answers.
pub fn start_maintenance(
    socket: &Path,
    text: &str,
    span: Span,
    pattern: Option<String>,
) -> anyhow::Result<()> {
    use std::io::Write;
    ask(socket, &Ask::MaintenanceStart { text: text.into(), span_ms: span.0, pattern })?;
    let how = "`fieldmouse maintenance end` ends it before; a restart does not";
    Ok(writeln!(std::io::stdout(), "maintenance for {span}: nothing alerts, nothing is learnt; {how}")?)
}

/// `maintenance end`
///
/// # Errors
/// If no agent answers, or there was no maintenance that was started by hand.
pub fn end_maintenance(socket: &Path) -> anyhow::Result<()> {
    use std::io::Write;
    ask(socket, &Ask::MaintenanceEnd)?;
    Ok(writeln!(std::io::stdout(), "maintenance ended")?)
}
