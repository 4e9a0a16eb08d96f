//! Scores by the table, a past that is kept, and forecasts tried on what they did not know.

use std::sync::Arc;

use super::*;
use crate::cluster::Sites;
use crate::signal::{Key, Moved, Role};
use crate::store::{Change, Database, Store};
use crate::topology::{Atlas, Declared, Heard};

const NOON: u64 = 1_795_348_800_000;
const DAY_MS: u64 = 86_400_000;

/// Something that goes on since noon on a series of a device: `hall/press-1 system.cpu.utilization 17`.
fn signal(what: What, text: &str) -> Signal {
    let mut words = text.split(' ');
    let (device, series) = (words.next().unwrap(), words.next().unwrap());
    let severity = words.next().unwrap().parse().unwrap();
    let (site, node) = device.split_once('/').unwrap();
    let moved = |name: &str| Moved { series: name.to_owned(), group: "other".to_owned(), share: 1.0 };
    Signal {
        key: Key {
            site: site.to_owned(),
            node: node.to_owned(),
            what,
            epoch: 1,
            id: crate::signal::fnv(text),
        },
        role: Role::Symptom,
        entity: of_series(device, series),
        pattern: String::new(),
        onset_ms: NOON,
        end_ms: None,
        severity,
        score: 1.0,
        confidence: 90,
        text: format!("{series} of {device}"),
        moved: (series != "-").then(|| moved(series)).into_iter().collect(),
        culprit: None,
        near: Vec::new(),
        due_ms: None,
        later: Vec::new(),
    }
}

fn episode(text: &str) -> Signal {
    signal(What::Episode, text)
}

fn atlas(declared: &str) -> (Atlas, std::sync::Arc<Topology>) {
    let mut atlas = Atlas::new(Declared::read("t", declared).unwrap(), []);
    for node in ["press-1", "press-2", "press-3", "press-4", "gw"] {
        let heard =
            Heard { site: "hall".into(), node: node.into(), first_seen: 1, seen_at: 1, ..Heard::default() };
        atlas.hear(heard);
    }
    atlas.declare(1, &Sites::All);
    let present = atlas.present();
    (atlas, present)
}

/// A service `s` of these KPIs under these signals: its score to two digits, and the levels of its KPIs.
fn check(kpis: &[&str], signals: &[Signal], want: (f64, &[Level])) -> Health {
    let kpis: String = kpis.iter().map(|kpi| format!("[[service.kpi]]\n{kpi}\n")).collect();
    let (atlas, topology) = atlas(&format!("[[service]]\nname = \"s\"\n{kpis}"));
    let found = service(&atlas.declared().services[0], &topology, open(signals, NOON), NOON);
    let levels: Vec<Level> = found.kpis.iter().map(|k| k.level).collect();
    assert_eq!(((found.score * 100.0).round() / 100.0, levels.as_slice()), want, "{kpis} {:?}", found.why);
    assert_eq!(found.level, Level::of_score(found.score));
    found
}

const A: &str = "name = \"a\"\nof = \"hall/press-1\"\nseries = \"a*\"";
const B: &str = "name = \"b\"\nof = \"hall/press-1\"\nseries = \"b*\"";
const C: &str = "name = \"c\"\nof = \"hall/press-1\"\nseries = \"c*\"";

fn of(kpi: &str, importance: u8) -> String {
    format!("{kpi}\nimportance = {importance}")
}

#[test]
fn the_score_is_the_weighted_mean_of_what_levels_are_worth() {
    use Level::{Critical, High, Low, Medium, Normal};
    let three = [of(A, 10), of(B, 7), of(C, 5)];
    let three: Vec<&str> = three.iter().map(String::as_str).collect();
    check(&three, &[], (100.0, &[Normal, Normal, Normal]));
    // The example of ITSI's manual: (100 × 10 + 70 × 7 + 30 × 5) / 22.
    let signals = [episode("hall/press-1 b 9"), episode("hall/press-1 c 17")];
    let found = check(&three, &signals, (74.55, &[Normal, Low, High]));
    assert_eq!(found.why[0], "c is high, which costs 16 of 100: c of hall/press-1");
    // The gravest counts, each once.
    let signals = [episode("hall/press-1 b 9"), episode("hall/press-1 b 13"), episode("hall/press-1 b2 9")];
    check(&three, &signals, (84.09, &[Normal, Medium, Normal]));
    check(&[&of(A, 1), &of(B, 1)], &[episode("hall/press-1 a 21")], (50.0, &[Critical, Normal]));
    // Of no importance, on another device, of another series, over, or not yet begun: nothing.
    check(&[&of(A, 0), &of(B, 1)], &[episode("hall/press-1 a 21")], (100.0, &[Critical, Normal]));
    let over = Signal { end_ms: Some(NOON), ..episode("hall/press-1 a 21") };
    let coming = Signal { onset_ms: NOON + 1, ..episode("hall/press-1 a 21") };
    let other = [over, coming, episode("hall/press-2 a 21"), episode("hall/press-1 x 21")];
    check(&three, &other, (100.0, &[Normal, Normal, Normal]));
}

