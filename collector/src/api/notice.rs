//! What people are told and what not: the budget, what is held back and why, and what became of each notice.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State as Get;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::json::budget;
use super::question::{HowMany, Question, asked, limit};
use super::{Answer, State, ask};
use crate::store::{Class, RecordFilter};

pub(super) async fn list(Get(state): Get<State>, question: Question<HowMany>) -> Answer {
    let limit = limit(asked(question)?.limit)?;
    let (held, notices) = ask(&state, move |store| {
        let open = |class| RecordFilter { open: Some(true), ..RecordFilter::all(class) };
        let doc = |doc: &str| serde_json::from_str::<Value>(doc).ok();
        let decisions = store.records(&open(Class::Decision))?;
        let decisions: BTreeMap<String, Value> =
            decisions.into_iter().filter_map(|r| Some((r.key, doc(&r.doc)?))).collect();
        let mut held: Vec<Value> = Vec::new();
        for record in store.records(&open(Class::Incident))? {
            let decision = decisions.get(&record.key).filter(|d| d["outcome"] != "page");
            if let (Some(decision), Some(incident)) = (decision, doc(&record.doc)) {
                held.push(json!({
                    "incident": record.key,
                    "title": incident["title"],
                    "priority": incident["priority"],
                    "sites": incident["sites"],
                    "onset_ms": incident["onset_ms"],
                    "decision": decision,
                }));
            }
        }
        held.sort_by_key(|h| (h["priority"].as_u64(), h["onset_ms"].as_u64()));
        held.truncate(limit as usize);
        let mut notices: Vec<Value> = store
            .records(&RecordFilter { limit, ..RecordFilter::all(Class::Notice) })?
            .iter()
            .filter_map(|r| doc(&r.doc))
            .collect();
        for notice in &mut notices {
            if let Some(fields) = notice.as_object_mut() {
                // The incident and its text are told at the incident.
                fields.retain(|key, _| key != "document" && key != "statement");
            }
        }
        Ok((held, notices))
    })
    .await?;
    Ok(Json(json!({ "budget": budget(&state), "held": held, "notices": notices })).into_response())
}
