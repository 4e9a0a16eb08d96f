//! Log lines on standard error, as systemd's journal likes them.

use std::io::Write;
use std::sync::LazyLock;

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr;

/// journald reads the priority from the line and adds the time itself.
static JOURNAL: LazyLock<bool> = LazyLock::new(|| std::env::var_os("JOURNAL_STREAM").is_some());

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        // Libraries have much to say that is of no use to an operator.
        let ours = record.target().starts_with("fieldmouse");
        if !self.enabled(record.metadata()) || (!ours && record.level() > Level::Warn) {
            return;
        }
        let (priority, word) = match record.level() {
            Level::Error => ("<3>", "error: "),
            Level::Warn => ("<4>", "warning: "),
            _ => ("<6>", ""),
        };
        let start = if *JOURNAL { priority } else { word };
        // Nobody is left to tell if standard error is gone.
        let _told = writeln!(std::io::stderr(), "{start}{}", record.args());
    }

    fn flush(&self) {}
}

/// Sends log lines to standard error. A second call changes nothing.
pub(crate) fn install() {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}
