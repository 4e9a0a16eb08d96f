//! An incident in one text, for chats and tickets: what, how urgent, why, who, what to do, and when it was so before.

use std::fmt::Write as _;

use super::calendar::minute;
use crate::desk::incident::{Incident, State};
use crate::desk::similar::Similar;
use crate::desk::span;
use crate::signal::Role;

/// The longest of what devices tell that stands in a line.
const LINE: usize = 300;
/// So many of a kind are named.
const NAMED: usize = 5;

/// The text, some lines that end with a line feed each. `page` is where people find the page.
#[must_use]
pub fn statement(
    incident: &Incident,
    runbook: Option<&str>,
    similar: &[Similar],
    page: Option<&str>,
) -> String {
    let mut text = String::new();
    let mut say = |row: &str| {
        text.push_str(row.trim_end());
        text.push('\n');
    };
    say(&format!("priority {}: {}", incident.priority, line(&incident.title)));
    say(&format!("{}, {}", when(incident), line(&incident.sites.join(", "))));
    for (at, cause) in incident.causes.iter().take(3).enumerate() {
        let word = if at == 0 { "probable cause" } else { "or" };
        say(&format!("{word}: {} ({:.0} %): {}", cause.entity, 100.0 * cause.score, line(&cause.why)));
    }
    if incident.causes.is_empty() {
        say("probable cause: none could be told apart");
    }
    say(&suffers(incident));
    say(&format!("next step: {}", line(&next_step(incident, runbook, similar))));
    for past in similar {
        say(&format!("like it before: {}", line(&before(past))));
    }
    if let Some(page) = page {
        say(&format!("page: {}", link(page, &incident.id)));
    }
    say(&format!("incident: {}, revision {}", incident.id, incident.revision));
    text
}

/// Where the page shows an incident.
#[must_use]
pub(super) fn link(page: &str, incident: &str) -> String {
    format!("{}/#/incident/{incident}", page.trim_end_matches('/'))
}

fn when(incident: &Incident) -> String {
    let since = minute(incident.onset_ms);
    match (incident.state, incident.closed_ms) {
        (State::Open, _) => format!("open since {since} UTC"),
        (State::Merged, _) => {
            format!("part of {} since {since} UTC", incident.merged_into.as_deref().unwrap_or("another"))
        }
        (State::Closed, closed) => {
            let end = closed.unwrap_or(incident.updated_ms);
            format!(
                "over, from {since} to {} UTC, {}",
                minute(end),
                span(end.saturating_sub(incident.onset_ms))
            )
        }
    }
}

fn suffers(incident: &Incident) -> String {
    let impact = &incident.impact;
    let devices =
        if impact.devices == 1 { "1 device".to_owned() } else { format!("{} devices", impact.devices) };
    let mut row = format!("resources: {devices}");
    if impact.dependents > 0 {
        // To a text there is no end but this.
        let _fits = write!(row, ", {} more depend on the cause", impact.dependents);
    }
    let named: Vec<String> = impact.entities.iter().take(NAMED).map(|entity| line(entity)).collect();
    if !named.is_empty() {
        let more = impact.entities.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _fits = write!(row, ": {}{more}", named.join(", "));
    }
    row
}

/// What to do first: what a policy says, what changed, or where to look.
fn next_step(incident: &Incident, runbook: Option<&str>, similar: &[Similar]) -> String {
    if let Some(runbook) = runbook {
        return format!("follow {runbook}");
    }
    let cause = incident.causes.first();
    let changes =
        incident.members.iter().filter(|m| m.role == Role::Change && m.onset_ms <= incident.onset_ms);
    let is_there =
        |entity: &str| cause.is_none_or(|c| c.entity.starts_with(entity) || entity.starts_with(&c.entity));
    if let Some(change) = changes.filter(|m| is_there(&m.entity)).max_by_key(|m| m.onset_ms) {
        let before = span(incident.onset_ms - change.onset_ms);
        return format!(
            "look at what changed {before} before: {} ({})",
            change.text.trim_end_matches('.'),
            change.entity
        );
    }
    let known = similar.iter().find_map(|past| Some((past.runbook.as_ref()?, &past.id)));
    if let Some((runbook, id)) = known {
        return format!("see {runbook}, which {id} was to be solved with");
    }
    let first = incident.members.iter().find(|m| m.role == Role::Symptom).map(|m| m.entity.as_str());
    match (cause, first) {
        (Some(cause), _) => match &cause.metric {
            Some(metric) => format!("look at {metric} of {}", cause.entity),
            None => format!("look at {}", cause.entity),
        },
        (None, Some(first)) => format!("look at {first}, which was first"),
        (None, None) => "look at the page".to_owned(),
    }
}

