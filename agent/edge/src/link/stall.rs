//! The last resort: everything is there, and still nothing is acknowledged.

use fieldmouse_core::series::Millis;

/// Says when to begin anew. Each time it has to wait twice as long, so that a collector whose disk fails is not beset
/// with reconnects; an acknowledgement makes it alert again.
#[derive(Debug)]
pub(super) struct Stall {
    first: Millis,
    most: Millis,
    wait: Millis,
    since: Option<Millis>,
}

impl Stall {
    pub(super) fn new(first: Millis, most: Millis) -> Self {
        Self { first, most: most.max(first), wait: first, since: None }
    }

    /// Something was acknowledged.
    pub(super) fn moved(&mut self) {
        (self.wait, self.since) = (self.first, None);
    }

    /// A connection begins: it has its time.
    pub(super) fn begin(&mut self) {
        self.since = None;
    }

    /// Whether it is time to begin anew. `hoping`: connected, with a collector online, and events wait for it.
    pub(super) fn is_over(&mut self, now: Millis, hoping: bool) -> bool {
        if !hoping {
            self.since = None;
            return false;
        }
        if now < *self.since.get_or_insert(now) + self.wait {
            return false;
        }
        self.wait = (self.wait * 2).min(self.most);
        self.since = None;
        true
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.since.map(|t| t + self.wait)
    }
}
