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
    /// When it was first time since the last acknowledgement, and how often.
    over: Option<(Millis, u32)>,
}

impl Stall {
    pub(super) fn new(first: Millis, most: Millis) -> Self {
        Self { first, most: most.max(first), wait: first, since: None, over: None }
    }

    /// Something was acknowledged.
    pub(super) fn moved(&mut self) {
        (self.wait, self.since, self.over) = (self.first, None, None);
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
        let (first, times) = self.over.unwrap_or((now, 0));
        self.over = Some((first, times + 1));
        true
    }

    /// When it was first time to begin anew since the last acknowledgement, and how often it was.
    pub(super) fn over(&self) -> Option<(Millis, u32)> {
        self.over
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.since.map(|t| t + self.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_patient_and_the_more_so_the_longer_it_takes() {
        let mut s = Stall::new(180_000, 600_000);
        let mut over = Vec::new();
        for now in (0..3_600_000).step_by(1000) {
            if s.is_over(now, true) {
                over.push(now / 1000);
                s.begin();
            }
        }
        assert_eq!(over, [180, 541, 1142, 1743, 2344, 2945, 3546]);
        assert_eq!(s.over(), Some((180_000, 7)));
        s.moved();
        assert_eq!((s.over(), s.deadline()), (None, None));
        // Without hope there is nothing to wait for, and hope begins anew.
        assert!(!s.is_over(0, true) && !s.is_over(179_000, false) && !s.is_over(180_000, true));
        assert_eq!(s.deadline(), Some(360_000));
    }
}
