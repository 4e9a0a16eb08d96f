//! Jenkins' notification plugin; and, for scripts, a payload of our own:
//! `{"job": "backup", "status": "failed", "duration": 312, "id": "7", "branch": "main", "commit": "1a2b3c"}`, or with
//! `"deployment": "shop"` and `"environment": "production"` in the place of `job`.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::{TEXT, short};
use super::{Run, Status, What, read, seconds};

/// Tells the two from each other.
#[derive(Debug, Deserialize)]
struct Any {
    build: Option<IgnoredAny>,
}

pub(super) fn parse(body: &[u8]) -> Result<Option<Run>, String> {
    if read::<Any>(body)?.build.is_some() {
        Ok(read::<Jenkins>(body)?.run())
    } else {
        read::<Own>(body)?.run().map(Some)
    }
}

#[derive(Debug, Deserialize)]
struct Jenkins {
    name: String,
    build: Build,
}

#[derive(Debug, Deserialize)]
struct Build {
    number: u64,
    #[serde(default)]
    phase: String,
    status: Option<String>,
    /// Milliseconds.
    duration: Option<f64>,
    #[serde(default)]
    scm: Scm,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Scm {
    branch: Option<String>,
    commit: Option<String>,
}

impl Jenkins {
    /// The end is told twice, as completed and as finalized; either will do.
    fn run(self) -> Option<Run> {
        let Self { name, build } = self;
        let status = Status::of(build.status.as_deref()?)?;
        let run = Run {
            id: build.number.to_string(),
            seconds: build.duration.filter(|ms| *ms > 0.0).and_then(|ms| seconds(ms / 1000.0)),
            ..Run::new("jenkins", What::Job, &name, status)
        };
        let has_ended = ["COMPLETED", "FINALIZED"].contains(&build.phase.as_str());
        let Scm { branch, commit } = build.scm;
        has_ended
            .then(|| run.on(branch.as_deref().unwrap_or_default(), commit.as_deref().unwrap_or_default()))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    job: Option<String>,
    deployment: Option<String>,
    status: String,
    duration: Option<f64>,
    #[serde(default)]
    id: String,
    #[serde(default)]
    branch: String,
    #[serde(default)]
    commit: String,
    #[serde(default)]
    environment: String,
}

impl Own {
    fn run(self) -> Result<Run, String> {
        let (what, name) = match (self.job, self.deployment) {
            (Some(job), None) => (What::Job, job),
            (None, Some(deployment)) => (What::Deployment, deployment),
            _ => return Err("one of `job` and `deployment` must be there".into()),
        };
        let status = Status::of(&self.status).ok_or_else(|| {
            format!(
                "`{}` is no status; allowed are running, succeeded, failed, cancelled",
                short(&self.status, TEXT)
            )
        })?;
        if name.trim().is_empty() {
            return Err("the name is empty".into());
        }
        let run = Run {
            id: short(&self.id, TEXT),
            seconds: self.duration.and_then(seconds),
            environment: short(&self.environment, TEXT),
            ..Run::new("", what, &name, status)
        };
        Ok(run.on(&self.branch, &self.commit))
    }
}
