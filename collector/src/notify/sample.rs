//! Incidents and rules for tests.

use super::IncidentView;
use super::rules::{Rules, Tables};
use crate::config::Written;

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

/// Tables as they are read from a file called `rules`.
pub(super) fn tables(text: &str) -> Result<Tables, String> {
    Written::parse("rules", text).map(|mut written| written.tables()).map_err(|e| e.to_string())
}

/// The rules of this text.
pub(super) fn rules(text: &str) -> Rules {
    Rules::of(tables(text).unwrap_or_else(|e| panic!("{e}"))).unwrap_or_else(|e| panic!("{e}"))
}
