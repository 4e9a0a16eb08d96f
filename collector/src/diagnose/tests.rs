//! Small failures whose cause is plain to a reader.

use proptest::prelude::*;

use super::*;

/// `name kind strength@seconds, …`: evidence of one; a name alone is observed and quiet.
fn suspect(line: &str) -> Suspect {
    let (entity, evidence) = line.split_once(' ').unwrap_or((line, ""));
    let evidence = evidence.split(", ").filter(|e| !e.is_empty()).map(|e| {
        let (kind, rest) = e.split_once(' ').unwrap();
        let (strength, at) = rest.split_once('@').unwrap();
        Evidence {
            kind: serde_json::from_value(kind.into()).unwrap(),
            metric: kind.to_owned(),
            strength: strength.parse().unwrap(),
            onset_ms: Some(1000 * at.parse::<u64>().unwrap()),
            text: format!("{kind} is unusual"),
        }
    });
    Suspect { entity: entity.to_owned(), evidence: evidence.collect() }
}

/// `a>b>c d>b`: a depends on b, b on c, d on b.
fn edges(text: &str) -> Vec<(String, String)> {
    let path = |path: &str| {
        let names: Vec<String> = path.split('>').map(str::to_owned).collect();
        names.windows(2).map(|w| (w[0].clone(), w[1].clone())).collect::<Vec<_>>()
    };
    text.split_whitespace().flat_map(path).collect()
}

/// It began with the first that is no change.
fn case(graph: &str, suspects: &[&str]) -> Case {
    let suspects: Vec<Suspect> = suspects.iter().map(|s| suspect(s)).collect();
    let symptoms = suspects.iter().flat_map(|s| &s.evidence).filter(|e| e.kind != Kind::Change);
    let onset_ms = symptoms.filter_map(|e| e.onset_ms).min();
    Case { suspects, edges: edges(graph), alert: None, onset_ms }
}

fn order(case: &Case) -> Vec<String> {
    rank(case).into_iter().map(|c| c.entity).collect()
}

#[test]
fn the_cause_is_first() {
    let check = |what: &str, graph: &str, suspects: &[&str], first: &str| {
        let case = case(graph, suspects);
        let causes = rank(&case);
        assert_eq!(causes[0].entity, first, "{what}: {causes:#?}");
        let sum: f64 = causes.iter().map(|c| c.score).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{what}: {sum}");
        assert!(causes.iter().enumerate().all(|(i, c)| c.rank == i + 1), "{what}");
    };
    check("alone", "", &["a", "b latency 6@1000", "c"], "b");
    check(
        "chain: the deepest of the affected",
        "a>b>c>d",
        &["a latency 9@1000", "b latency 9@1000", "c latency 8@1000", "d"],
        "c",
    );
    check(
        "fan-in: what all of them depend on",
        "a>x b>x c>x c>y",
        &["a errors 9@1000", "b errors 9@1000", "c errors 9@1000", "x errors 8@1000", "y errors 3@1000"],
        "x",
    );
    check(
        "shared dependency that nobody observes",
        "a>x b>x c>x d>x e>x f>y",
        &["a lost 9@1000", "b lost 9@1000", "c lost 9@1000", "d lost 9@1000", "e lost 9@1000", "f"],
        "x",
    );
    check(
        "a shared dependency is innocent if most of its dependents are well",
        "a>x b>x c>x d>x e>x f>x g>x h>x i>x",
        &["a lost 9@1000", "b lost 9@1000", "c", "d", "e", "f", "g", "h", "i"],
        "a",
    );
    check(
        "what is full is no symptom of another's",
        "shop>pay shop>mail",
        &["shop latency 10@1000", "pay latency 6@1000, usage 9@1000", "mail latency 8@1000"],
        "pay",
    );
    check(
        "the unrelated fault explains less",
        "a>b c>b d",
        &["a latency 8@1000", "c latency 8@1000", "b latency 8@1000", "d latency 8@1000"],
        "b",
    );
    check("first of equals", "", &["a latency 8@1120", "b latency 8@1000", "c latency 8@1060"], "b");
    check(
        "changed right before",
        "a>b a>c",
        &["a latency 8@1000", "b latency 5@1000", "c latency 5@1000, change 0@940"],
        "c",
    );
    check(
        "a change that came later caused nothing",
        "",
        &["a latency 5@1000", "b latency 4@1000, change 0@1060"],
        "a",
    );
    check("an old change is no news", "", &["a latency 8@90000", "b latency 7@90000, change 0@0"], "a");
    check("load comes from outside", "", &["a load 12@1000", "b usage 6@1000"], "b");
    check(
        "cyclic",
        "a>b>c>a",
        &["a latency 6@1000", "b latency 9@1000, stock 5@1000", "c latency 7@1000"],
        "b",
    );
    check(
        "of equals whose trouble is their own, the one on which the other depends",
        "a>b",
        &["a usage 9@1000", "b usage 9@1010"],
        "b",
    );
    check(
        "slow, and failing for that: two symptoms of one trouble",
        "web>shop>db",
        &[
            "web latency 10@1020, errors 10@1030",
            "shop latency 10@1010, errors 10@1040",
            "db latency 10@1000",
        ],
        "db",
    );
    check(
        "what nobody observes hides nobody",
        "web>shop>name>db",
        &[
            "web latency 10@1000, errors 10@1000",
            "shop latency 10@1000, errors 10@1000",
            "db latency 10@1000",
        ],
        "db",
    );
    check("depends on itself", "a>a", &["a latency 6@1000", "b"], "a");
    check(
        "a quiet one between breaks the path",
        "a>q>x b",
        &["a latency 9@1000", "q", "x latency 5@1000", "b"],
        "a",
    );
    check("one listed twice is one", "", &["a usage 4@1000", "b usage 5@1000", "a latency 6@1000"], "a");
}

