//! What became of an event that was pushed.

use super::Outbox;

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Taken in; the next commit makes it durable.
    Pending,
    /// It survives a power cut, or the collector has it.
    Durable,
    /// In memory alone, as the folder cannot be written. It may have got another number with that.
    Volatile,
    /// Not taken, or dropped for something more severe: counted, and declared to the collector.
    Lost,
}

impl Outbox {
    /// What became of number `seq` of `epoch`. To be asked after each [`Outbox::sync`] until it is no longer pending;
    /// of numbers that were acknowledged long ago it knows nothing.
    #[must_use]
    pub fn standing(&self, epoch: u64, seq: u64) -> Standing {
        let current = self.epoch() == epoch;
        let lane = self.lanes.iter().find(|l| l.epoch == epoch);
        // What was not durable when the disk failed went over into a later epoch.
        let Some(lane) = lane.filter(|l| seq < l.next) else { return Standing::Volatile };
        if seq <= lane.acked {
            return Standing::Durable;
        }
        if lane.recs.binary_search_by_key(&seq, |r| r.seq).is_err() {
            return Standing::Lost;
        }
        match self.sick {
            Some(_) if current || seq > lane.ready => Standing::Volatile,
            _ if seq <= lane.ready => Standing::Durable,
            _ => Standing::Pending,
        }
    }
}
