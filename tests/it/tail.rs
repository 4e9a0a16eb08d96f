//! Log files are read to the line, whatever happens to them and to the agent.

use std::time::Duration;

use fieldmouse_tests::faults::tail::{Scheme, run};

const ROTATED_EVERY: Duration = Duration::from_millis(400);

#[test]
fn killed_a_dozen_times_it_counts_every_line_of_a_renamed_log_once() {
    assert_eq!(run(Scheme::Rename, 12, ROTATED_EVERY, 1), 0);
}

#[test]
fn killed_a_dozen_times_it_counts_every_line_of_a_copied_log_once() {
    assert_eq!(run(Scheme::CopyTruncate, 12, ROTATED_EVERY, 2), 0);
}
