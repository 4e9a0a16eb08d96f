//! `bench append [DIRECTORY] | capsule [FILE.csv] | drain | endtoend [OPTIONS] | flash [DIRECTORY] | fleet-week [OPTIONS] | forecast [FILE…] | incidents [OPTIONS] |
//! learnt [DIRECTORY] | logday --data DIR [OPTIONS] | logs [FILE…] | otlp | replay-speed | seasons [OPTIONS] | storm [OPTIONS] | tail | uplink [OPTIONS]`: prints the figures of one benchmark.

use std::io::Write;
use std::process::ExitCode;

use fieldmouse_tests::bench;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = args.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    match name {
        "append" => bench::append::main(rest),
        "capsule" => bench::capsule::main(rest),
        "drain" => bench::drain::main(),
        "endtoend" => bench::endtoend::main(rest),
        "flash" => bench::flash::main(rest),
        "fleet-week" => bench::fleet::week(rest),
        "forecast" => bench::forecast::main(rest),
        "incidents" => bench::incidents::main(rest),
        "learnt" => bench::learnt::main(rest),
        "logday" => bench::logday::main(rest),
        "logs" => bench::logs::main(rest),
        "otlp" => bench::otlp::main(),
        "replay-speed" => bench::replay_speed::main(),
        "seasons" => bench::seasons::main(rest),
        "storm" => bench::storm::main(rest),
        "tail" => bench::tail::main(),
        "uplink" => bench::fleet::uplink(rest),
        other => {
            let _gone = writeln!(
                std::io::stderr(),
                "bench: `{other}` is not understood; usage: bench append|capsule|drain|endtoend|flash|fleet-week|forecast|incidents|learnt|logday|logs|otlp|replay-speed|seasons|storm|tail|uplink"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
