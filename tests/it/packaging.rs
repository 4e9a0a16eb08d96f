//! Unit files, users, configuration and code name the same paths.

use std::path::PathBuf;

use fieldmouse::config::{DEFAULT_FILE, Written};
use fieldmouse_tests::repository;

fn read(path: &str) -> String {
    let path = repository().join("packaging").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The values of a key in a unit file.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|l| l.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// What every unit of ours must say.
fn check(program: &str, user: &str, file: &str) {
    let unit = read(&format!("systemd/{program}.service"));
    let one = |key: &str| match values(&unit, key).as_slice() {
        [value] => (*value).to_owned(),
        other => panic!("{program}: {key} is given {} times", other.len()),
    };
    assert_eq!(one("User"), user);
    assert_eq!(one("ExecStart"), format!("/usr/bin/{program} run --config {file}"));
    // The agent runs without a model that may not run, though its check fails.
    let before = one("ExecStartPre");
    let before = if user == "fieldmouse" { before.strip_prefix('-').unwrap() } else { &before };
    assert_eq!(before, format!("/usr/bin/{program} check --config {file}"));
    assert_eq!(
        (one("Type"), one("NotifyAccess")),
        ("notify".into(), "main".into()),
        "both tell when they are ready"
    );
    assert_eq!(one("Restart"), "always");
    assert_eq!(one("RestartPreventExitStatus"), "78", "a wrong configuration is not tried again and again");
    assert_eq!(one("StateDirectory"), program);
    assert_eq!(one("CapabilityBoundingSet"), "", "no capability at all");
    assert_eq!(one("NoNewPrivileges"), "yes");
    assert_eq!(one("ProtectSystem"), "strict");
    one("MemoryMax");
    let users = read(&format!("sysusers.d/{program}.conf"));
    assert!(users.starts_with(&format!("u {user} - ")), "{users}");
    assert!(users.lines().next().unwrap().ends_with(&format!("/var/lib/{program}")), "{users}");
}

#[test]
fn the_agent_finds_its_places() {
    check("fieldmouse", "fieldmouse", DEFAULT_FILE);
    let unit = read("systemd/fieldmouse.service");
    let keys = Written::default().agent;
    assert_eq!(keys.state_dir, PathBuf::from("/var/lib/fieldmouse"));
    let run: Vec<PathBuf> =
        values(&unit, "RuntimeDirectory")[0].split(' ').map(|d| PathBuf::from("/run").join(d)).collect();
    assert_eq!(keys.socket.parent(), Some(run[0].as_path()));
    let example = read("fieldmouse.toml");
    for place in [keys.state_dir.as_path(), keys.socket.as_path(), &run[1]] {
        assert!(example.contains(&format!("= \"{}\"", place.display())), "{}", place.display());
    }
    assert_eq!(values(&unit, "ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    assert_eq!(values(&unit, "WatchdogSec"), ["30"], "it shows itself every 10 s at least");
    for hides in
        ["ProcSubset", "ProtectProc", "PrivateDevices", "PrivateTmp", "PrivateNetwork", "ProtectHome=yes"]
    {
        let set = unit.lines().any(|l| l.starts_with(hides));
        assert!(!set, "{hides} hides what the sources read");
    }
}

#[test]
fn the_collector_finds_its_places() {
    check("fieldmouse-collector", "fieldmouse-collector", "/etc/fieldmouse/collector.toml");
    if let Ok(example) = std::fs::read_to_string(repository().join("packaging/collector.toml")) {
        assert!(
            example.contains("\"/var/lib/fieldmouse-collector/"),
            "its database is in its StateDirectory"
        );
    }
}
