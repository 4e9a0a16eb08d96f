//! What is asked for behind `?`: read, and refused with what is wrong with it.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;

use super::ApiError;
use super::body::clip;

/// A question as it came in.
pub(super) type Question<T> = Result<Query<T>, QueryRejection>;

/// `?limit=`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HowMany {
    /// At most so many.
    pub(super) limit: Option<u32>,
}

/// What was asked.
pub(super) fn asked<T>(question: Question<T>) -> Result<T, ApiError> {
    question.map(|Query(asked)| asked).map_err(|e| {
        let text = e.body_text();
        // The library's own words for what it was about.
        let what = text.split_once(": ").map_or(&*text, |(_, what)| what);
        ApiError::Question(what.to_owned())
    })
}

/// How many at most: 100, unless given.
pub(super) fn limit(given: Option<u32>) -> Result<u32, ApiError> {
    limit_of(given, 100, 1000)
}

/// How many at most: 1 to `most`.
pub(super) fn limit_of(given: Option<u32>, usual: u32, most: u32) -> Result<u32, ApiError> {
    let limit = given.unwrap_or(usual);
    let what = || ApiError::Question(format!("limit: {limit} is not 1 to {most}"));
    (1..=most).contains(&limit).then_some(limit).ok_or_else(what)
}

/// Which of these words; the last of them, unless given.
pub(super) fn one_of(
    key: &str,
    given: Option<&str>,
    words: &[&'static str],
) -> Result<&'static str, ApiError> {
    let Some(given) = given else { return Ok(words.last().copied().unwrap_or_default()) };
    let what = || ApiError::Question(format!("{key}: `{}` is none of {}", clip(given), words.join(", ")));
    words.iter().copied().find(|word| *word == given).ok_or_else(what)
}

/// Only what is open, only what is not, or all.
pub(super) fn open(state: Option<&str>) -> Result<Option<bool>, ApiError> {
    Ok(match one_of("state", state, &["open", "closed", "all"])? {
        "open" => Some(true),
        "closed" => Some(false),
        _ => None,
    })
}
