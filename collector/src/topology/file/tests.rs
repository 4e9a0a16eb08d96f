use super::*;

#[test]
fn mistakes_are_named_with_file_key_and_what_is_allowed() {
    let check = |text: &str, parts: &[&str]| {
        let said = Declared::read("topology.toml", text).map_or_else(|e| e.to_string(), |_| "fine".into());
        assert!(parts.iter().all(|p| said.contains(p)), "{text:.200?} said {said:?}, not {parts:?}");
        assert!(said.len() < 1000);
    };
    check("", &["fine"]);
    check("[[entity]]\nname = \"hall/*\"\nimportance = 11", &["fine"]);
    check(
        "[[entity]]\nname = \"hall/*\"\nimportance = 12",
        &["topology.toml:3: entity[0].importance: 12 is not 0 to 11"],
    );
    check("[[entity]]\nname = \"Hall\"", &["entity[0].name", "`Hall`", "site/node"]);
    check("[[entity]]\nnam = \"hall\"", &["topology.toml:2", "nam", "`name`"]);
    check("[[entities]]", &["topology.toml:1", "entities", "`entity`"]);
    check("[[depends]]\nfrom = \"hall/*\"\non = \"*/gw-*\"", &["depends[0].on", "`*/gw-*`", "more stars"]);
    check("[[depends]]\nfrom = \"hall/*\"\non = 3", &["topology.toml:3", "one name or a list"]);
    check("[[service]]\nname = \"a b\"", &["service[0].name", "[a-z0-9-]"]);
    check("[[service]]\nname = \"a\"\n[[service]]\nname = \"a\"", &["service[1].name", "twice"]);
    check("[[service]]\nname = \"a\"\n[[service.kpi]]\nname = \"k\"", &["service[0].kpi[0].of", "missing"]);
    check(
        "[[service]]\nname = \"a\"\n[[service.kpi]]\nname = \"k\"\nof = \"b\"\nlevel = \"best\"",
        &["kpi[0].level", "worst or mean"],
    );
    check(
        "[[service]]\nname = \"a\"\n[[service.kpi]]\nname = \"k\"\nof = \"b\"\ncritical = \"bad\"",
        &["kpi[0].critical", "warning, error or fatal"],
    );
    check(&format!("[[entity]]\nname = \"{}\"", "x".repeat(1 << 20)), &["entity[0].name", "xxx"]);
}

#[test]
fn the_example_is_right() {
    let declared =
        Declared::read("topology.toml", include_str!("../../../../packaging/topology.toml")).unwrap();
    assert_eq!(declared.services[0].kpis.len(), 2);
    assert_eq!(declared.of("yard/gw-2").0, Some(9));
}

#[test]
fn later_rules_win_key_by_key() {
    let declared = Declared::read(
        "t",
        "[[entity]]\nname = \"hall/*\"\nimportance = 3\nlabels = { line = \"1\" }\n\
         [[entity]]\nname = \"hall/press-*\"\nimportance = 9\n[[entity]]\nname = \"hall/press-1\"\n\
         labels = { line = \"2\" }\n[[service]]\nname = \"shop\"\nimportance = 10\n",
    )
    .unwrap();
    let check = |entity: &str, importance: Option<u8>, line: Option<&str>| {
        let (found, labels) = declared.of(entity);
        assert_eq!((found, labels.get("line").map(String::as_str)), (importance, line), "{entity}");
    };
    check("hall/saw", Some(3), Some("1"));
    check("hall/press-2", Some(9), Some("1"));
    check("hall/press-1", Some(9), Some("2"));
    check("office/press-1", None, None);
    check("shop", Some(10), None);
}

#[test]
fn patterns_become_edges_and_what_names_nothing_is_told() {
    let declared = Declared::read(
        "t",
        "[[depends]]\nfrom = [\"*/sensor-*\"]\non = \"*/gw\"\n[[depends]]\nfrom = \"*/gw\"\n\
         on = [\"*/up\", \"internet\"]\n[[depends]]\nfrom = \"attic/*\"\non = \"attic/gw\"\n[[service]]\n\
         name = \"air\"\ndepends = [\"hall/sensor-*\", \"none/*\"]\n",
    )
    .unwrap();
    let entities = BTreeSet::from(["hall/sensor-1", "hall/sensor-2", "hall/gw", "yard/sensor-1", "air"]);
    let (edges, notes) = declared.edges(&entities);
    let edges: Vec<String> = edges.iter().map(|(from, to)| format!("{from} > {to}")).collect();
    assert_eq!(
        edges,
        [
            "air > hall/sensor-1",
            "air > hall/sensor-2",
            "hall/gw > hall/up",
            "hall/gw > internet",
            "hall/sensor-1 > hall/gw",
            "hall/sensor-2 > hall/gw",
            "yard/sensor-1 > yard/gw",
        ]
    );
    assert_eq!(
        notes,
        [
            "depends: `hall/gw` on `hall/up`: no such device has reported",
            "depends: `yard/sensor-1` on `yard/gw`: no such device has reported",
            "depends: from = `attic/*` matches nothing that has reported",
            "service `air`: `none/*` matches nothing",
        ]
    );
}
