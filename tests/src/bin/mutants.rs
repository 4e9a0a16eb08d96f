//! Breaks a copy of the product on purpose, one change at a time, and demands that the simulations, or the unit tests, find each:
//! `mutants [PART OF A NAME …]`.
#![expect(clippy::print_stdout, reason = "counts are what it is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use fieldmouse_tests::repository;
use fieldmouse_tests::sim::mutants::all;
use serde_json::Value;

/// What a simulation may look at before a mutant counts as not found.
const POWER_CUTS: [&str; 3] = ["--states", "300000", "--quick"];
const SIM: [&str; 3] = ["--seeds", "300", "--quick"];
/// The unit tests that look at what is decided of signals, and of who is told.
const UNITS: [&str; 13] = [
    "--quiet",
    "correlate::",
    "desk::",
    "diagnose::",
    "topology::",
    "signal::",
    "health::",
    "cluster::plan",
    "notify::decide",
    "notify::budget",
    "notify::digest",
    "notify::teller",
    "notify::view",
];

fn main() -> anyhow::Result<ExitCode> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| name.contains(w));
    let root = repository();
    let place = root.join("target/mutants");
    let tree = place.join("tree");
    copy(&root, &tree)?;
    let (mut found, mut missed) = (0, Vec::new());
    for mutant in all(&root)?.into_iter().filter(|m| is_wanted(&m.name)) {
        let file = tree.join(&mutant.file);
        let whole = std::fs::read_to_string(&file).with_context(|| mutant.file.clone())?;
        std::fs::write(&file, mutant.apply(&tree)?)?;
        let said = build(&tree, &place.join("target"), &mutant.found_by).and_then(|program| look(&program));
        std::fs::write(&file, whole)?;
        match said {
            Ok(Some(how)) => {
                found += 1;
                println!("found      {}: {how}", mutant.name);
                continue;
            }
            Ok(None) => println!("NOT FOUND  {} by {}", mutant.name, mutant.found_by),
            Err(error) => println!("NOT BUILT  {}: {error:#}", mutant.name),
        }
        missed.push(mutant.name);
    }
    println!("mutants: {found} of {} found", found + missed.len());
    Ok(if missed.is_empty() && found > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What git knows and what is new, copied where it differs, so that little is built anew.
fn copy(root: &Path, to: &Path) -> anyhow::Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git")?;
    for name in String::from_utf8(listed.stdout)?.lines() {
        let (from, to) = (root.join(name), to.join(name));
        let Ok(bytes) = std::fs::read(&from) else { continue };
        if std::fs::read(&to).ok().as_ref() != Some(&bytes) {
            std::fs::create_dir_all(to.parent().unwrap_or(&to))?;
            std::fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// The program that must find it.
fn build(tree: &Path, target: &Path, found_by: &str) -> anyhow::Result<PathBuf> {
    let what: &[&str] = match found_by {
        "unit-tests" => &["test", "--no-run", "--lib", "--package", "fieldmouse-collector"],
        program => &["build", "--package", "fieldmouse-tests", "--bin", program],
    };
    let done = Command::new("cargo")
        .args(what)
        .args(["--quiet", "--locked", "--message-format", "json"])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_INCREMENTAL", "1")
        .stderr(Stdio::piped())
        .output()
        .context("cargo")?;
    anyhow::ensure!(done.status.success(), "it does not build:\n{}", String::from_utf8_lossy(&done.stderr));
    // Each line tells of one thing that was built; the last one with a program is ours.
    let said = String::from_utf8(done.stdout)?;
    let program =
        |line: &str| serde_json::from_str::<Value>(line).ok()?["executable"].as_str().map(PathBuf::from);
    said.lines().rev().find_map(program).context("cargo tells of no program")
}

/// How the simulation or the tests failed; none if they did not.
fn look(program: &Path) -> anyhow::Result<Option<String>> {
    let args: &[&str] = match program.file_name().and_then(|name| name.to_str()) {
        Some("sim") => &SIM,
        Some("power-cuts") => &POWER_CUTS,
        _ => &UNITS,
    };
    let done = Command::new(program)
        .args(args)
        .env("RUST_BACKTRACE", "0")
        .output()
        .with_context(|| program.display().to_string())?;
    let said = String::from_utf8_lossy(&done.stdout);
    // A test that failed is named after its module.
    let failed = |line: &&str| !line.trim().is_empty() && (args != UNITS || line.starts_with("    "));
    Ok((!done.status.success()).then(|| said.lines().find(failed).unwrap_or_default().trim().to_owned()))
}
