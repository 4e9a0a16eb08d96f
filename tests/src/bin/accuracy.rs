//! Detection over open data with labels: `accuracy --data DIR [--sets a,b] [--config FILE] [--jobs 2] [--keep DIR]
//! [--scores-from DIR] [--quick] [--each]`. Prints `name value unit`; with `FIELDMOUSE_RESULTS` also what `figures` makes the
//! tables of tests/ACCURACY.md from. Ends with 1 if a replay failed, or gave scores that it must not.
#![expect(clippy::print_stderr, reason = "what failed is told apart from the figures")]

use std::process::ExitCode;

use anyhow::{Context, bail};
use fieldmouse_tests::accuracy::{report, run};

const USAGE: &str = "usage: accuracy --data DIR [--sets a,b] [--config FILE] [--jobs 2] [--keep DIR] [--scores-from DIR] \
                     [--quick] [--each]";

fn main() -> anyhow::Result<ExitCode> {
    let mut options = run::Options { jobs: 2, ..run::Options::default() };
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let mut value = || args.next().with_context(|| format!("`{option}` has no value; {USAGE}"));
        match option.as_str() {
            "--data" => options.data = value()?.into(),
            "--sets" => options.sets = value()?.split(',').map(Into::into).collect(),
            "--config" => options.config = Some(value()?.into()),
            "--jobs" => {
                options.jobs = value()?.parse().with_context(|| format!("--jobs: a number; {USAGE}"))?
            }
            "--keep" => options.keep = Some(value()?.into()),
            "--scores-from" => options.scores_from = Some(value()?.into()),
            "--quick" => options.is_quick = true,
            "--each" => options.each = true,
            other => bail!("`{other}` is not understood; {USAGE}"),
        }
    }
    let (done, failed) = run::all(&options)?;
    report::tell(&done, options.each);
    for why in &failed {
        eprintln!("failed: {why}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
