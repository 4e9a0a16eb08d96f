//! Incidents as they are kept, with their lives. Severities are words here, as everywhere in the answers.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use axum::Json;
use axum::extract::{Path, State as Get};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::question::{Question, asked, limit, open};
use super::{Answer, ApiError, State, ask, silence, verdict};
use crate::desk::incident::Incident;
use crate::desk::similar::Similar;
use crate::notify::{self, Decision, IncidentView, Matcher};
use crate::store::{Class, Record, RecordFilter, Store, StoreError};
use crate::words;

/// What a list leaves out of an incident.
const LEFT_OUT: [&str; 4] = ["members", "links", "patterns", "priority_why"];
/// Chains of dependencies that are shown with an incident.
const CHAINS: usize = 8;

/// `?state=&site=&priority=&limit=`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    state: Option<String>,
    site: Option<String>,
    priority: Option<u8>,
    limit: Option<u32>,
}

pub(super) async fn list(Get(state): Get<State>, question: Question<Which>) -> Answer {
    let which = asked(question)?;
    let (open, limit) = (open(which.state.as_deref())?, limit(which.limit)?);
    let mut found = ask(&state, move |store| {
        // Which priorities there are only the documents say.
        let most = if which.priority.is_some() { 1000 } else { limit };
        let of = RecordFilter {
            open,
            site: which.site.as_deref(),
            limit: most,
            ..RecordFilter::all(Class::Incident)
        };
        let wanted = |doc: &Value| which.priority.is_none_or(|p| doc["priority"] == p);
        let records = store.records(&of)?;
        let mut found: Vec<Value> =
            records.iter().filter_map(document).filter(wanted).take(limit as usize).collect();
        for doc in &mut found {
            let id = doc["id"].as_str().unwrap_or_default().to_owned();
            doc["decision"] = decision(store, &id)?;
        }
        Ok(found)
    })
    .await?;
    for doc in &mut found {
        if let Some(fields) = doc.as_object_mut() {
            fields.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
            if let Some(Value::Array(causes)) = fields.get_mut("causes") {
                causes.truncate(1);
            }
        }
    }
    Ok(Json(json!({ "incidents": found })).into_response())
}

pub(super) async fn one(Get(state): Get<State>, Path(id): Path<String>) -> Answer {
    let (atlas, stakes) = (state.topology(), verdict::stakes(&state));
    let (topology, past) = (atlas.clone(), state.past.clone());
    let found = ask(&state, move |store| {
        let Some((record, incident)) = known(store, &id)? else { return Ok(None) };
        let Some(mut doc) = document(&record) else { return Ok(None) };
        let view = IncidentView::of(&incident, &Vec::new(), &topology);
        let thought = verdict::view(store, &view, stakes)?;
        doc["life"] = lives(store, &id)?.into();
        doc["notices"] = notices(store, &record, &id)?.into();
        doc["verdicts"] = thought["verdicts"].clone();
        doc["next_time"] = thought["next_time"].clone();
        doc["decision"] = decision(store, &id)?;
        doc["silences"] = silence::over(store, &view)?.into();
        doc["silence_like_it"] = json!(Matcher::of(&view));
        let similar = past.lock().unwrap_or_else(PoisonError::into_inner).similar(&incident);
        doc["similar"] = json!(similar);
        Ok(Some(doc))
    })
    .await?;
    let mut doc = found.ok_or(ApiError::NotFound)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    doc["chains"] = json!([]);
    if let Some(cause) = text(&doc["causes"][0]["entity"]) {
        let members = doc["members"].as_array().cloned().unwrap_or_default();
        let who: BTreeSet<String> = members.iter().filter_map(|m| text(&m["entity"])).collect();
        let chains = who.iter().filter_map(|who| atlas.path(who, &cause)).filter(|chain| chain.len() > 1);
        doc["chains"] = chains.take(CHAINS).collect::<Vec<_>>().into();
    }
    Ok(Json(doc).into_response())
}

fn lives(store: &dyn Store, id: &str) -> Result<Vec<Value>, StoreError> {
    let begin = format!("{id}/*");
    let of = RecordFilter { key: Some(&begin), limit: 500, ..RecordFilter::all(Class::Life) };
    let mut records = store.records(&of)?;
    records.sort_by(|a, b| (a.at_ms, &a.key).cmp(&(b.at_ms, &b.key)));
    Ok(records.iter().filter_map(document).collect())
}

/// An incident in one text, for chats and tickets.
pub(super) async fn statement(Get(state): Get<State>, Path(id): Path<String>) -> Answer {
    let (past, rules) = (state.past.clone(), state.rules.clone());
    let found = ask(&state, move |store| {
        let Some((_, incident)) = known(store, &id)? else { return Ok(None) };
        let records = store.records(&RecordFilter::one(Class::Decision, &id))?;
        let decision = records.first().and_then(|r| serde_json::from_str::<Decision>(&r.doc).ok());
        let runbook = decision.and_then(|d| d.runbook);
        let similar: Vec<Similar> = past.lock().unwrap_or_else(PoisonError::into_inner).similar(&incident);
        Ok(Some(notify::statement(&incident, runbook.as_deref(), &similar, rules.page_url.as_deref())))
    })
    .await?;
    let text = found.ok_or(ApiError::NotFound)?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// An incident by its name, as it is kept.
pub(super) fn known(store: &dyn Store, id: &str) -> Result<Option<(Record, Incident)>, StoreError> {
    // A star would stand for the rest of any name.
    if id.contains('*') {
        return Ok(None);
    }
    let found = store.records(&RecordFilter::one(Class::Incident, id))?.into_iter().next();
    Ok(found.and_then(|record| serde_json::from_str(&record.doc).ok().map(|incident| (record, incident))))
}

/// What was told of an incident since it was opened; the incident itself is not told again.
fn notices(store: &dyn Store, incident: &Record, id: &str) -> Result<Vec<Value>, StoreError> {
    let of = RecordFilter { site: Some(&incident.site), limit: 1000, ..RecordFilter::all(Class::Notice) };
    let records = store.records(&of)?;
    let mut found: Vec<Value> =
        records.iter().rev().filter_map(document).filter(|doc| doc["incident"] == id).collect();
    for doc in &mut found {
        if let Some(fields) = doc.as_object_mut() {
            fields.retain(|key, _| key != "document" && key != "statement");
        }
    }
    Ok(found)
}

/// Whether people are told of an incident, and why; null if that was not decided yet.
fn decision(store: &dyn Store, id: &str) -> Result<Value, StoreError> {
    let records = store.records(&RecordFilter::one(Class::Decision, id))?;
    Ok(records.first().and_then(document).unwrap_or_default())
}

/// The document of a record, numbers of severities in words.
fn document(record: &Record) -> Option<Value> {
    let mut doc = serde_json::from_str(&record.doc).ok()?;
    in_words(&mut doc);
    Some(doc)
}

fn in_words(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(in_words),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_u64() {
                    Some(n) if key == "severity" => {
                        *value = words::severity_word(u8::try_from(n).unwrap_or(u8::MAX)).into();
                    }
                    // Identities of 64 bits would be rounded.
                    Some(n) if key == "epoch" || (key == "id" && n > 0) => *value = n.to_string().into(),
                    _ => in_words(value),
                }
            }
        }
        _ => {}
    }
}