#[test]
fn a_critical_kpi_of_importance_11_decides_alone() {
    use Level::{Critical, High, Normal};
    let kpis = [of(A, 11), of(B, 10), of(C, 10)];
    let kpis: Vec<&str> = kpis.iter().map(String::as_str).collect();
    let found = check(&kpis, &[episode("hall/press-1 a 21")], (0.0, &[Critical, Normal, Normal]));
    assert_eq!((found.level, found.why.len()), (Critical, 1));
    assert!(found.why[0].starts_with("a is critical and of importance 11"), "{:?}", found.why);
    // Bad alone does not.
    check(&kpis, &[episode("hall/press-1 a 17")], (75.16, &[High, Normal, Normal]));
    // What is critical may be said of each KPI.
    let early = format!("{}\ncritical = \"error\"", of(A, 11));
    check(&[&early, &of(B, 10)], &[episode("hall/press-1 a 17")], (0.0, &[Critical, Normal]));
}

#[test]
fn one_bad_entity_is_seen_though_the_whole_is_well() {
    let mean = "name = \"k\"\nof = \"hall/press-*\"\nlevel = \"mean\"\nimportance = 5";
    let found = check(&[mean], &[episode("hall/press-2 a 13")], (87.5, &[Level::Normal]));
    let entities: Vec<(&str, Level)> =
        found.kpis[0].entities.iter().map(|e| (e.entity.as_str(), e.level)).collect();
    assert_eq!(entities, [("hall/press-2", Level::Medium)]);
    let worst = mean.replace("mean", "worst");
    check(&[&worst], &[episode("hall/press-2 a 13")], (50.0, &[Level::Medium]));
}

#[test]
fn who_is_gone_and_what_is_full_is_critical() {
    use Level::{Critical, Info, Low, Medium};
    let all = "name = \"k\"\nof = \"hall/press-*\"";
    let part = "name = \"p\"\nof = \"hall/press-*#service=*\"\nseries = \"span.*\"";
    let lost = || signal(What::Presence, "hall/press-1 - 17");
    check(&[all, part], &[lost()], (0.0, &[Critical, Critical]));
    check(&[all], &[signal(What::Presence, "hall/gw - 17")], (100.0, &[Level::Normal]));
    let span = "hall/press-1 span.count{service.name=shop,span.name=buy} 13";
    check(&[all, part], &[episode(span)], (50.0, &[Medium, Medium]));
    // Without a series only "any series" speaks of it.
    check(&[all, part], &[signal(What::Trouble, "hall/press-1 - 13")], (75.0, &[Medium, Level::Normal]));
    for (left, score, level) in [(0, 0.0, Critical), (60_000, 50.0, Medium), (2 * HOUR, 70.0, Low)] {
        let due = Signal { due_ms: Some(NOON + left), ..signal(What::Forecast, "hall/press-1 disk 13") };
        check(&[all], &[due], (score, &[level]));
    }
    let far = Signal { due_ms: Some(NOON + 48 * HOUR), ..signal(What::Forecast, "hall/press-1 disk 9") };
    check(&[all], &[far], (100.0, &[Info]));
}

#[test]
fn a_site_is_as_well_as_its_devices() {
    let check = |signals: &[Signal], want: f64, named: &[&str]| {
        let (_, topology) = atlas("[[entity]]\nname = \"hall/gw\"\nimportance = 11");
        let found = site("hall", &topology, open(signals, NOON), NOON);
        let devices: Vec<&str> = found.kpis.iter().map(|k| k.name.as_str()).collect();
        assert_eq!((found.score.round(), devices.as_slice(), found.of), (want, named, 5));
    };
    check(&[], 100.0, &[]);
    // Five of the weight of 31 are at 50.
    check(&[episode("hall/press-1 a 13")], 92.0, &["hall/press-1"]);
    check(&[signal(What::Presence, "hall/gw - 17")], 0.0, &["hall/gw"]);
    check(&[episode("yard/press-1 a 21")], 100.0, &[]);
}

