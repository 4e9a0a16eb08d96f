//! What depends on what: asked, and corrected. Corrections are kept with who made them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::State as Get;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Body, audit, said, who};
use super::question::{Question, asked, limit_of};
use super::{Answer, ApiError, State, ask};
use crate::clock;
use crate::store::{Change, Committed};
use crate::topology::{Edge, Name, Refused, Topology, device_of, site_of};

/// `?site=&entity=&at_ms=&limit=`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    site: Option<String>,
    entity: Option<String>,
    at_ms: Option<u64>,
    limit: Option<u32>,
}

pub(super) async fn graph(Get(state): Get<State>, question: Question<Which>) -> Answer {
    let which = asked(question)?;
    let limit = limit_of(which.limit, 1000, 10_000)? as usize;
    let found = tokio::task::spawn_blocking(move || {
        let mut atlas = state.atlas.lock().unwrap_or_else(PoisonError::into_inner);
        let now = which.at_ms.unwrap_or_else(clock::wall_ms);
        let topology = match which.at_ms {
            Some(at) => Arc::new(atlas.as_of(at)),
            None => atlas.present(),
        };
        let notes = atlas.notes();
        let lives: Vec<Edge> = atlas.edges().filter(|e| e.held(now)).cloned().collect();
        drop(atlas);
        view(&topology, &lives, &which, notes, now, limit)
    });
    match found.await {
        Ok(Some(found)) => Ok(Json(found).into_response()),
        Ok(None) => Err(ApiError::NotFound),
        Err(e) => Err(ApiError::Store(e.to_string())),
    }
}

fn view(
    topology: &Topology,
    lives: &[Edge],
    which: &Which,
    notes: Vec<String>,
    now: u64,
    limit: usize,
) -> Option<Value> {
    let (mut about, mut shown): (Value, BTreeSet<&str>) = (Value::Null, BTreeSet::new());
    if let Some(entity) = &which.entity {
        let known = topology.entities().find(|(name, _)| name == entity)?.0;
        let hops = |found: Vec<(&str, u8)>| -> Vec<Value> {
            found.iter().take(limit).map(|(name, hops)| json!({ "name": name, "hops": hops })).collect()
        };
        let (on, by): (Vec<_>, Vec<_>) =
            (topology.dependencies(entity).collect(), topology.dependents(entity).collect());
        shown.insert(known);
        shown.extend(on.iter().chain(&by).map(|(name, _)| *name));
        about = json!({
            "name": known,
            "dependencies": hops(on),
            "dependents": hops(by),
            "siblings": topology.siblings(entity).take(limit).collect::<Vec<_>>(),
        });
    } else {
        let own = |name: &&str| which.site.as_ref().is_none_or(|site| site_of(name) == site);
        shown.extend(topology.entities().map(|(name, _)| name).filter(own));
        // What a site's devices depend on elsewhere belongs to the picture.
        let beyond: Vec<&str> =
            topology.edges().filter(|(from, _)| shown.contains(from)).map(|(_, to)| to).collect();
        shown.extend(beyond);
    }
    let total = shown.len();
    let shown: BTreeSet<&str> = shown.into_iter().take(limit).collect();
    let entities = topology.entities().filter(|(name, _)| shown.contains(name)).map(|(name, known)| {
        json!({
            "name": name,
            "kind": Name::of(name).map_or("site", |n| n.kind()),
            "importance": topology.importance(name),
            "labels": known.labels,
            "reported": known.reported,
            "dependents": topology.dependents_count(name),
        })
    });
    let mut told: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    for edge in lives {
        told.entry((&edge.from, &edge.to)).or_default().push(shown_life(edge));
    }
    let implied = |from: &str, to: &str| if device_of(from) == Some(to) { "part" } else { "elsewhere" };
    let edges = topology.edges().filter(|(from, to)| shown.contains(from) && shown.contains(to));
    let edges = edges.map(|(from, to)| {
        let told = told.get(&(from, to)).cloned();
        json!({ "from": from, "to": to, "told": told.unwrap_or_else(|| vec![json!({ "origin": implied(from, to) })]) })
    });
    Some(json!({
        "at_ms": now,
        "sites": topology.sites().collect::<Vec<_>>(),
        "entity": about,
        "entities": entities.collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
        "total": total,
        "denied": lives.iter().filter(|e| e.origin.word() == "denied").map(life).collect::<Vec<_>>(),
        "notes": notes,
    }))
}

fn shown_life(edge: &Edge) -> Value {
    json!({
        "origin": edge.origin.word(),
        "first_seen_ms": edge.first_seen,
        "last_seen_ms": edge.last_seen,
        "gone_ms": edge.gone,
        "by": edge.by,
        "gone_by": edge.gone_by,
    })
}

fn life(edge: &Edge) -> Value {
    let mut shown = shown_life(edge);
    shown["from"] = edge.from.as_str().into();
    shown["to"] = edge.to.as_str().into();
    shown
}

/// What somebody says of an edge.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    from: String,
    to: String,
    by: String,
    /// Whether there is no such edge, whatever others say.
    #[serde(default)]
    denied: bool,
}

pub(super) async fn say(Get(state): Get<State>, body: Body<Said>) -> Answer {
    edit(state, body, StatusCode::CREATED, |said, atlas, now| {
        atlas.say(&said.from, &said.to, said.denied, &said.by, now).map(|edge| vec![edge])
    })
    .await
}

pub(super) async fn take_back(Get(state): Get<State>, body: Body<Said>) -> Answer {
    edit(state, body, StatusCode::OK, |said, atlas, now| atlas.take_back(&said.from, &said.to, &said.by, now))
        .await
}

async fn edit(
    state: State,
    body: Body<Said>,
    done: StatusCode,
    change: impl FnOnce(&Said, &mut crate::topology::Atlas, u64) -> Result<Vec<Edge>, Refused> + Send + 'static,
) -> Answer {
    let mut said = said(body)?;
    said.by = who(&said.by)?;
    let (atlas, now, bell) = (Arc::clone(&state.atlas), clock::wall_ms(), state.bell.clone());
    let edges = ask(&state, move |store| {
        let mut atlas = atlas.lock().unwrap_or_else(PoisonError::into_inner);
        let before = atlas.said();
        let edges = match change(&said, &mut atlas, now) {
            Ok(edges) => edges,
            Err(refused) => return Ok(Err(refused.to_string())),
        };
        let mut changes: Vec<Change> = edges.iter().map(|edge| edge.kept(now)).collect();
        changes.extend(edges.iter().map(|edge| audited(edge, now)));
        if let Err(e) = store.keep(&changes) {
            // What is not kept was not said.
            atlas.unsay(before);
            return Err(e);
        }
        Ok(Ok(edges))
    })
    .await?
    .map_err(ApiError::Question)?;
    // What belongs together may be something else now.
    let sites = edges.iter().flat_map(|e| [&e.from, &e.to]).map(|name| (site_of(name).to_owned(), now));
    bell.ring(&Committed { touched: sites.collect(), ..Committed::default() });
    Ok((done, Json(json!({ "edges": edges.iter().map(life).collect::<Vec<_>>() }))).into_response())
}

fn audited(edge: &Edge, now: u64) -> Change {
    let by = edge.gone_by.as_ref().or(edge.by.as_ref()).map_or("", String::as_str);
    let what = if edge.gone.is_some() { "took back" } else { "said" };
    audit(by, what, (&format!("edge {}", edge.key()), site_of(&edge.from)), &edge.to_string(), now)
}
