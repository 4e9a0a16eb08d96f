//! The capsule of an episode: served if it is here, else fetched from the device. The collector stands between like a cache,
//! so to ask for it is to read, and to ask again does no harm.

use axum::Json;
use axum::extract::{Path, State as Get};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fieldmouse_core::wire::piece;
use serde_json::json;

use super::{Answer, ApiError, State, ask};
use crate::clock;
use crate::store::{Capsule, Wanted, put_off_word};

/// Seconds after which it is worth to look again.
const SOON_S: u64 = 2;

pub(super) async fn capsule(
    Get(state): Get<State>,
    Path((site, node, epoch, id)): Path<(String, String, String, String)>,
) -> Answer {
    let (Ok(epoch), Ok(episode)) = (epoch.parse(), id.parse()) else { return Err(ApiError::NotFound) };
    let name = format!("{node}-{episode}.capsule");
    let now = clock::wall_ms();
    let found = ask(&state, move |s| {
        if s.episode(&site, &node, epoch, episode)?.is_none() {
            return Ok(None);
        }
        s.ask_capsule(Wanted { site, node, epoch, episode, at: 0 }, now).map(Some)
    })
    .await?;
    let (capsule, wanted) = found.ok_or(ApiError::NotFound)?;
    if let Some(wanted) = wanted {
        state.asker.ask(&wanted);
    }
    Ok(answer(capsule, &name))
}

fn answer(capsule: Capsule, name: &str) -> Response {
    let mut headers = HeaderMap::new();
    let retry = |seconds: u64| HeaderValue::from(seconds);
    match capsule {
        Capsule::Whole(bytes) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
                headers.insert(header::CONTENT_DISPOSITION, name);
            }
            (headers, bytes).into_response()
        }
        Capsule::UnderWay { have, of } => {
            headers.insert(header::RETRY_AFTER, retry(SOON_S));
            (StatusCode::ACCEPTED, headers, Json(json!({ "have": have, "of": of }))).into_response()
        }
        Capsule::PutOff { why, retry_s } => {
            let status =
                if why == piece::UNKNOWN { StatusCode::NOT_FOUND } else { StatusCode::SERVICE_UNAVAILABLE };
            headers.insert(header::RETRY_AFTER, retry(retry_s));
            let error = format!("{}; it may be asked for again in {retry_s} s", put_off_word(why));
            (status, headers, Json(json!({ "error": error }))).into_response()
        }
    }
}
