//! What people thought of incidents: said, taken back, and what it changes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Get};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Body, audit, clip, remark, said, who};
use super::incident::known;
use super::question::{HowMany, Question, asked, limit};
use super::{Answer, ApiError, State, ask};
use crate::clock;
use crate::notify::{IncidentView, Verdict, Word, next_time};
use crate::store::{Change, Class, RecordFilter, Store, StoreError};
use crate::topology::Topology;

/// The longest time for which something can be said to be expected: longer is for good.
const LONGEST_MS: u64 = 366 * 86_400_000;

/// What somebody thinks of an incident.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    word: Word,
    by: String,
    #[serde(default)]
    note: String,
    until_ms: Option<u64>,
}

/// Who takes back what he thought.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TakenBack {
    by: String,
}

/// All verdicts, the latest first.
pub(super) async fn list(Get(state): Get<State>, question: Question<HowMany>) -> Answer {
    let limit = limit(asked(question)?.limit)?;
    let found = ask(&state, move |store| {
        let records = store.records(&RecordFilter { limit, ..RecordFilter::all(Class::Verdict) })?;
        let all = records.iter().filter_map(|r| serde_json::from_str::<Verdict>(&r.doc).ok());
        Ok(all.map(|verdict| shown(&verdict)).collect::<Vec<_>>())
    })
    .await?;
    Ok(Json(json!({ "verdicts": found })).into_response())
}

/// Verdicts on one incident, and what they change.
pub(super) async fn of(Get(state): Get<State>, Path(id): Path<String>) -> Answer {
    let (topology, stakes) = (state.topology(), stakes(&state));
    let found = ask(&state, move |store| {
        let Some((_, incident)) = known(store, &id)? else { return Ok(None) };
        view(store, &IncidentView::of(&incident, &Vec::new(), &topology), stakes).map(Some)
    })
    .await?;
    Ok(Json(found.ok_or(ApiError::NotFound)?).into_response())
}

/// What is told now, and what always.
pub(super) fn stakes(state: &State) -> (f32, u8) {
    (state.counters.pages().price, state.rules.always)
}

/// What was thought of an incident, and what that and other verdicts change.
pub(super) fn view(store: &dyn Store, of: &IncidentView, stakes: (f32, u8)) -> Result<Value, StoreError> {
    let all = all(store)?;
    let own: Vec<Value> = all.iter().filter(|v| v.incident == of.id).map(shown).collect();
    Ok(json!({ "verdicts": own, "next_time": next_time(&all, of, stakes, clock::wall_ms()) }))
}

fn shown(verdict: &Verdict) -> Value {
    json!({
        "incident": verdict.incident,
        "word": verdict.word,
        "by": verdict.who,
        "at_ms": verdict.at_ms,
        "until_ms": verdict.until_ms,
        "note": verdict.note,
        "pattern": verdict.pattern,
        "causes": verdict.causes,
    })
}

fn all(store: &dyn Store) -> Result<Vec<Verdict>, StoreError> {
    let records = store.records(&RecordFilter::all(Class::Verdict))?;
    Ok(records.iter().filter_map(|r| serde_json::from_str(&r.doc).ok()).collect())
}

pub(super) async fn say(Get(state): Get<State>, Path(id): Path<String>, body: Body<Said>) -> Answer {
    let said = said(body)?;
    let (by, note, now) = (who(&said.by)?, remark("note", &said.note)?, clock::wall_ms());
    if let Some(until) = said.until_ms.filter(|until| *until <= now || *until - now > LONGEST_MS) {
        let what = format!("until_ms: {until} is not within a year from now, {now}; leave it out for good");
        return Err(ApiError::Question(what));
    }
    edit(state, id, StatusCode::CREATED, move |store, of, site| {
        let verdict = Verdict { until_ms: said.until_ms, ..Verdict::on(of, said.word, &by, &note, now) };
        let text = format!(
            "{} is {}{}",
            of.id,
            said.word.word(),
            if note.is_empty() { String::new() } else { format!(": {note}") }
        );
        let about = format!("verdict {}", verdict.key());
        store.keep(&[Change::Put(verdict.record()), audit(&by, "said", (&about, site), &text, now)])?;
        Ok(Ok(()))
    })
    .await
}

pub(super) async fn take_back(
    Get(state): Get<State>,
    Path(id): Path<String>,
    body: Body<TakenBack>,
) -> Answer {
    let (by, now) = (who(&said(body)?.by)?, clock::wall_ms());
    edit(state, id, StatusCode::OK, move |store, of, site| {
        let own: Vec<Verdict> = all(store)?.into_iter().filter(|v| v.incident == of.id).collect();
        let Some(verdict) = own.iter().find(|v| v.who == by) else {
            let names: Vec<&str> = own.iter().map(|v| v.who.as_str()).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            let what = format!("by: `{}` said nothing of {}; {names} did", clip(&by), of.id);
            return Ok(Err(ApiError::Question(what)));
        };
        let (text, about) =
            (format!("{} is {}", of.id, verdict.word.word()), format!("verdict {}", verdict.key()));
        let gone = Change::Remove(Class::Verdict, verdict.key());
        store.keep(&[gone, audit(&by, "took back", (&about, site), &text, now)])?;
        Ok(Ok(()))
    })
    .await
}

/// Changes what is thought of an incident, and answers with what is thought of it then.
async fn edit(
    state: State,
    id: String,
    done: StatusCode,
    change: impl FnOnce(&dyn Store, &IncidentView, &str) -> Result<Result<(), ApiError>, StoreError>
    + Send
    + 'static,
) -> Answer {
    let (topology, stakes): (Arc<Topology>, _) = (state.topology(), stakes(&state));
    let answer = ask(&state, move |store| {
        let Some((record, incident)) = known(store, &id)? else { return Ok(Err(ApiError::NotFound)) };
        if let Some(into) = &incident.merged_into {
            let what = format!("id: {} became part of {into}; say it of that one", incident.id);
            return Ok(Err(ApiError::Question(what)));
        }
        let of = IncidentView::of(&incident, &Vec::new(), &topology);
        if let Err(wrong) = change(store, &of, &record.site)? {
            return Ok(Err(wrong));
        }
        view(store, &of, stakes).map(Ok)
    })
    .await??;
    Ok((done, Json(answer)).into_response())
}
