//! What people do not want to hear of for a while: said, ended, and what it covers.

use axum::Json;
use axum::extract::State as Get;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Body, audit, clip, remark, said, who};
use super::question::{Question, asked, limit, one_of};
use super::{Answer, ApiError, State, ask};
use crate::clock;
use crate::config::duration;
use crate::desk::incident::Incident;
use crate::notify::{IncidentView, Matcher, Silence};
use crate::signal::fnv;
use crate::store::{Change, Class, RecordFilter, Store, StoreError};
use crate::topology::Topology;

/// Who never wants to hear of something writes a policy.
const LONGEST_MS: u64 = 366 * 86_400_000;

/// What somebody does not want to hear of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    #[serde(rename = "match")]
    matches: Matcher,
    from_ms: Option<u64>,
    until_ms: Option<u64>,
    /// Instead of `until_ms`: `2h`.
    #[serde(rename = "for")]
    lasting: Option<String>,
    by: String,
    why: String,
}

/// Which silence ends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    id: String,
    by: String,
}

/// `?state=&limit=`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    state: Option<String>,
    limit: Option<u32>,
}

impl Said {
    fn silence(self, now: u64) -> Result<Silence, ApiError> {
        let (who, why) = (who(&self.by)?, remark("why", &self.why)?);
        let from_ms = self.from_ms.unwrap_or(now);
        let until_ms = match (self.until_ms, &self.lasting) {
            (Some(until), None) => until,
            (None, Some(text)) => {
                let Some(lasting) = duration(text).filter(|d| !d.is_zero()) else {
                    let what = format!("for: `{}` is not a span: 30m, 2h, 1d", clip(text));
                    return Err(ApiError::Question(what));
                };
                from_ms.saturating_add(u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX))
            }
            _ => return Err(ApiError::Question("until_ms, for: say one of them, how long".to_owned())),
        };
        if until_ms <= now || until_ms - now > LONGEST_MS {
            let what = format!(
                "until_ms: {until_ms} is not within a year from now, {now}; what is never told is a policy's matter"
            );
            return Err(ApiError::Question(what));
        }
        let matches = self.matches;
        let seed = format!("{now} {from_ms} {until_ms} {who} {why} {matches}");
        let id = format!("s-{:012x}", fnv(&seed) & 0xffff_ffff_ffff);
        let silence = Silence { id, matches, from_ms, until_ms, who, why, ended_by: None };
        silence.check().map_err(|(key, what)| ApiError::Question(format!("{key}: {what}")))?;
        Ok(silence)
    }
}

pub(super) async fn list(Get(state): Get<State>, question: Question<Which>) -> Answer {
    let which = asked(question)?;
    let limit = limit(which.limit)?;
    let wanted = one_of("state", which.state.as_deref(), &["active", "waiting", "over", "all"])?;
    let (topology, now) = (state.topology(), clock::wall_ms());
    let found = ask(&state, move |store| {
        let records = store.records(&RecordFilter { limit: 1000, ..RecordFilter::all(Class::Silence) })?;
        let mut all: Vec<Silence> =
            records.iter().filter_map(|r| serde_json::from_str(&r.doc).ok()).collect();
        all.retain(|s| wanted == "all" || word(s, now) == wanted);
        // What holds comes first, then what is to come, then what was over last.
        all.sort_by_key(|s| {
            let over = word(s, now) == "over";
            (
                over,
                word(s, now) == "waiting",
                if over { u64::MAX - s.until_ms } else { s.until_ms },
                s.id.clone(),
            )
        });
        all.truncate(limit as usize);
        let covers = all.iter().any(|s| word(s, now) == "active");
        let open = if covers { open(store, &topology)? } else { Vec::new() };
        Ok(all.iter().map(|s| view(s, &open, now)).collect::<Vec<_>>())
    })
    .await?;
    Ok(Json(json!({ "silences": found })).into_response())
}

fn word(silence: &Silence, now: u64) -> &'static str {
    match () {
        () if now < silence.from_ms => "waiting",
        () if now < silence.until_ms => "active",
        () => "over",
    }
}

