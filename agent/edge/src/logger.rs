//! The agent's own log: one line on standard error, with the priority that journald reads if it listens.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr {
    prefix: bool,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The libraries have a lot to say; what matters of it reaches us as errors.
        let ours = metadata.target().starts_with("fieldmouse");
        metadata.level() <= if ours { log::max_level() } else { LevelFilter::Error }
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (priority, word) = match record.level() {
            Level::Error => (3, "error"),
            Level::Warn => (4, "warning"),
            Level::Info => (6, "info"),
            Level::Debug | Level::Trace => (7, "debug"),
        };
        // Control characters of a foreign text must not become lines of ours.
        let text: String =
            record.args().to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = if self.prefix { format!("<{priority}>{text}\n") } else { format!("{word}: {text}\n") };
        // If standard error is gone there is nowhere to say so.
        let _gone = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// Starts logging. `FIELDMOUSE_LOG` sets the level: error, warn, info, debug.
pub fn init() {
    let level =
        std::env::var("FIELDMOUSE_LOG").ok().and_then(|l| l.parse().ok()).unwrap_or(LevelFilter::Info);
    static LOGGER: std::sync::OnceLock<Stderr> = std::sync::OnceLock::new();
    let logger = LOGGER.get_or_init(|| Stderr { prefix: std::env::var_os("JOURNAL_STREAM").is_some() });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}
