//! Once a second: who is let out of quarantine, and that people know of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::door::Door;
use super::quarantine::Case;
use crate::clock;
use crate::cluster::Sites;
use crate::store::{Change, Class, Record, RecordFilter, Store, StoreError};

const ROUND: Duration = Duration::from_secs(1);
/// What was written by others, or before a restart, is looked at every so many rounds.
const LOOK: u32 = 30;
/// What the keys of these alerts begin with.
const FLOOD: &str = "flood ";

/// Goes its rounds until it is stopped.
pub(super) async fn run(door: Arc<Door>, store: Arc<dyn Store>) {
    let mut rounds = tokio::time::interval(ROUND);
    let mut told: Option<Vec<Case>> = None;
    let mut since_look = 0;
    loop {
        rounds.tick().await;
        for case in door.turn(clock::wall_ms()) {
            let (site, node, dropped) = (&case.site, &case.node, case.dropped);
            log::info!("{site}/{node} is let out of quarantine; {dropped} messages were dropped");
        }
        let cases = door.cases();
        since_look += 1;
        let is_news = told.as_ref().is_none_or(|before| !same(before, &cases));
        if !is_news && since_look < LOOK {
            continue;
        }
        since_look = 0;
        let (store, sites, now) = (Arc::clone(&store), door.sites().borrow().clone(), cases.clone());
        let kept = tokio::task::spawn_blocking(move || tell(&*store, &sites, &now)).await;
        // A store that fails is told of where it is asked for more; this is tried again in the next round.
        told = matches!(kept, Ok(Ok(()))).then_some(cases);
    }
}

fn same(a: &[Case], b: &[Case]) -> bool {
    let what = |c: &Case| (c.site.clone(), c.node.clone(), c.since);
    a.iter().map(what).eq(b.iter().map(what))
}

/// Makes the open alerts those of the cases: whatever was written before, by whomever.
fn tell(store: &dyn Store, sites: &Sites, cases: &[Case]) -> Result<(), StoreError> {
    let open = RecordFilter { open: Some(true), key: Some("flood *"), ..RecordFilter::all(Class::Alert) };
    let mut open: BTreeMap<String, Record> =
        store.records(&open)?.into_iter().map(|r| (r.key.clone(), r)).collect();
    let mut changes = Vec::new();
    for case in cases.iter().filter(|c| sites.holds(&c.site)) {
        let alert = alert(case);
        if open.remove(&alert.key).is_none_or(|before| before.doc != alert.doc) {
            changes.push(Change::Put(alert));
        }
    }
    for (_, record) in open {
        if sites.holds(&record.site) {
            changes.push(Change::Put(Record { is_open: false, at_ms: clock::wall_ms(), ..record }));
        }
    }
    if changes.is_empty() { Ok(()) } else { store.keep(&changes) }
}

fn alert(case: &Case) -> Record {
    let (site, node) = (&case.site, &case.node);
    let text = format!(
        "{site}/{node} sends more events than a device may: it is put aside until it is let out again; what it has to tell \
         stays with it"
    );
    let doc = json!({
        "kind": "flood", "site": site, "node": node, "text": text, "since_ms": case.since, "until_ms": case.until,
        "times": case.times,
    });
    Record {
        class: Class::Alert,
        key: format!("{FLOOD}{site}/{node}"),
        site: site.clone(),
        at_ms: case.since,
        is_open: true,
        doc: doc.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Database;

    fn case(node: &str, since: u64) -> Case {
        Case { site: "hall".into(), node: node.into(), since, until: since + 1, times: 1, dropped: 0 }
    }

    #[test]
    fn there_is_one_alert_for_a_device_as_long_as_it_is_put_aside() {
        let store = Database::in_memory().unwrap();
        let check = |sites: &Sites, cases: &[Case], open: &[&str], all: usize| {
            tell(&store, sites, cases).unwrap();
            let found = store.records(&RecordFilter::all(Class::Alert)).unwrap();
            let mut keys: Vec<&str> = found.iter().filter(|r| r.is_open).map(|r| r.key.as_str()).collect();
            keys.sort_unstable();
            assert_eq!((keys.as_slice(), found.len()), (open, all), "{cases:?}");
        };
        check(&Sites::All, &[], &[], 0);
        check(&Sites::All, &[case("a", 1), case("b", 2)], &["flood hall/a", "flood hall/b"], 2);
        check(&Sites::All, &[case("a", 1)], &["flood hall/a"], 2);
        // Whoever does not hold the site says nothing of it.
        check(&Sites::none(), &[], &["flood hall/a"], 2);
        check(&Sites::none(), &[case("b", 3)], &["flood hall/a"], 2);
        check(&Sites::All, &[case("a", 9)], &["flood hall/a"], 2);
        // A new process begins with nobody put aside.
        check(&Sites::All, &[], &[], 2);
    }
}
