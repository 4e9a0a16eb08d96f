//! What a device's birth says of its dependencies. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::edge::Origin;
use super::entity::{LONGEST, Name, device, part, part_of_series};
use crate::store;

/// Labels that name what the device depends on: a device of its site, or any entity by its whole name; several are
/// parted by `;`.
const DEPENDS: [&str; 4] = ["gateway", "uplink", "parent", "depends"];
/// Parts of one device that are told apart.
const PARTS: usize = 256;

/// What a device says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// Site.
    pub site: String,
    /// Node.
    pub node: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Parts of it that have series.
    pub parts: BTreeSet<String>,
    /// Who calls whom on it.
    pub calls: Vec<(String, String)>,
    /// When it was first heard of, in milliseconds since 1970.
    pub first_seen: u64,
    /// And last.
    pub seen_at: u64,
}

#[derive(Debug, Deserialize)]
struct Call {
    from: String,
    to: String,
}

impl Heard {
    /// What the store knows of a device. What cannot be read says nothing.
    #[must_use]
    pub fn of(d: &store::Device) -> Self {
        let whole = device(&d.site, &d.node);
        let series: Vec<String> = serde_json::from_str(&d.series).unwrap_or_default();
        let calls: Vec<Call> = serde_json::from_str(&d.edges).unwrap_or_default();
        let labels = d.labels.split(',').filter_map(|pair| pair.split_once('='));
        let parts = series.iter().filter_map(|s| part_of_series(s));
        Self {
            site: d.site.clone(),
            node: d.node.clone(),
            labels: labels.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect(),
            parts: parts
                .map(|(kind, name)| part(&whole, kind, name))
                .filter(|name| *name != whole)
                .take(PARTS)
                .collect(),
            calls: calls.into_iter().map(|c| (c.from, c.to)).collect(),
            first_seen: d.first_seen,
            seen_at: d.seen_at,
        }
    }

    /// `site/node`
    #[must_use]
    pub fn name(&self) -> String {
        device(&self.site, &self.node)
    }

    /// Who depends on whom, by what it says, and what of it makes no sense.
    #[must_use]
    pub fn depends(&self) -> (BTreeSet<(String, String, Origin)>, Vec<String>) {
        let (own, mut found, mut notes) = (self.name(), BTreeSet::new(), Vec::new());
        for key in DEPENDS {
            for value in self.labels.get(key).into_iter().flat_map(|v| v.split(';')).map(str::trim) {
                let to = if value.contains('/') { value.to_owned() } else { device(&self.site, value) };
                if Name::of(&to).is_none() {
                    notes.push(format!("{own}: label {key}=`{}` names no device", clipped(value)));
                } else if to == own {
                    notes.push(format!("{own}: label {key}=`{value}` is the device itself"));
                } else {
                    found.insert((own.clone(), to, Origin::Label));
                }
            }
        }
        for (from, to) in &self.calls {
            let (caller, called) = (part(&own, "service", from), part(&own, "service", to));
            if let Some(wrong) = [(&caller, from), (&called, to)].into_iter().find(|(name, _)| **name == own)
            {
                notes.push(format!("{own}: `{}` is no name of a service", clipped(wrong.1)));
            } else if caller != called {
                found.insert((caller, called, Origin::Calls));
            }
        }
        (found, notes)
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(LONGEST / 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(labels: &[(&str, &str)], calls: &[(&str, &str)], want: &[(&str, &str)], notes: usize) {
        let heard = Heard {
            site: "hall".into(),
            node: "p".into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            calls: calls.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect(),
            ..Heard::default()
        };
        let (found, told) = heard.depends();
        let found: Vec<(&str, &str)> = found.iter().map(|(f, t, _)| (f.as_str(), t.as_str())).collect();
        assert_eq!(found, want);
        assert_eq!(told.len(), notes, "{told:?}");
        assert!(told.iter().all(|note| note.len() < 1000));
    }

    #[test]
    fn labels_and_calls_say_who_depends_on_whom() {
        check(&[("gateway", "gw-1"), ("hall", "b")], &[], &[("hall/p", "hall/gw-1")], 0);
        check(
            &[("depends", "db-1; office/erp"), ("uplink", "up")],
            &[],
            &[("hall/p", "hall/db-1"), ("hall/p", "hall/up"), ("hall/p", "office/erp")],
            0,
        );
        check(&[], &[("web", "shop")], &[("hall/p#service=web", "hall/p#service=shop")], 0);
        check(&[], &[("web", "web")], &[], 0);
        check(&[("parent", "p"), ("gateway", "GW 1"), ("uplink", "")], &[], &[], 3);
        let long = "x".repeat(1 << 20);
        check(&[("parent", &long)], &[("web", &long), (&long, "web")], &[], 3);
    }
}
