//! Edges: who depends on whom, who says so, and from when to when.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an edge is held to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The declared file says so.
    Declared,
    /// A label of the device says so.
    Label,
    /// Spans were seen that go from one to the other.
    Calls,
    /// Somebody said so.
    Edited,
    /// Somebody said that there is none, whatever others say.
    Denied,
}

impl Origin {
    /// One word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Label => "label",
            Self::Calls => "calls",
            Self::Edited => "edited",
            Self::Denied => "denied",
        }
    }
}

/// One entity depends on another, for a time. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Who depends.
    pub from: String,
    /// On whom.
    pub to: String,
    /// Why it is held to be there.
    pub origin: Origin,
    /// When it was first told of.
    pub first_seen: u64,
    /// When it was last told of, to an hour.
    pub last_seen: u64,
    /// When it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
    /// Who said so, if it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Who took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_by: Option<String>,
}

impl Edge {
    /// An edge that begins now.
    #[must_use]
    pub fn new(from: &str, to: &str, origin: Origin, now_ms: u64) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            origin,
            first_seen: now_ms,
            last_seen: now_ms,
            gone: None,
            by: None,
            gone_by: None,
        }
    }

    /// Whether it was there at a moment.
    #[must_use]
    pub fn held(&self, at_ms: u64) -> bool {
        self.first_seen <= at_ms && self.gone.is_none_or(|gone| at_ms < gone)
    }

    /// The key of its record: the same edge at another time is another record.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} > {} {} {}", self.from, self.to, self.origin.word(), self.first_seen)
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} depends on {} ({})", self.from, self.to, self.origin.word())
    }
}
