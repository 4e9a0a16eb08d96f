//! `bench NAME [OPTIONS]`: prints the figures of one benchmark, a line `name value unit` each. Without a name, or with
//! another, it tells what there is.

use std::io::Write;
use std::process::ExitCode;

use fieldmouse_tests::bench;

/// Name, options, and what runs.
type Bench = (&'static str, &'static str, fn(&[String]));

const BENCHES: &[Bench] = &[
    ("append", "[DIRECTORY]", bench::append::main),
    ("capsule", "[FILE.csv]", bench::capsule::main),
    ("diagnose", "CASES TRUTH.json …", bench::diagnose::main),
    ("drain", "", |_| bench::drain::main()),
    ("endtoend", "[OPTIONS]", bench::endtoend::main),
    ("flash", "[DIRECTORY]", bench::flash::main),
    ("fleet-week", "[OPTIONS]", bench::fleet::week),
    ("forecast", "[FILE…]", bench::forecast::main),
    ("incidents", "[OPTIONS]", bench::incidents::main),
    ("intake", "[OPTIONS]", bench::intake::main),
    ("learnt", "[DIRECTORY]", bench::learnt::main),
    ("logday", "--data DIR [OPTIONS]", bench::logday::main),
    ("logs", "[FILE…]", bench::logs::main),
    ("look", "[OPTIONS]", bench::look::main),
    ("otlp", "", |_| bench::otlp::main()),
    ("replay-speed", "", |_| bench::replay_speed::main()),
    ("seasons", "[OPTIONS]", bench::seasons::main),
    ("storm", "[OPTIONS]", bench::storm::main),
    ("tail", "", |_| bench::tail::main()),
    ("uplink", "[OPTIONS]", bench::fleet::uplink),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = args.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    if let Some((.., run)) = BENCHES.iter().find(|(known, ..)| *known == name) {
        run(rest);
        return ExitCode::SUCCESS;
    }
    let all: Vec<String> =
        BENCHES.iter().map(|(name, options, _)| format!("  bench {name} {options}")).collect();
    let _gone = writeln!(std::io::stderr(), "bench: `{name}` is not understood; usage:\n{}", all.join("\n"));
    ExitCode::from(2)
}
