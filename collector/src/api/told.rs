//! What devices told, as it is kept.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State as Get};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::question::{HowMany, Question, asked, limit, open};
use super::{Answer, ApiError, State, ask, episode, forecast, json};
use crate::clock;
use crate::store::OpenFilter;

/// `?state=&node=&limit=`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lasting {
    state: Option<String>,
    node: Option<String>,
    limit: Option<u32>,
}

/// `?node=&limit=`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    node: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn devices(Get(state): Get<State>) -> Answer {
    let found = ask(&state, |s| s.devices()).await?;
    list("devices", &found, json::device)
}

pub(super) async fn device(Get(state): Get<State>, Path((site, node)): Path<(String, String)>) -> Answer {
    let found = ask(&state, move |s| {
        let Some(device) = s.device(&site, &node)? else { return Ok(None) };
        Ok(Some((device, s.gaps(&site, &node)?, s.losses(&site, &node)?)))
    })
    .await?;
    let (device, gaps, losses) = found.ok_or(ApiError::NotFound)?;
    Ok(Json(json::device_in_full(&device, &gaps, &losses)).into_response())
}

fn open_filter(question: Question<Lasting>) -> Result<OpenFilter, ApiError> {
    let which = asked(question)?;
    Ok(OpenFilter { open: open(which.state.as_deref())?, node: which.node, limit: limit(which.limit)? })
}

pub(super) async fn episodes(Get(state): Get<State>, question: Question<Lasting>) -> Answer {
    let filter = open_filter(question)?;
    let found = ask(&state, move |s| s.episodes(&filter)).await?;
    list("episodes", &found, episode::episode)
}

pub(super) async fn episode(
    Get(state): Get<State>,
    Path((site, node, epoch, id)): Path<(String, String, String, String)>,
) -> Answer {
    let (Ok(epoch), Ok(id)) = (epoch.parse(), id.parse()) else { return Err(ApiError::NotFound) };
    let found = ask(&state, move |s| {
        let Some(episode) = s.episode(&site, &node, epoch, id)? else { return Ok(None) };
        let events = s.episode_events(&episode)?;
        Ok(Some((episode, events)))
    })
    .await?;
    let (episode, events) = found.ok_or(ApiError::NotFound)?;
    Ok(Json(episode::episode_in_full(&episode, &events)).into_response())
}

pub(super) async fn facts(Get(state): Get<State>, question: Question<Which>) -> Answer {
    let which = asked(question)?;
    let limit = limit(which.limit)?;
    let found = ask(&state, move |s| s.facts(which.node.as_deref(), limit)).await?;
    list("facts", &found, json::fact)
}

pub(super) async fn troubles(Get(state): Get<State>, question: Question<Which>) -> Answer {
    let which = asked(question)?;
    let limit = limit(which.limit)?;
    let found = ask(&state, move |s| s.troubles(which.node.as_deref(), limit)).await?;
    list("troubles", &found, json::trouble)
}

pub(super) async fn forecasts(Get(state): Get<State>, question: Question<Lasting>) -> Answer {
    let filter = open_filter(question)?;
    let found = ask(&state, move |s| s.forecasts(&filter)).await?;
    let now = clock::wall_ms();
    list("forecasts", &found, |f| forecast::forecast(f, now))
}

pub(super) async fn dead_letters(Get(state): Get<State>, question: Question<HowMany>) -> Answer {
    let limit = limit(asked(question)?.limit)?;
    let found = ask(&state, move |s| s.dead_letters(limit)).await?;
    list("dead_letters", &found, json::dead_letter)
}

fn list<T, V: Serialize>(name: &str, found: &[T], view: impl Fn(&T) -> V) -> Answer {
    let items: Vec<V> = found.iter().map(view).collect();
    Ok(Json(BTreeMap::from([(name, items)])).into_response())
}