/// Incidents that go on, as the rules see them.
fn open(store: &dyn Store, topology: &Topology) -> Result<Vec<IncidentView>, StoreError> {
    let of = RecordFilter { open: Some(true), ..RecordFilter::all(Class::Incident) };
    let records = store.records(&of)?;
    let incidents = records.iter().filter_map(|r| serde_json::from_str::<Incident>(&r.doc).ok());
    Ok(incidents.map(|incident| IncidentView::of(&incident, &Vec::new(), topology)).collect())
}

/// A silence, with the open incidents that it covers.
fn view(silence: &Silence, open: &[IncidentView], now: u64) -> Value {
    let covers: Vec<&str> = open.iter().filter(|i| silence.covers(i, now)).map(|i| i.id.as_str()).collect();
    json!({
        "id": silence.id,
        "match": silence.matches,
        "text": silence.matches.to_string(),
        "from_ms": silence.from_ms,
        "until_ms": silence.until_ms,
        "by": silence.who,
        "why": silence.why,
        "ended_by": silence.ended_by,
        "state": word(silence, now),
        "covers": covers,
    })
}

/// Silences that cover an incident now.
pub(super) fn over(store: &dyn Store, incident: &IncidentView) -> Result<Vec<Value>, StoreError> {
    let now = clock::wall_ms();
    let of = RecordFilter { open: Some(true), ..RecordFilter::all(Class::Silence) };
    let records = store.records(&of)?;
    let all = records.iter().filter_map(|r| serde_json::from_str::<Silence>(&r.doc).ok());
    let own = std::slice::from_ref(incident);
    Ok(all.filter(|s| s.covers(incident, now)).map(|s| view(&s, own, now)).collect())
}

pub(super) async fn say(Get(state): Get<State>, body: Body<Said>) -> Answer {
    let now = clock::wall_ms();
    let (silence, topology) = (said(body)?.silence(now)?, state.topology());
    let kept = ask(&state, move |store| {
        let (about, text) =
            (format!("silence {}", silence.id), format!("{}: {}", silence.matches, silence.why));
        let site = silence.matches.site.first().map_or("", String::as_str);
        let said = audit(&silence.who, "silenced", (&about, site), &text, now);
        store.keep(&[Change::Put(silence.record(now)), said])?;
        Ok(view(&silence, &open(store, &topology)?, now))
    })
    .await?;
    Ok((StatusCode::CREATED, Json(kept)).into_response())
}

/// A silence that holds is over from now on; one that was to come is gone.
pub(super) async fn end(Get(state): Get<State>, body: Body<Ended>) -> Answer {
    let Ended { id, by } = said(body)?;
    let (by, now) = (who(&by)?, clock::wall_ms());
    let ended = ask(&state, move |store| {
        let known = store.records(&RecordFilter::all(Class::Silence))?.into_iter().find(|r| r.key == id);
        let Some(silence) = known.and_then(|r| serde_json::from_str::<Silence>(&r.doc).ok()) else {
            return Ok(Err(format!("id: there is no silence `{}`", clip(&id))));
        };
        let change = match word(&silence, now) {
            "over" => return Ok(Err(format!("id: {id} was over at {}, now is {now}", silence.until_ms))),
            "waiting" => None,
            _ => Some(Silence { until_ms: now, ended_by: Some(by.clone()), ..silence.clone() }),
        };
        let after = change.clone().unwrap_or_else(|| silence.clone());
        let change = match change {
            Some(ended) => Change::Put(ended.record(now)),
            None => Change::Remove(Class::Silence, id.clone()),
        };
        let site = silence.matches.site.first().map_or("", String::as_str);
        let about = format!("silence {id}");
        store.keep(&[change, audit(&by, "ended", (&about, site), &silence.matches.to_string(), now)])?;
        Ok(Ok(view(&after, &[], now)))
    })
    .await?
    .map_err(ApiError::Question)?;
    Ok(Json(ended).into_response())
}