#[test]
fn a_past_is_kept_by_days_and_read_at_steps() {
    let mut past = History::default();
    let mut days = BTreeMap::new();
    let mut note = |at: u64, score: f64, kept: bool| {
        let day = past.note("service/s", at, score);
        assert_eq!(day.is_some(), kept, "{at} {score}");
        days.extend(day.map(|d| (d.day_ms, d)));
    };
    note(NOON, 100.0, true);
    note(NOON + STEP_MS, 100.2, false);
    note(NOON + 2 * STEP_MS, 40.0, true);
    note(NOON + STEP_MS, 90.0, false);
    note(NOON + 3 * STEP_MS, f64::NAN, false);
    note(NOON + 4 * STEP_MS, 140.0, true);
    note(NOON + DAY_MS, 100.0, true);
    let again = History::of(days.into_values());
    assert_eq!(again, past);
    assert_eq!(again.readings(NOON + 4 * STEP_MS), [100.0, 100.0, 40.0, 40.0, 100.0]);
    assert_eq!(again.readings(NOON + DAY_MS).len(), 289);
    assert_eq!(again.since(NOON + 3 * STEP_MS)[0], (NOON + 2 * STEP_MS, 40.0));
    assert!(History::default().readings(NOON).is_empty());
    past.note("service/s", NOON + 30 * DAY_MS, 1.0);
    assert_eq!(past.since(0).len(), 1);
}

/// Readings of days in which something goes wrong at random and lasts, and a job drags at the same hour.
fn readings(days: usize, seed: u64, incidents: u64, job: bool) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    let (mut left, mut score) = (0, 100.0);
    let day = 288;
    (0..days * day)
        .map(|i| {
            if left == 0 && random(day as u64) < incidents {
                (left, score) = (4 + random(20), [70.0, 50.0, 30.0][random(3) as usize]);
            } else {
                left = left.saturating_sub(1);
            }
            let wrong = if left > 0 { score } else { 100.0 };
            let working = job && (36..60).contains(&(i % day));
            if working { f64::min(wrong, 50.0) } else { wrong }
        })
        .collect()
}

#[test]
fn the_forecast_is_no_worse_than_staying_and_better_where_there_is_something_to_know() {
    let mut sums = [[0.0; 2]; 2];
    for seed in 11..=30 {
        for (kind, job) in [(0, false), (1, true)] {
            let found = measure(&readings(8, seed, 2, job));
            assert!(found.count > 150);
            sums[kind][0] += found.mean / 20.0;
            sums[kind][1] += found.staying / 20.0;
        }
    }
    for (kind, word) in ["random", "daily"].iter().enumerate() {
        println!(
            "health.ahead.{word} {:.2} points, staying {:.2}, seeds 11 to 30",
            sums[kind][0], sums[kind][1]
        );
    }
    assert!(sums[0][0] <= sums[0][1] * 1.05, "{sums:?}");
    assert!(sums[1][0] <= sums[1][1] * 0.85, "{sums:?}");
}

#[test]
fn what_lies_ahead_is_told_with_its_error_and_below_what_is_foretold() {
    let daily = readings(8, 3, 0, true);
    // Ten minutes before the job begins again.
    let before = &daily[..7 * 288 + 34];
    let found = ahead(before, NOON, None).unwrap();
    assert_eq!(found.at_ms, NOON + 1_800_000);
    assert!(found.score < 60.0 && found.low <= found.score && found.score <= found.high, "{found:?}");
    let calm = vec![100.0; 600];
    let found = ahead(&calm, NOON, None).unwrap();
    assert_eq!((found.score, found.low, found.high, found.error.mean), (100.0, 100.0, 100.0, 0.0));
    let full = ahead(&calm, NOON, Some(0.0)).unwrap();
    assert_eq!((full.score, full.high), (0.0, 0.0));
    // Too short a past says nothing.
    for n in 0..30 {
        assert_eq!(ahead(&calm[..n], NOON, None), None, "{n} readings");
    }
}

#[test]
fn errors_are_of_forecasts_that_did_not_know_the_future() {
    // Whatever comes after a point changes nothing that was said before it.
    let mut one = readings(4, 7, 3, true);
    let at = one.len() - 40;
    let known = ahead(&one[..at], NOON, None);
    one[at..].fill(0.0);
    assert_eq!(ahead(&one[..at], NOON, None), known);
}

