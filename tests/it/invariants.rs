//! What must stay true of the source tree, whoever works on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use fieldmouse::sources::KINDS;
use fieldmouse_core::metric::METRICS;
use fieldmouse_tests::repository;
use serde_json::Value;

fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Names of the crates a package of the workspace depends on; with or without those that only its tests need.
fn dependencies(package: &str, also_tests: bool) -> Option<Vec<String>> {
    let out = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|p| p["name"] == package)?;
    let of = package["dependencies"].as_array().unwrap().iter().filter(|d| also_tests || d["kind"].is_null());
    let mut names: Vec<String> = of.map(|d| d["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    Some(names)
}

#[test]
fn dependencies_point_one_way() {
    let core = dependencies("fieldmouse-core", false).unwrap();
    assert_eq!(core, ["heapless", "libm", "postcard", "serde"]);
    for (package, not) in [("fieldmouse", "fieldmouse-collector"), ("fieldmouse-collector", "fieldmouse")] {
        if let Some(names) = dependencies(package, true) {
            assert!(!names.iter().any(|n| n == not), "{package} depends on {not}");
        }
    }
    for package in ["fieldmouse-core", "fieldmouse", "fieldmouse-collector"] {
        let names = dependencies(package, true).unwrap_or_default();
        assert!(!names.iter().any(|n| n == "fieldmouse-tests"), "{package} depends on the tests");
    }
}

/// Where the machine `server` shows what a source reads. `Err`: why no captured machine can.
fn fixture(source: &str) -> Result<&'static str, &'static str> {
    Ok(match source {
        "host" => "proc/stat",
        "filesystem" => "proc/self/mountinfo",
        "process" => "proc/1/stat",
        "hwmon" => "sys/class/hwmon",
        "thermal" => "sys/class/thermal",
        "power_supply" => "sys/class/power_supply",
        "flash" => "sys/block/mmcblk0/device/life_time",
        "certificate" => return Err("which files it reads is configured"),
        "otlp" => return Err("it shows what programs export to it"),
        "file" => return Err("its directory is what a test writes into it"),
        "package" => "var/lib/dpkg/status",
        "watch" => "etc/hosts",
        "webhook" => return Err("it hands on what is posted"),
        "job" => return Err("it shows what is handed in"),
        "change" => "proc/sys/kernel/osrelease",
        "log" => "var/log/syslog",
        "syslog" => return Err("it reads what is sent to it"),
        "journal" => return Err("its tests have systemd's own programs write one"),
        other => panic!(
            "source {other}: name its fixture below tests/machines/server here, or say why there is none"
        ),
    })
}

#[test]
fn every_source_is_shown_told_and_tried() {
    let example = read("packaging/fieldmouse.toml");
    let (_, told) = read("ARCHITECTURE.md")
        .split_once("\n## Sources\n")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let told = told.split("\n## ").next().unwrap();
    for kind in KINDS {
        let name = kind.name;
        assert!(
            example.contains(&format!("\n[source.{name}]\n")),
            "{name}: not in the example configuration"
        );
        let row = told.lines().find(|l| l.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name}: no row in ARCHITECTURE.md, Sources"));
        assert!(row.contains(kind.about), "{name}: its row must say `{}`", kind.about);
        if let Ok(path) = fixture(name) {
            let path = repository().join("tests/machines/server").join(path);
            assert!(path.exists(), "{name}: {} is absent", path.display());
        }
    }
    for metric in METRICS {
        assert!(
            told.contains(&format!("`{}`", metric.name)),
            "{}: not in ARCHITECTURE.md, Sources",
            metric.name
        );
    }
}

/// Files of a folder and all below it.
fn files(dir: &Path, to: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = entry.file_name();
        if kind.is_dir() && name != "target" && name != ".git" && name != "node_modules" {
            files(&path, to);
        } else if kind.is_file() {
            to.push(path);
        }
    }
}

/// Lines of a file before its tests.
fn lines_of_code(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    const LIMIT: usize = 400;
    let root = repository();
    let mut found = Vec::new();
    ["agent/core/src", "agent/edge/src", "collector/src"]
        .iter()
        .for_each(|d| files(&root.join(d), &mut found));
    let is_code = |p: &&PathBuf| {
        p.extension().is_some_and(|e| e == "rs")
            && !p.ends_with("tests.rs")
            && p.iter().all(|part| part != "tests")
    };
    for path in found.iter().filter(is_code) {
        let name = path.strip_prefix(&root).unwrap();
        let lines = lines_of_code(&std::fs::read_to_string(path).unwrap());
        assert!(lines <= LIMIT, "{}: {lines} lines of code, at most {LIMIT}", name.display());
    }
}

#[test]
fn no_paths_of_the_machine_it_was_written_on() {
    let mut found = Vec::new();
    files(&repository(), &mut found);
    for path in found.iter().filter(|p| p.extension().is_some_and(|e| e == "md" || e == "toml")) {
        let text = std::fs::read_to_string(path).unwrap();
        for (i, line) in text.lines().enumerate() {
            // In the middle of a longer path they are somebody's own.
            let names = |place: &str| {
                line.match_indices(place).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '/' || c == '}')
                })
            };
            assert!(!names("/work/") && !names("/tmp/"), "{}:{}: {line}", path.display(), i + 1);
        }
    }
}