#[test]
fn who_raised_the_alert_must_depend_on_the_cause() {
    let mut case =
        case("shop>pay other>mail", &["shop latency 6@1000", "pay latency 7@1000", "mail latency 12@1000"]);
    assert_eq!(order(&case)[0], "mail");
    case.alert = Some(Alert { entity: "shop".to_owned(), kind: None });
    assert_eq!(order(&case)[0], "pay");
    // Of one that stands in no graph it is not known what it depends on.
    case.alert = Some(Alert { entity: "nobody".to_owned(), kind: None });
    assert_eq!(order(&case)[0], "mail");
}

#[test]
fn symptoms_of_the_alerts_kind_count_in_full() {
    let mut case = case("", &["a latency 9@1000", "b errors 7@1000"]);
    assert_eq!(order(&case)[0], "a");
    case.alert = Some(Alert { entity: "shop".to_owned(), kind: Some(Kind::Errors) });
    assert_eq!(order(&case)[0], "b");
}

#[test]
fn reasons_are_told() {
    let causes = rank(&case(
        "a>b c>b b>d",
        &["a latency 9@1030", "b latency 8@1000, change 0@940", "c latency 9@1030", "d latency 4@1030"],
    ));
    let why = |entity: &str| causes.iter().find(|c| c.entity == entity).unwrap().why.clone();
    assert_eq!(
        why("b"),
        "change is unusual; latency is unusual; 2 that depend on it are affected as well (a, c); \
         nothing began earlier; but d, on which it depends, is affected as well"
    );
    assert_eq!(
        why("a"),
        "latency is unusual; it began 30 s after the first; but b, on which it depends, is affected as well"
    );
    let quiet = rank(&case("", &["a"]));
    assert_eq!((quiet[0].why.as_str(), quiet[0].metric.as_str()), ("nothing unusual was seen of it", ""));
}

#[test]
fn nothing_is_known() {
    assert_eq!(rank(&Case::default()), []);
    let causes = rank(&case("x>y y>x", &["b", "a"]));
    let found: Vec<(&str, f64)> = causes.iter().map(|c| (c.entity.as_str(), c.score)).collect();
    assert_eq!(found, [("a", 0.5), ("b", 0.5)], "whom nobody observes and nobody suffers from is no cause");
}

