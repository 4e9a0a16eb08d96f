//! Runs of jobs and pipelines, deployments and releases, whoever tells of them: a webhook, or somebody on the socket.
//!
//! Whoever hears of a run puts it into the [`Inbox`]; the source `job` takes it from there, tells it as a fact, judges it
//! and keeps its pipeline's past.

pub mod payload;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use fieldmouse_core::series::cut;
use fieldmouse_core::wire::{Detail, Fact};
use serde::{Deserialize, Serialize};

use crate::control::RunTold;

/// How something is going, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has begun.
    Running,
    /// It ended as it should.
    #[serde(alias = "success")]
    Succeeded,
    /// It did not.
    #[serde(alias = "failure")]
    Failed,
    /// It was ended before, or left out.
    Cancelled,
}

impl Status {
    /// What the systems call it, in whatever letters.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "in_progress" | "running" | "started" => Self::Running,
            "success" | "succeeded" | "passed" | "ok" => Self::Succeeded,
            "failure" | "failed" | "error" | "timed_out" | "startup_failure" | "unstable" => Self::Failed,
            "cancelled" | "canceled" | "aborted" | "skipped" | "neutral" | "stale" | "not_built" => {
                Self::Cancelled
            }
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Running => "began",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "was cancelled",
        }
    }
}

/// What sort of thing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// A job, a build or a whole pipeline.
    Job,
    /// Something was brought somewhere.
    Deployment,
    /// A version was published.
    Release,
}

/// One run, as it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Who told: `github`, `jenkins`, or empty.
    pub system: &'static str,
    /// What sort.
    pub what: What,
    /// The pipeline or job: `shop/web CI`. Runs of one name are compared.
    pub name: String,
    /// Which run of it; empty if nobody said.
    pub id: String,
    /// How it is.
    pub status: Status,
    /// How long it took.
    pub seconds: Option<f32>,
    /// Branch or tag.
    pub branch: String,
    /// The beginning of the commit's id.
    pub commit: String,
    /// Where to, of a deployment.
    pub environment: String,
}

/// Characters of a commit's id that are shown.
const COMMIT: usize = 8;
/// The longest name; of a longer one the end counts. It has to fit a series' label and what a fact is about.
const NAME: usize = 64;
/// The longest of the other texts.
const TEXT: usize = 40;

impl Run {
    /// A run of this name, of which nothing else is known yet.
    #[must_use]
    pub fn new(system: &'static str, what: What, name: &str, status: Status) -> Self {
        let none = String::new;
        let (name, id) = (end_of(name), none());
        let (branch, commit, environment) = (none(), none(), none());
        Self { system, what, name, id, status, seconds: None, branch, commit, environment }
    }

    /// With its branch or tag, without what git puts before it.
    #[must_use]
    pub fn on(mut self, branch: &str, commit: &str) -> Self {
        let branch = ["refs/heads/", "refs/tags/", "origin/"]
            .iter()
            .find_map(|p| branch.strip_prefix(p))
            .unwrap_or(branch);
        self.branch = short(branch, TEXT);
        self.commit = short(commit, COMMIT);
        self
    }

    /// What is the same when it is told twice; none if it cannot be known.
    #[must_use]
    pub fn identity(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        (self.system, self.what, &self.name, &self.id, self.status).hash(&mut hasher);
        (!self.id.is_empty()).then(|| hasher.finish())
    }

    /// It as a fact, with how grave it is.
    #[must_use]
    pub fn fact(&self) -> (u8, Fact) {
        let kind = match self.what {
            What::Job => "job",
            What::Deployment => "deployment",
            What::Release => "release",
        };
        let about = match self.what {
            What::Deployment if !self.environment.is_empty() => cut(&self.environment),
            _ => cut(&self.name),
        };
        let severity = if self.status == Status::Failed { 13 } else { 9 };
        let detail = Detail { about, ..Detail::default() };
        (severity, Fact { detail: Some(detail), ..Fact::new(kind, &self.sentence(kind)) })
    }

    /// `deployment of shop/web to production failed after 41 s: main 1a2b3c4d (github)`
    fn sentence(&self, kind: &str) -> String {
        let of = if self.what == What::Job { "" } else { "of " };
        let mut text = format!("{kind} {of}{}", self.name);
        if !self.environment.is_empty() {
            text += &format!(" to {}", self.environment);
        }
        text += " ";
        text += if self.what == What::Release { "published" } else { self.status.word() };
        if let Some(seconds) = self.seconds {
            text += &format!(" after {}", span(seconds));
        }
        let which = [&self.branch, &self.commit].map(String::as_str).join(" ");
        if !which.trim().is_empty() {
            text += ": ";
            text += which.trim();
        }
        if !self.system.is_empty() {
            text += &format!(" ({})", self.system);
        }
        text
    }
}

