//! How well services and sites are, were and will be.

use axum::Json;
use axum::extract::{Path, State as Get};
use axum::response::IntoResponse;
use serde_json::json;

use super::{Answer, ApiError, State, ask};
use crate::clock;
use crate::health::Watch;

/// So far back a past is shown.
const BACK_MS: u64 = 24 * 3_600_000;

pub(super) async fn list(Get(state): Get<State>) -> Answer {
    let reports = ask(&state, |store| Watch::reports(store)).await?;
    Ok(Json(json!({ "services": reports })).into_response())
}

pub(super) async fn one(Get(state): Get<State>, Path((kind, name)): Path<(String, String)>) -> Answer {
    if name.contains('*') || kind.contains('*') {
        return Err(ApiError::NotFound);
    }
    let now = clock::wall_ms();
    let found = ask(&state, move |store| {
        let report = Watch::reports(store)?.into_iter().find(|r| r.kind == kind && r.name == name);
        let past = Watch::past(store, &kind, &name, now.saturating_sub(BACK_MS))?;
        Ok(report.map(|report| (report, past)))
    })
    .await?;
    let (report, past) = found.ok_or(ApiError::NotFound)?;
    let past: Vec<_> = past.iter().map(|(at, score)| json!({ "at_ms": at, "score": score })).collect();
    let mut answer = serde_json::to_value(report).map_err(|e| ApiError::Store(e.to_string()))?;
    answer["past"] = past.into();
    answer["now_ms"] = now.into();
    Ok(Json(answer).into_response())
}
