//! The fault tests, by name: `faults NAME [--most N] [--every N] [--kills N] [--seed N]`. Each prints `name value unit`
//! and ends with 1 if anything happened that must not. `tests/run` does a part of each, `tests/run nightly` all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::process::ExitCode;

use std::time::Duration;

use fieldmouse_tests::faults::tail::{self, Scheme};
use fieldmouse_tests::faults::{away, collectors, commit, crash, damage, disk, flood, kills};

const USAGE: &str = "usage: faults kills [--kills 50] | crash [--most N] | disk [--most N] | damage [--every 1] | \
                     commit [--most N] | tail [--kills 100] | collectors [--minutes 1] [--rate 200] | gone | \
                     full-store | flood, each with [--seed 1]";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let mut options: HashMap<String, u64> = HashMap::new();
    while let Some(option) = args.next() {
        let known =
            ["--kills", "--most", "--every", "--seed", "--minutes", "--rate"].contains(&option.as_str());
        let value = args.next().and_then(|v| v.parse().ok()).filter(|_| known);
        let value =
            value.unwrap_or_else(|| panic!("`{option}` is not understood, or has no number; {USAGE}"));
        options.insert(option, value);
    }
    let given = |option: &str| options.get(option).copied();
    let seed = given("--seed").unwrap_or(1);
    let most = given("--most").map(|n| usize::try_from(n).unwrap());
    let failures = match name.as_str() {
        "kills" => kills::run(given("--kills").unwrap_or(50), seed),
        "crash" => crash::run(most, seed),
        "disk" => disk::run(most, seed),
        "full" => disk::full(seed),
        "damage" => damage::run(usize::try_from(given("--every").unwrap_or(1)).unwrap(), seed),
        "collectors" => {
            let span = Duration::from_secs(60 * given("--minutes").unwrap_or(1));
            collectors::run(span, given("--rate").unwrap_or(200), seed)
        }
        "gone" => away::gone(seed),
        "full-store" => away::full_in_own_namespace(seed),
        "full-store-here" => away::full(seed),
        "flood" => flood::run(seed),
        "commit" => commit::run(most, seed),
        "tail" => [Scheme::Rename, Scheme::CopyTruncate]
            .into_iter()
            .map(|scheme| tail::run(scheme, given("--kills").unwrap_or(100), Duration::from_secs(1), seed))
            .sum(),
        other => panic!("`{other}` is no fault test; {USAGE}"),
    };
    ExitCode::from(u8::from(failures > 0))
}
