//! `fieldmouse-collector diagnose FOLDER`.

use std::path::Path;

use serde::Serialize;

use super::{BadFolder, Cause, Tuning, measure, rank, read};

/// Ranked causes of the failure in a folder.
///
/// # Errors
/// If the folder is not one of a failure.
pub fn diagnose(folder: &Path) -> Result<Vec<Cause>, BadFolder> {
    Ok(rank(&measure(&read(folder)?, &Tuning::DEFAULT)))
}

#[derive(Serialize)]
struct Line<'a> {
    rank: usize,
    service: &'a str,
    metric: &'a str,
    score: f64,
    why: &'a str,
}

/// One JSON object per line, the likeliest cause first.
///
/// # Errors
/// Never for causes that [`rank`] made; a score that is no number cannot be written.
pub fn print(causes: &[Cause]) -> serde_json::Result<String> {
    causes.iter().try_fold(String::new(), |mut text, c| {
        // Six digits are more than is known, and the same on every machine.
        let score = (c.score * 1e6).round() / 1e6;
        let line = Line { rank: c.rank, service: &c.entity, metric: &c.metric, score, why: &c.why };
        text.push_str(&serde_json::to_string(&line)?);
        text.push('\n');
        Ok(text)
    })
}
