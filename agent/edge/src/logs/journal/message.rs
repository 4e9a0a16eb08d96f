//! What an entry says: who, how grave, what; and what systemd says of its units.

use fieldmouse_core::series::cut;
use fieldmouse_core::wire::{Detail, Fact};

use super::file::Entry;

const FIELDS: [&str; 11] = [
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "_COMM",
    "_SYSTEMD_UNIT",
    "_SOURCE_REALTIME_TIMESTAMP",
    "UNIT",
    "COREDUMP_COMM",
    "COREDUMP_UNIT",
    "COREDUMP_SIGNAL_NAME",
];
/// A unit entered the failed state.
const UNIT_FAILED: &str = "d9b373ed55a64feb8242e02dbe79a49c";
/// A process left a core.
const COREDUMP: &str = "fc2e22bc6ee647b6b90729ab34a250b1";

/// Whether a field of this name is looked at.
pub(super) fn is_wanted(name: &[u8]) -> bool {
    FIELDS.iter().any(|field| field.as_bytes() == name)
}

/// What an entry says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The unit, else the program.
    pub(super) stream: &'a str,
    /// OpenTelemetry severity number.
    pub(super) severity: Option<u8>,
    /// The message itself.
    pub(super) text: &'a [u8],
    /// When it was written, in milliseconds since 1970.
    pub(super) wall_ms: Option<u64>,
}

fn field<'a>(entry: &'a Entry, name: &str) -> Option<&'a [u8]> {
    entry.fields.iter().find_map(|field| field.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn word<'a>(entry: &'a Entry, name: &str) -> Option<&'a str> {
    field(entry, name).and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty())
}

/// What it says as a line.
pub(super) fn message(entry: &Entry) -> Message<'_> {
    let unit = word(entry, "_SYSTEMD_UNIT");
    let service = unit.and_then(|unit| unit.strip_suffix(".service"));
    let program = || word(entry, "SYSLOG_IDENTIFIER").or_else(|| word(entry, "_COMM"));
    // Sessions have a number each, so their programs tell more.
    let stream = service.or_else(program).or(unit).unwrap_or("journal");
    let written =
        word(entry, "_SOURCE_REALTIME_TIMESTAMP").and_then(|us| us.parse().ok()).unwrap_or(entry.realtime);
    Message {
        stream,
        severity: word(entry, "PRIORITY").and_then(severity),
        text: field(entry, "MESSAGE").unwrap_or_default(),
        wall_ms: Some(written / 1000),
    }
}

/// OpenTelemetry's number of a syslog priority.
fn severity(priority: &str) -> Option<u8> {
    Some(match priority {
        "0" => 21,
        "1" => 19,
        "2" => 18,
        "3" => 17,
        "4" => 13,
        "5" => 10,
        "6" => 9,
        "7" => 5,
        _ => return None,
    })
}

/// What happened to a unit or a program by the journal's own account.
pub(super) fn fact(entry: &Entry) -> Option<Fact> {
    let (kind, about, text) = match word(entry, "MESSAGE_ID")? {
        UNIT_FAILED => {
            let unit = word(entry, "UNIT")?;
            ("unit-failed", unit, format!("unit {unit} failed"))
        }
        COREDUMP => {
            let program = word(entry, "COREDUMP_COMM").unwrap_or("a program");
            let signal = word(entry, "COREDUMP_SIGNAL_NAME").unwrap_or("a signal");
            let unit = word(entry, "COREDUMP_UNIT").unwrap_or(program);
            ("coredump", unit, format!("{program} was ended by {signal} and left a core"))
        }
        _ => return None,
    };
    let detail = Detail { about: cut(about), since_ms: 0, count: 1, ..Detail::default() };
    Some(Fact { detail: Some(detail), ..Fact::new(kind, &text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[&str]) -> Entry {
        Entry {
            realtime: 5_000_000,
            fields: fields.iter().map(|f| f.as_bytes().to_vec()).collect(),
            ..Entry::default()
        }
    }

    #[test]
    fn what_entries_say() {
        let check = |fields: &[&str], stream: &str, severity: Option<u8>, text: &str, wall_ms: u64| {
            let expected = Message { stream, severity, text: text.as_bytes(), wall_ms: Some(wall_ms) };
            assert_eq!(message(&entry(fields)), expected);
        };
        check(
            &["MESSAGE=hi", "PRIORITY=3", "_SYSTEMD_UNIT=ssh.service", "SYSLOG_IDENTIFIER=sshd"],
            "ssh",
            Some(17),
            "hi",
            5000,
        );
        check(
            &["MESSAGE=hi", "_SYSTEMD_UNIT=session-3.scope", "SYSLOG_IDENTIFIER=sudo"],
            "sudo",
            None,
            "hi",
            5000,
        );
        check(
            &["MESSAGE=a=b\nc", "SYSLOG_IDENTIFIER=kernel", "_SOURCE_REALTIME_TIMESTAMP=7000000"],
            "kernel",
            None,
            "a=b\nc",
            7000,
        );
        check(&["_SYSTEMD_UNIT=x.scope", "PRIORITY=9", "MESSAGE_IDX=1"], "x.scope", None, "", 5000);
        check(&[], "journal", None, "", 5000);
    }

    #[test]
    fn what_systemd_says_of_units() {
        let failed =
            fact(&entry(&["MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c", "UNIT=web.service"])).unwrap();
        assert_eq!((failed.kind.as_str(), failed.text.as_str()), ("unit-failed", "unit web.service failed"));
        let core = [
            "MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1",
            "COREDUMP_COMM=web",
            "COREDUMP_SIGNAL_NAME=SIGSEGV",
        ];
        assert_eq!(fact(&entry(&core)).unwrap().text, "web was ended by SIGSEGV and left a core");
        assert_eq!(fact(&entry(&["MESSAGE_ID=0", "UNIT=web.service"])), None);
    }
}
