//! Signals that came together again and again: what was learnt, whether it is used, and what people say of it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State as Get;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Body, audit, clip, said, who};
use super::question::{Question, asked, limit, one_of};
use super::{Answer, ApiError, State, ask};
use crate::clock;
use crate::correlate::learnt::Pair;
use crate::desk::patterns::{self, Learn, Review};
use crate::store::{Change, Class, Committed, Store, StoreError};

/// What somebody says of a pair.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    names: (String, String),
    wanted: bool,
    by: String,
}

/// Of which pair it is taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TakenBack {
    names: (String, String),
    by: String,
}

/// `?site=&state=&limit=`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    site: Option<String>,
    state: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(Get(state): Get<State>, question: Question<Which>) -> Answer {
    let which = asked(question)?;
    let limit = limit(which.limit)?;
    let wanted = one_of("state", which.state.as_deref(), &["used", "proposed", "refused", "off", "all"])?;
    let learn = state.learn;
    let (total, found) = ask(&state, move |store| {
        let mut all = views(store, which.site.as_deref(), learn)?;
        all.retain(|pair| wanted == "all" || pair["state"] == wanted);
        // What waits for a person comes first, then what came together most often.
        all.sort_by_key(|pair| (pair["state"] != "proposed", u64::MAX - pair["count"].as_u64().unwrap_or(0)));
        let total = all.len();
        all.truncate(limit as usize);
        Ok((total, all))
    })
    .await?;
    Ok(Json(json!({ "learn": learn, "total": total, "pairs": found })).into_response())
}

fn views(store: &dyn Store, site: Option<&str>, learn: Learn) -> Result<Vec<Value>, StoreError> {
    let mut reviews = patterns::reviews(store)?;
    let learnt = patterns::learnt(store, site)?;
    let mut all: Vec<Value> = learnt
        .into_iter()
        .map(|pair| {
            let review = reviews.remove(&pair.names);
            view(&pair.names, Some(&pair), review.as_ref(), learn)
        })
        .collect();
    // What was said of what no longer comes together stands until it is taken back.
    let of_site = |names: &(String, String)| site.is_none_or(|site| site == patterns::site(names));
    let left: BTreeMap<_, _> = reviews.into_iter().filter(|(names, _)| of_site(names)).collect();
    all.extend(left.iter().map(|(names, review)| view(names, None, Some(review), learn)));
    Ok(all)
}

fn view(names: &(String, String), pair: Option<&Pair>, review: Option<&Review>, learn: Learn) -> Value {
    let state = match (learn, review.map(|said| said.wanted)) {
        (Learn::Off, _) => "off",
        (_, Some(false)) => "refused",
        (Learn::Review, None) => "proposed",
        _ => "used",
    };
    json!({
        "names": names,
        "site": patterns::site(names),
        "count": pair.map_or(0, |pair| pair.count),
        "sure": pair.map(|pair| pair.sure),
        "last_ms": pair.map(|pair| pair.last_ms),
        "state": state,
        "wanted": review.map(|said| said.wanted),
        "by": review.map(|said| &said.by),
        "at_ms": review.map(|said| said.at_ms),
    })
}

pub(super) async fn say(Get(state): Get<State>, body: Body<Said>) -> Answer {
    let Said { names, wanted, by } = said(body)?;
    let by = who(&by)?;
    let what = if wanted { "accepted" } else { "refused" };
    edit(state, names, (by.clone(), what), StatusCode::CREATED, move |store, names, now| {
        let pair = patterns::learnt(store, None)?.into_iter().find(|pair| pair.names == *names);
        let review = Review { names: names.clone(), wanted, by, at_ms: now };
        match (pair, review.record()) {
            (Some(_), Some(record)) => Ok(Ok(Change::Put(record))),
            _ => Ok(Err(nothing(names, "came together often enough to be learnt"))),
        }
    })
    .await
}

pub(super) async fn take_back(Get(state): Get<State>, body: Body<TakenBack>) -> Answer {
    let TakenBack { names, by } = said(body)?;
    let by = who(&by)?;
    edit(state, names, (by, "took back"), StatusCode::OK, |store, names, _| {
        if patterns::reviews(store)?.contains_key(names) {
            return Ok(Ok(Change::Remove(Class::Review, patterns::key(names))));
        }
        Ok(Err(nothing(names, "were accepted or refused by anybody")))
    })
    .await
}

fn nothing(names: &(String, String), what: &str) -> String {
    format!(
        "names: not that `{}` and `{}` {what}; GET /api/v1/pairs lists those that did",
        clip(&names.0),
        clip(&names.1)
    )
}

async fn edit(
    state: State,
    names: (String, String),
    (by, what): (String, &'static str),
    done: StatusCode,
    change: impl FnOnce(&dyn Store, &(String, String), u64) -> Result<Result<Change, String>, StoreError>
    + Send
    + 'static,
) -> Answer {
    // A pair has no order.
    let names = if names.0 <= names.1 { names } else { (names.1, names.0) };
    let (now, learn) = (clock::wall_ms(), state.learn);
    let site = patterns::site(&names).to_owned();
    let of = site.clone();
    let shown = ask(&state, move |store| {
        let change = match change(store, &names, now)? {
            Ok(change) => change,
            Err(refused) => return Ok(Err(refused)),
        };
        let key = patterns::key(&names);
        store.keep(&[change, audit(&by, what, (&format!("pair {key}"), &of), &key, now)])?;
        let pair = patterns::learnt(store, Some(&of))?.into_iter().find(|pair| pair.names == names);
        let review = patterns::reviews(store)?.remove(&names);
        Ok(Ok(view(&names, pair.as_ref(), review.as_ref(), learn)))
    })
    .await?
    .map_err(ApiError::Question)?;
    // What belongs together may be something else now.
    state.bell.ring(&Committed { touched: [(site, now)].into(), ..Committed::default() });
    Ok((done, Json(shown)).into_response())
}