#[test]
fn an_uplink_with_ten_thousand_dependents_is_blamed() {
    let lost: Vec<String> = (0..10_000).map(|i| format!("d{i} lost 8@{}", 1000 + i % 60)).collect();
    let graph: Vec<String> = (0..10_000).map(|i| format!("d{i}>g{}>up", i % 100)).collect();
    let case = case(&graph.join(" "), &lost.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(order(&case)[0], "up");
}

#[test]
fn names_of_a_megabyte_fit_into_a_sentence() {
    let long = "x".repeat(1 << 20);
    let mut case = case("", &["a latency 5@1000", "b latency 9@1000"]);
    case.edges = vec![("a".to_owned(), long.clone()), (long.clone(), "b".to_owned())];
    case.suspects.push(suspect(&format!("{long} latency 9@1000")));
    let causes = rank(&case);
    assert_eq!(causes.len(), 3);
    assert!(
        causes.iter().all(|c| c.why.len() < 2000),
        "{:?}",
        causes.iter().map(|c| c.why.len()).collect::<Vec<_>>()
    );
}

fn any_kind() -> impl Strategy<Value = Kind> {
    use Kind::*;
    prop::sample::select(vec![Latency, Errors, Lost, Usage, Stock, Load, Host, Log, Change, Culprit, Other])
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let strength = prop_oneof![
        0.0..20.0_f64,
        prop::sample::select(vec![
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -1.0,
            1e300,
            f64::MIN_POSITIVE
        ])
    ];
    (any_kind(), "[a-c]", strength, prop::option::of(0..3_000_000_u64), ".{0,5}").prop_map(
        |(kind, metric, strength, onset_ms, text)| Evidence { kind, metric, strength, onset_ms, text },
    )
}

prop_compose! {
    fn any_case()(
        suspects in prop::collection::vec(("[a-h]", prop::collection::vec(any_evidence(), 0..5)), 0..12),
        edges in prop::collection::vec(("[a-j]", "[a-j]"), 0..30),
        alert in prop::option::of(("[a-k]", prop::option::of(any_kind()))),
        onset_ms in prop::option::of(0..3_000_000_u64),
    ) -> Case {
        Case {
            suspects: suspects.into_iter().map(|(entity, evidence)| Suspect { entity, evidence }).collect(),
            edges,
            alert: alert.map(|(entity, kind)| Alert { entity, kind }),
            onset_ms,
        }
    }
}

proptest! {
    #[test]
    fn every_case_has_a_ranking(case in any_case()) {
        let causes = rank(&case);
        prop_assert!(causes.iter().all(|c| (0.0..=1.0).contains(&c.score)));
        prop_assert!(causes.windows(2).all(|w| w[0].score >= w[1].score && w[0].rank + 1 == w[1].rank));
        prop_assert!(causes.iter().flat_map(|c| &c.reasons).all(|r| r.weight.is_finite()));
        for s in &case.suspects {
            prop_assert_eq!(causes.iter().filter(|c| c.entity == s.entity).count(), 1);
        }
    }

    #[test]
    fn the_order_of_things_leaves_no_trace(case in any_case(), seed in any::<u64>()) {
        let mut shuffled = case.clone();
        // Any rotation and reversal of everything, and evidence of one told apart.
        let turn = |n: usize| if n == 0 { 0 } else { seed as usize % n };
        shuffled.edges.rotate_left(turn(case.edges.len()));
        shuffled.edges.extend(case.edges.first().cloned());
        shuffled.suspects = shuffled
            .suspects
            .into_iter()
            .flat_map(|s| {
                let parts = s.evidence.into_iter().map(|e| vec![e]).chain([vec![]]);
                parts.map(move |evidence| Suspect { entity: s.entity.clone(), evidence }).collect::<Vec<_>>()
            })
            .collect();
        let n = shuffled.suspects.len();
        shuffled.suspects.rotate_left(turn(n));
        shuffled.suspects.reverse();
        prop_assert_eq!(rank(&case), rank(&shuffled));
    }
}

#[test]
fn a_recording_tells_who_moved() {
    /// Twenty rows before 1000 s and four since, that swing by a tenth.
    fn recording(services: &[(&str, &str, f64, f64)]) -> Recording {
        let swing = |i: usize| 1.0 + 0.1 * ((i * 7 % 5) as f64 - 2.0) / 2.0;
        let mut recording = Recording { injected_at: 1000.0, interval_s: 10.0, ..Recording::default() };
        for (name, metric, usual, since) in services {
            let table = recording.services.entry((*name).to_owned()).or_default();
            table.times = (0..24).map(|i| 800.0 + 10.0 * i as f64).collect();
            let value = |i: usize| if i < 20 { usual * swing(i) } else { since * swing(i) };
            table.columns.push(((*metric).to_owned(), (0..24).map(value).collect()));
        }
        recording
    }
    let check = |what: &str, services: &[(&str, &str, f64, f64)], first: &str, metric: &str| {
        let causes = rank(&measure(&recording(services), &Tuning::DEFAULT));
        assert_eq!(
            (causes[0].entity.as_str(), causes[0].metric.as_str()),
            (first, metric),
            "{what}: {causes:#?}"
        );
    };
    check("the largest of equals", &[("a", "latency", 1.0, 1.5), ("b", "latency", 1.0, 3.0)], "b", "latency");
    check(
        "less latency is no trouble",
        &[("a", "latency", 1.0, 0.1), ("b", "latency", 1.0, 1.5)],
        "b",
        "latency",
    );
    check(
        "success that falls",
        &[("a", "availability", 99.9, 60.0), ("b", "requests", 1.0, 1.2)],
        "a",
        "availability",
    );
    check(
        "memory hardly swings",
        &[("a", "memory", 1e9, 1.6e9), ("b", "requests", 100.0, 160.0)],
        "a",
        "memory",
    );
    check("what never moved", &[("a", "cpu", 0.0, 1.0), ("b", "cpu", 1.0, 1.0)], "a", "cpu");
    check(
        "a third of a thousand requests says more than a third of three",
        &[
            ("a", "availability", 100.0, 67.0),
            ("a", "requests", 3.0, 3.0),
            ("b", "availability", 100.0, 67.0),
            ("b", "requests", 1000.0, 1000.0),
        ],
        "b",
        "availability",
    );
}

fn any_recording() -> impl Strategy<Value = Recording> {
    let value = || {
        let odd =
            vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 0.0];
        prop_oneof![-10.0..200.0_f64, prop::sample::select(odd)]
    };
    let name = || {
        prop::sample::select(vec![
            "latency",
            "availability",
            "errors",
            "requests",
            "cpu",
            "mem",
            "Node",
            "x",
            "",
        ])
    };
    let table = (0..12_usize, 0..4_usize).prop_flat_map(move |(rows, columns)| {
        let values = prop::collection::vec(value(), rows);
        let columns = prop::collection::vec((name().prop_map(str::to_owned), values), columns);
        (prop::collection::vec(value(), rows), columns).prop_map(|(times, columns)| Table { times, columns })
    });
    let services = prop::collection::btree_map("[a-e]", table, 0..5);
    let alert = prop::option::of(
        ("[a-f]", name()).prop_map(|(service, metric)| Alarm { service, metric: metric.to_owned() }),
    );
    (services, alert, value(), value()).prop_map(|(services, alert, injected_at, interval_s)| Recording {
        services,
        alert,
        injected_at,
        interval_s,
        ..Recording::default()
    })
}

proptest! {
    #[test]
    fn every_recording_makes_a_case(recording in any_recording()) {
        let case = measure(&recording, &Tuning::DEFAULT);
        prop_assert!(case.suspects.iter().flat_map(|s| &s.evidence).all(|e| e.strength.is_finite() && e.strength > 0.0));
        prop_assert_eq!(rank(&case).len(), recording.services.len());
    }
}