#[test]
fn reports_are_kept_when_something_changes_and_go_on_after_a_restart() {
    let store = Database::in_memory().unwrap();
    let (atlas, topology) =
        atlas("[[service]]\nname = \"pressing\"\ndepends = \"hall/press-*\"\nimportance = 9");
    let mut watch = Watch::of(&store).unwrap();
    let look = |watch: &mut Watch, signals: &[Signal], at: u64| {
        let scope = Scope::of(atlas.declared(), &topology, &Sites::All);
        let changes = watch.look(&scope, &topology, signals, at);
        store.keep(&changes).unwrap();
        changes.len()
    };
    assert_eq!(look(&mut watch, &[], NOON), 4);
    assert_eq!(look(&mut watch, &[], NOON + 1000), 0);
    assert_eq!(look(&mut watch, &[], NOON + STEP_MS), 0);
    let wrong = [episode("hall/press-1 a 17")];
    assert_eq!(look(&mut watch, &wrong, NOON + STEP_MS + 1000), 4);
    let mut watch = Watch::of(&store).unwrap();
    // What lies ahead is looked at anew, and the past goes on.
    assert_eq!(look(&mut watch, &wrong, NOON + STEP_MS + 2000), 2);
    assert_eq!(look(&mut watch, &wrong, NOON + STEP_MS + 3000), 0);
    let reports = Watch::reports(&store).unwrap();
    let shown: Vec<(&str, &str, f64)> =
        reports.iter().map(|r| (r.kind.as_str(), r.name.as_str(), r.health.score.round())).collect();
    assert_eq!(shown, [("service", "pressing", 30.0), ("site", "hall", 86.0)]);
    let past = Watch::past(&store, "service", "pressing", 0).unwrap();
    assert_eq!(past, [(NOON, 100.0), (NOON + STEP_MS + 1000, 30.0)]);
    // A service that is declared no longer is shown no longer.
    let empty = Declared::default();
    let scope = Scope::of(&empty, &topology, &Sites::All);
    store.keep(&watch.look(&scope, &topology, &[], NOON + 2 * STEP_MS)).unwrap();
    assert_eq!(Watch::reports(&store).unwrap().len(), 1);
}

#[test]
fn each_collector_scores_what_it_holds_and_removes_nothing_of_others() {
    let store = Database::in_memory().unwrap();
    let declared = "[[service]]\nname = \"pressing\"\ndepends = [\"hall/press-*\", \"yard/gw\"]\n\
                    [[service]]\nname = \"gates\"\ndepends = \"yard/gw\"\n[[service]]\nname = \"none\"";
    let (mut atlas, _) = atlas(declared);
    let yard = Heard { site: "yard".into(), node: "gw".into(), ..Heard::default() };
    atlas.hear(yard);
    atlas.declare(1, &Sites::All);
    let topology = atlas.present();
    let sites = |names: &[&str]| Sites::These(Arc::new(names.iter().map(|n| (*n).to_owned()).collect()));
    let check = |own: Sites, services: &[&str], reads: &[&str], made: &[&str]| {
        let scope = Scope::of(atlas.declared(), &topology, &own);
        let names: Vec<&str> = scope.services.iter().map(|s| s.name.as_str()).collect();
        assert_eq!((names.as_slice(), scope.reads.as_slice()), (services, reads), "{own:?}");
        let mut watch = Watch::of(&store).unwrap();
        let changes = watch.look(&scope, &topology, &[], NOON);
        let put = |change: &Change| match change {
            Change::Put(record) => record.key.strip_prefix("now/").map(str::to_owned),
            other => panic!("{own:?}: {other:?}"),
        };
        assert_eq!(changes.iter().filter_map(put).collect::<Vec<_>>(), made, "{own:?}");
        store.keep(&changes).unwrap();
    };
    check(sites(&[]), &[], &[], &[]);
    // What a service of ours depends on elsewhere is read, and not scored as a site.
    check(
        sites(&["hall"]),
        &["pressing", "none"],
        &["hall", "yard"],
        &["service/none", "service/pressing", "site/hall"],
    );
    check(sites(&["yard"]), &["gates"], &["yard"], &["service/gates", "site/yard"]);
    assert_eq!(Watch::reports(&store).unwrap().len(), 5);
    check(Sites::All, &["pressing", "gates", "none"], &["hall", "yard"], &[]);
}
