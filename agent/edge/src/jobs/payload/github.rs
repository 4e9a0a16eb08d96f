//! GitHub, and Gitea and Forgejo, which took its shapes over for most; Forgejo has an event of its own for runs.

use serde::Deserialize;

use super::{Repository, Run, Status, What, between, read, seconds};

pub(super) fn parse(system: &'static str, event: &str, body: &[u8]) -> Result<Option<Run>, String> {
    match event {
        "workflow_run" => Ok(read::<WorkflowRun>(body)?.run(system)),
        "workflow_job" => Ok(read::<WorkflowJob>(body)?.run(system)),
        "deployment" | "deployment_status" => Ok(read::<Deployment>(body)?.run(system)),
        "release" => Ok(read::<Release>(body)?.run(system)),
        // Success after a failure is told as success, too.
        "action_run_success" | "action_run_failure" => Ok(read::<ActionRun>(body)?.run()),
        _ => Ok(None),
    }
}

#[derive(Debug, Deserialize)]
struct WorkflowRun {
    workflow_run: Attempt,
    /// None if it was deleted meanwhile.
    workflow: Option<Named>,
    #[serde(default)]
    repository: Repository,
}

#[derive(Debug, Deserialize)]
struct WorkflowJob {
    workflow_job: Attempt,
    #[serde(default)]
    repository: Repository,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: Option<String>,
}

/// A run or a job of it. Gitea has no name in the first, and other words for its times.
#[derive(Debug, Deserialize)]
struct Attempt {
    id: u64,
    name: Option<String>,
    workflow_name: Option<String>,
    #[serde(default = "one")]
    run_attempt: u64,
    conclusion: Option<String>,
    head_branch: Option<String>,
    head_sha: Option<String>,
    run_started_at: Option<String>,
    started_at: Option<String>,
    updated_at: Option<String>,
    completed_at: Option<String>,
}

fn one() -> u64 {
    1
}

impl Attempt {
    /// None while it goes on: what counts of a job is how it ended.
    fn run(self, system: &'static str, name: &str) -> Option<Run> {
        let status = Status::of(self.conclusion.as_deref()?)?;
        let from = self.run_started_at.as_deref().or(self.started_at.as_deref());
        let to = self.completed_at.as_deref().or(self.updated_at.as_deref());
        let run = Run {
            id: format!("{}/{}", self.id, self.run_attempt),
            seconds: between(from, to),
            ..Run::new(system, What::Job, name, status)
        };
        Some(run.on(
            self.head_branch.as_deref().unwrap_or_default(),
            self.head_sha.as_deref().unwrap_or_default(),
        ))
    }
}

impl WorkflowRun {
    fn run(self, system: &'static str) -> Option<Run> {
        let run = self.workflow_run;
        let named = self.workflow.as_ref().and_then(|workflow| workflow.name.as_ref());
        let name = named.or(run.name.as_ref()).map_or("", String::as_str);
        let name = format!("{} {name}", self.repository.full_name);
        run.run(system, &name)
    }
}

impl WorkflowJob {
    fn run(self, system: &'static str) -> Option<Run> {
        let job = self.workflow_job;
        let parts = [job.workflow_name.as_deref(), job.name.as_deref()];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
        let name = format!("{} {name}", self.repository.full_name);
        job.run(system, &name)
    }
}

#[derive(Debug, Deserialize)]
struct Deployment {
    deployment: Deployed,
    deployment_status: Option<DeploymentStatus>,
    #[serde(default)]
    repository: Repository,
}

#[derive(Debug, Deserialize)]
struct Deployed {
    id: u64,
    #[serde(rename = "ref", default)]
    branch: String,
    #[serde(default)]
    sha: String,
    #[serde(default)]
    environment: String,
    created_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct DeploymentStatus {
    state: String,
    created_at: Option<String>,
}

impl Deployment {
    /// One without a status has begun.
    fn run(self, system: &'static str) -> Option<Run> {
        let Self { deployment, deployment_status, repository } = self;
        let state = deployment_status.as_ref().map_or("running", |s| s.state.as_str());
        let status = Status::of(state)?;
        let ended = deployment_status.and_then(|s| s.created_at).filter(|_| status != Status::Running);
        let run = Run {
            id: deployment.id.to_string(),
            seconds: between(deployment.created_at.as_deref(), ended.as_deref()),
            environment: super::super::short(&deployment.environment, super::super::TEXT),
            ..Run::new(system, What::Deployment, &repository.full_name, status)
        };
        Some(run.on(&deployment.branch, &deployment.sha))
    }
}

#[derive(Debug, Deserialize)]
struct Release {
    #[serde(default)]
    action: String,
    release: Published,
    #[serde(default)]
    repository: Repository,
}

#[derive(Debug, Deserialize)]
struct Published {
    id: u64,
    #[serde(default)]
    tag_name: String,
}

impl Release {
    fn run(self, system: &'static str) -> Option<Run> {
        let run = Run::new(system, What::Release, &self.repository.full_name, Status::Succeeded);
        let run = Run { id: self.release.id.to_string(), ..run };
        (self.action == "published").then(|| run.on(&self.release.tag_name, ""))
    }
}

/// Forgejo's own.
#[derive(Debug, Deserialize)]
struct ActionRun {
    action: String,
    run: Action,
}

#[derive(Debug, Deserialize)]
struct Action {
    id: u64,
    #[serde(default)]
    workflow_id: String,
    #[serde(default)]
    prettyref: String,
    #[serde(default)]
    commit_sha: String,
    /// Nanoseconds.
    duration: Option<f64>,
    started: Option<String>,
    stopped: Option<String>,
    #[serde(default)]
    repository: Repository,
}

impl ActionRun {
    fn run(self) -> Option<Run> {
        let Self { action, run: it } = self;
        let told = it.duration.filter(|ns| *ns > 0.0).and_then(|ns| seconds(ns / 1e9));
        let name = format!("{} {}", it.repository.full_name, it.workflow_id);
        let run = Run {
            id: it.id.to_string(),
            seconds: told.or_else(|| between(it.started.as_deref(), it.stopped.as_deref())),
            ..Run::new("gitea", What::Job, &name, Status::of(&action)?)
        };
        Some(run.on(&it.prettyref, &it.commit_sha))
    }
}
