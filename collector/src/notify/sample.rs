//! Incidents and rules for tests.

use serde::Deserialize;

use super::inhibition::InhibitionTable;
use super::maintenance::MaintenanceTable;
use super::outlets::OutletTable;
use super::rules::{Notify, Rules, Tables};
use super::{IncidentView, PolicyTable};

/// An open incident that something busy at one device founded.
pub(super) fn incident(id: &str, priority: u8) -> IncidentView {
    IncidentView {
        id: id.to_owned(),
        revision: 1,
        priority,
        severity: 17,
        confidence: 0.8,
        sites: vec!["home".into()],
        entities: vec!["home/nas".into()],
        devices: 1,
        founder: "home/nas".into(),
        kinds: vec!["episode".into()],
        patterns: vec!["disk busy".into()],
        title: "disk of home/nas is busy".into(),
        ..IncidentView::default()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    notify: Notify,
    #[serde(default)]
    policy: Vec<toml::Spanned<PolicyTable>>,
    #[serde(default)]
    maintenance: Vec<MaintenanceTable>,
    #[serde(default)]
    inhibit: Vec<InhibitionTable>,
    #[serde(default)]
    outlet: Vec<OutletTable>,
}

/// Tables as they are read from a file called `rules`.
pub(super) fn tables(text: &str) -> Result<Tables, String> {
    let t: Text = toml::from_str(text).map_err(|e| e.to_string())?;
    let place = |p: toml::Spanned<PolicyTable>| {
        let line = text[..p.span().start].matches('\n').count() + 1;
        PolicyTable { place: format!("rules:{line}"), ..p.into_inner() }
    };
    let policy = t.policy.into_iter().map(place).collect();
    Ok(Tables { notify: t.notify, policy, maintenance: t.maintenance, inhibit: t.inhibit, outlet: t.outlet })
}

/// The rules of this text.
pub(super) fn rules(text: &str) -> Rules {
    Rules::of(tables(text).unwrap_or_else(|e| panic!("{e}"))).unwrap_or_else(|e| panic!("{e}"))
}
