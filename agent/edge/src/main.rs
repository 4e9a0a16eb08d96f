//! `fieldmouse`: the agent. All it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    fieldmouse::cli::main(std::env::args_os().skip(1))
}
