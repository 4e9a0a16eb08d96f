//! A configuration is accepted, or refused with file, line, key and what is allowed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fieldmouse::config::{Config, Model, Written, load};
use fieldmouse::sources::KINDS;
use fieldmouse_tests::program::fieldmouse;
use fieldmouse_tests::{broker, repository};

fn corpus(folder: &str) -> Vec<PathBuf> {
    let dir = repository().join("tests/configs").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// A folder with the files that the corpus names: certificates, a password, broken models.
fn surroundings() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    broker::certificates(dir.path());
    let model = std::fs::read(repository().join("models/forecaster.onnx")).unwrap();
    let mut other = model.clone();
    let name = b"fieldmouse.window\x12\x0264";
    let at = other.windows(name.len()).position(|w| w == name).expect("the model says its window");
    other[at + name.len() - 2..at + name.len()].copy_from_slice(b"32");
    for (file, bytes) in [
        ("words.pem", &b"no certificate\n"[..]),
        ("words.onnx", b"no model\n"),
        ("passwords", b"cheese\n"),
        ("cut.onnx", &model[..model.len() / 2]),
        ("wrong-shape.onnx", &other),
        ("good.onnx", &model),
        (
            "pump.onnx",
            &std::fs::read(repository().join("agent/edge/tests/fixtures/joint/pump.onnx")).unwrap(),
        ),
    ] {
        std::fs::write(dir.path().join(file), bytes).unwrap();
    }
    dir
}

#[test]
fn valid_ones_are_accepted() {
    let dir = surroundings();
    for file in corpus("valid") {
        std::fs::copy(&file, dir.path().join("fieldmouse.toml")).unwrap();
        let ran = fieldmouse(dir.path(), &["check", "-c", "fieldmouse.toml"]);
        assert_eq!(ran.code, 0, "{}: {}", file.display(), ran.err);
        // What is printed as in force is itself a configuration that says the same.
        std::fs::write(dir.path().join("fieldmouse.toml"), &ran.out).unwrap();
        let again = fieldmouse(dir.path(), &["check", "-c", "fieldmouse.toml"]);
        assert_eq!((again.code, &again.out), (0, &ran.out), "{}: {}", file.display(), again.err);
    }
}

#[test]
fn invalid_ones_are_refused_with_place_and_cure() {
    let dir = surroundings();
    let mut wrong = Vec::new();
    for file in corpus("invalid") {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let wanted = text.lines().next().and_then(|l| l.strip_prefix("# error: ")).expect(name);
        std::fs::copy(&file, dir.path().join(name)).unwrap();
        let ran = fieldmouse(dir.path(), &["check", "-c", name]);
        let said = ran.err.trim_end();
        let place = format!("fieldmouse: {name}: ");
        assert!(!said.contains("cheese"), "a password is shown: {said}");
        if ran.code != 78 || !said.starts_with(&place) || !said.contains(wanted) || said.contains('\n') {
            wrong.push(format!("exit {}, wanted 78 and `{place}…{wanted}…`; said:\n{said}", ran.code));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

#[test]
fn a_mistake_in_the_environment_is_told_by_its_key() {
    let check = |name: &str, value: &str, wanted: &str| {
        let env = [(name.to_owned(), value.to_owned())].into_iter();
        let said = load(Some(&example()), env, "host").unwrap_err().to_string();
        assert!(said.contains(wanted), "{said}");
    };
    check("FIELDMOUSE__AGENT__TIKC", "1s", "agent.tikc: unknown field `tikc`, expected one of `tick`");
    check("FIELDMOUSE__AGENT__TICK", "soon", "environment: agent.tick: `soon` is no span of time");
    check("FIELDMOUSE__", "1", "names no key");
    check("FIELDMOUSE__NODE__NAME__X", "1", "node.name");
}

fn example() -> PathBuf {
    repository().join("packaging/fieldmouse.toml")
}

fn load_text(dir: &Path, text: &str) -> Config {
    let file = dir.join("example.toml");
    std::fs::write(&file, text).unwrap();
    load(Some(&file), std::iter::empty(), "host").unwrap_or_else(|e| panic!("{e}"))
}

/// The example with every commented key in force: those with defaults, or all.
fn uncommented(with_examples: bool) -> String {
    let text = std::fs::read_to_string(example()).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') && (with_examples || !key.ends_with("# example")) => key,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_works_as_shipped_once_the_broker_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(example()).unwrap();
    assert!(text.contains("\n[broker]\n"));
    let named = text.replace("\n[broker]\n", "\n[broker]\nurl = \"mqtt://broker:1883\"\n");
    std::fs::write(dir.path().join("fieldmouse.toml"), named).unwrap();
    let ran = fieldmouse(dir.path(), &["check", "-c", "fieldmouse.toml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn the_defaults_in_the_example_are_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let mut shown = load_text(dir.path(), &uncommented(false)).written;
    let sources = std::mem::take(&mut shown.source);
    let text = |written: &Written| toml::to_string(written).unwrap();
    assert_eq!(text(&shown), text(&Written::default()));
    for kind in KINDS {
        let keys = &sources[kind.name];
        assert_eq!(keys["enabled"].as_bool(), Some(true), "{}", kind.name);
        let every = keys["every"].as_str().map(fieldmouse::duration::Span::parse).unwrap().unwrap();
        assert_eq!(every.0, u64::from(kind.every_ms), "{}", kind.name);
    }
}

/// What the example shows of models of one's own; it stands in place of another section, so it is not uncommented.
#[test]
fn the_example_of_own_models_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(example()).unwrap();
    let shown: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("#   ")).collect();
    let models = load_text(dir.path(), &shown.join("\n")).written.model;
    assert!(models.own.len() >= 2 && models.device != Model::default(), "{models:?}");
    for key in ["name", "enabled", "file", "series", "contract", "every"] {
        assert!(shown.iter().any(|l| l.starts_with(&format!("{key} = "))), "{key} is not shown");
    }
}

/// The keys of a section, from what it says to a key it does not know.
fn keys_of(dir: &Path, header: &str) -> Vec<String> {
    let file = dir.join("wrong.toml");
    std::fs::write(&file, format!("{header}\nno_such_key = 1\n")).unwrap();
    let said = load(Some(&file), std::iter::empty(), "host").unwrap_err().to_string();
    let (_, keys) = said.split_once("expected ").unwrap_or_else(|| panic!("{said}"));
    keys.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

#[test]
fn the_example_shows_every_key() {
    let dir = tempfile::tempdir().unwrap();
    let shown: BTreeMap<String, toml::Value> = toml::from_str(&uncommented(true)).unwrap();
    load_text(dir.path(), &uncommented(true));
    let sections = ["node", "agent", "detect", "model", "broker", "outbox", "capsule"].map(ToOwned::to_owned);
    let sources = KINDS.iter().map(|k| format!("source.{}", k.name));
    for section in sections.into_iter().chain(sources) {
        let mut here = shown.get(section.split('.').next().unwrap());
        if let Some((_, source)) = section.split_once('.') {
            here = here.and_then(|t| t.get(source));
        }
        let here = here.and_then(toml::Value::as_table).unwrap_or_else(|| panic!("[{section}] is not shown"));
        for key in keys_of(dir.path(), &format!("[{section}]")) {
            assert!(here.contains_key(&key), "{section}.{key} is not shown");
        }
    }
    for array in ["series", "maintenance"] {
        let first = &shown[array][0];
        for key in keys_of(dir.path(), &format!("[[{array}]]")) {
            assert!(first.get(&key).is_some(), "{array}: {key} is not shown");
        }
    }
}
