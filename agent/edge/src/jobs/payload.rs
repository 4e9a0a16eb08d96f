//! What systems of continuous integration post to a webhook, as runs. Shapes are from their public documentation; of each
//! only what a [`Run`] needs is read, all else is passed over without being kept.

mod github;
mod gitlab;
mod jenkins;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Run, Status, What};

/// Who sent it, as its headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender<'a> {
    /// GitHub, by `X-GitHub-Event`.
    GitHub(&'a str),
    /// Gitea or Forgejo, by `X-Forgejo-Event` or `X-Gitea-Event`. (Both send GitHub's header, too.)
    Gitea(&'a str),
    /// GitLab, by `X-Gitlab-Event`; the payload says again what it is.
    GitLab,
    /// Nothing says so: Jenkins' notification plugin, or a script.
    Unsaid,
}

/// The run that a payload tells of. `Ok(None)`: it is well-formed, and of nothing that is told here.
///
/// # Errors
/// If it is no JSON, or not what its header says. The text is for whoever sent it.
pub fn parse(sender: Sender<'_>, body: &[u8]) -> Result<Option<Run>, String> {
    match sender {
        Sender::GitHub(event) => github::parse("github", event, body),
        Sender::Gitea(event) => github::parse("gitea", event, body),
        Sender::GitLab => gitlab::parse(body),
        Sender::Unsaid => jenkins::parse(body),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|e| format!("not understood: {e}"))
}

/// Where the code is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Repository {
    full_name: String,
}

/// Seconds between two dates of RFC 3339.
fn between(from: Option<&str>, to: Option<&str>) -> Option<f32> {
    let ms = |text: &str| crate::replay::timestamp_ms(text).ok();
    seconds(ms(to?)?.checked_sub(ms(from?)?)? as f64 / 1000.0)
}

/// A duration, if it is one.
fn seconds(seconds: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "bounded; nobody needs its digits")]
    (0.0..1e8).contains(&seconds).then_some(seconds as f32)
}

#[cfg(test)]
mod tests;