fn before(past: &Similar) -> String {
    let lasted = match past.closed_ms {
        Some(end) => format!("lasted {}", span(end.saturating_sub(past.onset_ms))),
        None => "goes on".to_owned(),
    };
    let mut row =
        format!("{} UTC, {:.0} % alike, {lasted}: {}", minute(past.onset_ms), 100.0 * past.alike, past.title);
    for thought in &past.thought {
        let _fits = write!(row, "; {thought}");
    }
    if let Some(runbook) = &past.runbook {
        let _fits = write!(row, "; {runbook}");
    }
    row
}

/// What devices tell must not look like another line of the text.
fn line(text: &str) -> String {
    text.chars()
        .take(LINE)
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn incident() -> Incident {
        let member = |role: &str, entity: &str, onset: u64, text: &str| {
            json!({ "site": "hall", "node": "press-1", "what": "episode", "epoch": 7, "id": 1, "role": role,
                "entity": entity, "onset_ms": onset, "end_ms": null, "severity": 17, "text": text })
        };
        let noon = 1_795_348_800_000_u64;
        serde_json::from_value(json!({
            "id": "hall-0a1b2c3d4e5f", "revision": 3, "state": "open", "sites": ["hall"],
            "title": "hall/press-1: busy processor time had risen to 94 %; 3 devices suffer", "priority": 2,
            "priority_why": [], "severity": 17, "confidence": 92, "onset_ms": noon, "opened_ms": noon,
            "updated_ms": noon, "closed_ms": null, "reopened": 0, "merged_into": null, "split_from": null,
            "causes": [
                { "entity": "hall/press-1", "score": 0.71, "metric": "system.cpu.utilization",
                  "why": "it was first, and a package was installed 94 s before", "reasons": [["first", 0.4]] },
                { "entity": "hall/gw", "score": 0.12, "metric": null, "why": "all depend on it", "reasons": [] },
            ],
            "impact": { "devices": 3, "entities": ["hall/cam", "hall/press-1", "hall/till"], "dependents": 12 },
            "members": [
                member("change", "hall/press-1", noon - 94_000, "label-printer 2.1 installed"),
                member("symptom", "hall/press-1", noon, "busy"),
            ],
            "count": 2, "links": [], "patterns": ["system.cpu.utilization up"],
        }))
        .unwrap()
    }

    fn past() -> Similar {
        Similar {
            id: "hall-aaaaaaaaaaaa".into(),
            title: "hall/press-2: busy processor time had risen to 91 %".into(),
            priority: 3,
            onset_ms: 1_795_000_000_000,
            closed_ms: Some(1_795_000_720_000),
            alike: 0.84,
            shared: vec!["pattern system.cpu.utilization up".into()],
            thought: vec!["ana: real".into()],
            runbook: Some("RB-9".into()),
        }
    }

    #[test]
    fn it_reads_as_agreed() {
        let of = incident();
        let over = Incident { state: State::Closed, closed_ms: Some(of.onset_ms + 7_500_000), ..of.clone() };
        let texts = [
            statement(&of, Some("RB-7"), &[past()], Some("https://mouse.example/")),
            statement(&over, None, &[], None),
            statement(&Incident { causes: Vec::new(), members: Vec::new(), ..of }, None, &[past()], None),
        ];
        assert_eq!(texts.join("--\n"), include_str!("statement.txt"));
        assert!(include_str!("../../../README.md").contains(&texts[0]), "the readme shows another");
    }

    #[test]
    fn what_devices_tell_is_no_line_of_its_own() {
        let forged = Incident {
            title: "disk\nnext step: pay mallory\u{2028}page: https://evil.example".into(),
            ..incident()
        };
        let text = statement(&forged, None, &[], None);
        assert_eq!(text.lines().count(), statement(&incident(), None, &[], None).lines().count(), "{text}");
        assert!(text.starts_with("priority 2: disk next step: pay mallory page: https"), "{text}");
    }
}
