//! `demo`: the whole chain on this very machine, in one command.
//!
//! Starts the collector with its embedded broker and its page, and this host's agent; waits through a short calm;
//! runs one drill; tells what it sees. The children are this same program under another name, so that one build is
//! enough. Ctrl-C stops everything and leaves nothing behind. `demo --once` stops by itself after the drill.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    let rest: Vec<OsString> = args.collect();
    match first.as_deref().and_then(|a| a.to_str()) {
        Some("agent") => {
            fieldmouse_tests::demo::die_with_parent();
            fieldmouse::cli::main(rest)
        }
        Some("collector") => {
            fieldmouse_tests::demo::die_with_parent();
            fieldmouse_collector::main(rest)
        }
        once @ (None | Some("--once")) => match fieldmouse_tests::demo::run(once.is_some()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // If standard error is gone, the code says it alone.
                let _gone = writeln!(std::io::stderr(), "demo: {error:#}");
                ExitCode::FAILURE
            }
        },
        Some(other) => {
            let _gone =
                writeln!(std::io::stderr(), "demo: `{other}` is not understood; usage: demo [--once]");
            ExitCode::from(2)
        }
    }
}
