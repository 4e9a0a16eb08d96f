//! The collector.

use std::process::ExitCode;

fn main() -> ExitCode {
    fieldmouse_collector::main(std::env::args_os())
}