impl From<RunTold> for Run {
    fn from(told: RunTold) -> Self {
        let what = if told.deployment { What::Deployment } else { What::Job };
        let run = Self {
            id: short(&told.id, TEXT),
            seconds: told.duration_ms.map(|ms| ms as f32 / 1000.0),
            environment: short(&told.environment, TEXT),
            ..Self::new("", what, &told.name, told.status)
        };
        run.on(&told.branch, &told.commit)
    }
}

/// `312 s`, `12 min`: no more digits than anybody wants.
#[must_use]
pub fn span(seconds: f32) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 600.0 => format!("{s:.0} s"),
        s if s < 36_000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Text from elsewhere, in one line, of which `most` bytes count.
fn short(text: &str, most: usize) -> String {
    let text = crate::sources::label(text.trim());
    text[..text.floor_char_boundary(most)].to_owned()
}

fn end_of(name: &str) -> String {
    let name = crate::sources::label(name.trim());
    name[name.ceil_char_boundary(name.len().saturating_sub(NAME))..].to_owned()
}

/// Runs that wait to be taken. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Inbox(Arc<Mutex<VecDeque<Entry>>>);

/// A run on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What ran.
    pub run: Run,
    /// Whether it is a fact already.
    pub is_told: bool,
}

/// More runs than this do not wait.
const MOST: usize = 256;

impl Inbox {
    /// Puts a run in. False: there is no room, and it should be told again later.
    #[must_use]
    pub fn put(&self, run: Run, is_told: bool) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = waiting.len() < MOST;
        if has_room {
            waiting.push_back(Entry { run, is_told });
        }
        has_room
    }

    /// Takes all of them.
    #[must_use]
    pub fn take(&self) -> VecDeque<Entry> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_in_words() {
        let check = |run: &Run, severity: u8, about: &str, text: &str| {
            let (is_severity, fact) = run.fact();
            let is_about = fact.detail.unwrap().about;
            assert_eq!((is_severity, is_about.as_str(), fact.text.as_str()), (severity, about, text));
        };
        let job =
            Run { seconds: Some(312.0), ..Run::new("github", What::Job, "shop/web CI", Status::Failed) };
        let job = job.on("refs/heads/main", "1a2b3c4d5e6f");
        check(&job, 13, "shop/web CI", "job shop/web CI failed after 312 s: main 1a2b3c4d (github)");
        let environment = "production".to_owned();
        let deployment =
            Run { environment, ..Run::new("gitlab", What::Deployment, "shop/web", Status::Running) };
        check(&deployment, 9, "production", "deployment of shop/web to production began (gitlab)");
        let release = Run::new("gitea", What::Release, "shop/web", Status::Succeeded).on("v2.4", "");
        check(&release, 9, "shop/web", "release of shop/web published: v2.4 (gitea)");
        let bare = Run { seconds: Some(7200.0), ..Run::new("", What::Job, "backup", Status::Succeeded) };
        check(&bare, 9, "backup", "job backup succeeded after 120 min");
        let long = Run::new("", What::Job, &format!("{};\n{}", "ä".repeat(90), "end"), Status::Cancelled);
        assert!(long.name.len() <= NAME && long.name.ends_with("ä__end"), "{}", long.name);
    }

    #[test]
    fn told_twice_it_is_the_same_and_without_a_number_nobody_knows() {
        let run = Run { id: "7".into(), ..Run::new("github", What::Job, "a", Status::Failed) };
        assert_eq!(run.identity(), run.clone().on("main", "11").identity());
        assert_ne!(run.identity(), Run { id: "8".into(), ..run.clone() }.identity());
        assert_ne!(run.identity(), Run { status: Status::Succeeded, ..run }.identity());
        assert_eq!(Run::new("github", What::Job, "a", Status::Failed).identity(), None);
    }

    #[test]
    fn the_inbox_has_an_end() {
        let inbox = Inbox::default();
        let put = |_: usize| inbox.clone().put(Run::new("", What::Job, "a", Status::Failed), false);
        assert_eq!((0..300).filter(|i| put(*i)).count(), MOST);
        assert_eq!((inbox.take().len(), inbox.take().len()), (MOST, 0));
    }
}
