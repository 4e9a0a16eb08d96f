//! GitLab: pipelines, jobs, deployments and releases. The payload says which.

use serde::Deserialize;

use super::super::{TEXT, short};
use super::{Run, Status, What, read, seconds};

#[derive(Debug, Deserialize)]
struct Any {
    #[serde(default)]
    object_kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Project {
    path_with_namespace: String,
}

pub(super) fn parse(body: &[u8]) -> Result<Option<Run>, String> {
    match read::<Any>(body)?.object_kind.as_str() {
        "pipeline" => Ok(read::<Pipeline>(body)?.run()),
        "build" => Ok(read::<Job>(body)?.run()),
        "deployment" => Ok(read::<Deployment>(body)?.run()),
        "release" => Ok(read::<Release>(body)?.run()),
        _ => Ok(None),
    }
}

/// What counts of a job is how it ended.
fn ended(status: &str) -> Option<Status> {
    Status::of(status).filter(|status| *status != Status::Running)
}

#[derive(Debug, Deserialize)]
struct Pipeline {
    object_attributes: PipelineAttributes,
    #[serde(default)]
    project: Project,
}

#[derive(Debug, Deserialize)]
struct PipelineAttributes {
    id: u64,
    name: Option<String>,
    #[serde(rename = "ref", default)]
    branch: String,
    #[serde(default)]
    sha: String,
    status: String,
    duration: Option<f64>,
}

impl Pipeline {
    fn run(self) -> Option<Run> {
        let it = self.object_attributes;
        let name = it.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("pipeline");
        let run = Run {
            id: it.id.to_string(),
            seconds: it.duration.and_then(seconds),
            ..Run::new(
                "gitlab",
                What::Job,
                &format!("{} {name}", self.project.path_with_namespace),
                ended(&it.status)?,
            )
        };
        Some(run.on(&it.branch, &it.sha))
    }
}

#[derive(Debug, Deserialize)]
struct Job {
    build_id: u64,
    #[serde(default)]
    build_name: String,
    build_status: String,
    build_duration: Option<f64>,
    #[serde(rename = "ref", default)]
    branch: String,
    #[serde(default)]
    sha: String,
    #[serde(default)]
    project: Project,
    /// `Group / Project`, of older ones.
    #[serde(default)]
    project_name: String,
}

impl Job {
    fn run(self) -> Option<Run> {
        let project = Some(self.project.path_with_namespace).filter(|p| !p.is_empty());
        let project = project.unwrap_or_else(|| self.project_name.replace(" / ", "/"));
        let run = Run {
            id: self.build_id.to_string(),
            seconds: self.build_duration.and_then(seconds),
            ..Run::new(
                "gitlab",
                What::Job,
                &format!("{project} {}", self.build_name),
                ended(&self.build_status)?,
            )
        };
        Some(run.on(&self.branch, &self.sha))
    }
}

#[derive(Debug, Deserialize)]
struct Deployment {
    status: String,
    #[serde(default)]
    deployment_id: u64,
    #[serde(default)]
    environment: String,
    #[serde(rename = "ref", default)]
    branch: String,
    #[serde(default)]
    short_sha: String,
    #[serde(default)]
    project: Project,
}

impl Deployment {
    fn run(self) -> Option<Run> {
        let name = &self.project.path_with_namespace;
        let run = Run {
            id: self.deployment_id.to_string(),
            environment: short(&self.environment, TEXT),
            ..Run::new("gitlab", What::Deployment, name, Status::of(&self.status)?)
        };
        Some(run.on(&self.branch, &self.short_sha))
    }
}

#[derive(Debug, Deserialize)]
struct Release {
    #[serde(default)]
    action: String,
    #[serde(default)]
    id: u64,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    project: Project,
}

impl Release {
    fn run(self) -> Option<Run> {
        let run = Run::new("gitlab", What::Release, &self.project.path_with_namespace, Status::Succeeded);
        (self.action == "create").then(|| Run { id: self.id.to_string(), ..run }.on(&self.tag, ""))
    }
}
