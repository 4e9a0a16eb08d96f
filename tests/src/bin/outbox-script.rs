//! `outbox-script DIR SEED`: the operations of `faults::script` in a process of its own, which can be killed. The ledger
//! goes to standard output by `writev`, a call that the outbox does not use: so it is never what is killed or fails.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use fieldmouse_tests::faults::script;

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(Ok(seed))) = (args.next().map(PathBuf::from), args.next().map(|s| s.parse())) else {
        panic!("usage: outbox-script DIR SEED");
    };
    let mut ledger = File::from(std::io::stdout().as_fd().try_clone_to_owned().unwrap());
    script::run(&dir, seed, &mut |line| {
        let line = format!("{line}\n");
        assert_eq!(ledger.write_vectored(&[IoSlice::new(line.as_bytes())]).unwrap(), line.len());
    });
}
