//! `event`: facts for the running agent, in words; and runs of jobs and deployments, which it compares with those before.

use super::commands::socket;
use super::{Args, Failure};
use crate::control::{self, RunTold};
use crate::duration::Span;
use crate::jobs::Status;

pub(super) fn hand_over(args: &Args, kind: &str) -> Result<(), Failure> {
    if args.name.is_some() && ["job", "deployment"].contains(&kind) {
        return control::run(&socket(args)?, run(args, kind == "deployment")?).map_err(Failure::from);
    }
    let text = args.text.clone().ok_or_else(|| Failure::Usage("event: --text is missing".into()))?;
    let severity = severity(args.severity.as_deref().unwrap_or("info"))?;
    control::event(&socket(args)?, kind, &text, severity).map_err(Failure::from)
}

fn run(args: &Args, deployment: bool) -> Result<RunTold, Failure> {
    let text = |of: &Option<String>| of.clone().unwrap_or_default();
    let status = args.status.as_deref().ok_or_else(|| Failure::Usage("event: --status is missing".into()))?;
    let status = Status::of(status).ok_or_else(|| {
        Failure::Usage(format!("`{status}` is no status; allowed are running, succeeded, failed, cancelled"))
    })?;
    let name = text(&args.name);
    if name.trim().is_empty() {
        return Err(Failure::Usage("event: --name is empty".into()));
    }
    Ok(RunTold {
        deployment,
        name,
        status,
        duration_ms: args.duration.as_deref().map(duration_ms).transpose()?,
        id: text(&args.id),
        branch: text(&args.branch),
        commit: text(&args.commit),
        environment: text(&args.environment),
    })
}

/// `312` is seconds, as scripts have it in `$SECONDS`; `5m 12s` is the same.
fn duration_ms(text: &str) -> Result<u64, Failure> {
    match text.parse::<u64>() {
        Ok(seconds) => Ok(seconds.saturating_mul(1000)),
        Err(_) => Span::parse(text)
            .map(|span| span.0)
            .map_err(|e| Failure::Usage(format!("--duration: {e}, or as seconds"))),
    }
}

fn severity(word: &str) -> Result<u8, Failure> {
    match word {
        "info" => Ok(9),
        "warning" => Ok(13),
        "error" => Ok(17),
        other => Err(Failure::Usage(format!("`{other}` is no severity; allowed are info, warning, error"))),
    }
}
