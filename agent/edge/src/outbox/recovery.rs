//! What was found when the outbox was opened, and what was made of it.

/// What was found at opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that wait to be delivered.
    pub records: u64,
    /// Bytes that told nothing, or payloads that were not what was written.
    pub damaged_bytes: u64,
    /// Numbers newly found lost.
    pub lost: u64,
    /// The cursor file was missing or damaged although there were segments.
    pub cursor_lost: bool,
    /// A new epoch began.
    pub new_epoch: bool,
    /// Why events stand in memory alone, if they do.
    pub memory_only: Option<String>,
}

impl Recovery {
    /// The same in words, where `epoch` is the one that goes on.
    #[must_use]
    pub fn in_words(&self, epoch: u64) -> String {
        let mut parts = vec![format!("{} records wait to be delivered", self.records)];
        if self.damaged_bytes > 0 {
            parts.push(format!("{} damaged bytes set aside in quarantine.bin", self.damaged_bytes));
        }
        if self.lost > 0 {
            parts.push(format!("{} events newly counted as lost", self.lost));
        }
        if self.cursor_lost {
            parts.push("the cursor written anew".to_owned());
        }
        if self.new_epoch {
            parts.push(format!("a new epoch begun, {epoch:016x}"));
        }
        parts.join(", ")
    }
}
