//! Numbers that will never come, as sorted ranges, each with a reason.

/// `count` numbers from `first` on, lost for `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// First lost number.
    pub(super) first: u64,
    /// How many.
    pub(super) count: u64,
    /// A [`fieldmouse_core::wire::loss`] number.
    pub(super) reason: u8,
}

impl Range {
    /// The last lost number.
    pub(super) fn last(&self) -> u64 {
        self.first.saturating_add(self.count).saturating_sub(1)
    }
}

/// Ranges in rising order that do not touch, unless their reasons differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<Range>);

impl Ranges {
    /// Adds numbers that are not in yet; neighbours of the same reason grow together.
    pub(super) fn add(&mut self, range: Range) {
        if range.count == 0 {
            return;
        }
        let at = self.0.partition_point(|r| r.first < range.first);
        self.0.insert(at, range);
        self.join(at);
        if let Some(before) = at.checked_sub(1) {
            self.join(before);
        }
    }

    /// Joins the range at `at` with the one behind it if they are one.
    fn join(&mut self, at: usize) {
        if let (Some(a), Some(b)) = (self.0.get(at).copied(), self.0.get(at + 1).copied())
            && a.last() + 1 == b.first
            && a.reason == b.reason
        {
            self.0.remove(at + 1);
            if let Some(a) = self.0.get_mut(at) {
                a.count += b.count;
            }
        }
    }

    /// Drops every number up to `seq`.
    pub(super) fn forget(&mut self, seq: u64) {
        self.0.retain_mut(|r| {
            if r.first <= seq {
                let gone = (seq - r.first + 1).min(r.count);
                r.first += gone;
                r.count -= gone;
            }
            r.count > 0
        });
    }

    /// Drops every number from `seq` on; returns how many.
    pub(super) fn cut(&mut self, seq: u64) -> u64 {
        let mut gone = 0;
        self.0.retain_mut(|r| {
            let keep = r.count.min(seq.saturating_sub(r.first));
            gone += r.count - keep;
            r.count = keep;
            keep > 0
        });
        gone
    }

    /// The first lost number.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.first().map(|r| r.first)
    }

    /// Takes the first range out.
    pub(super) fn pop(&mut self) -> Option<Range> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    /// The ranges in rising order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Range> {
        self.0.iter()
    }

    /// At most `most` ranges that hold all of these, and what lies between some of them: good enough to tell why
    /// a number that has no record has none.
    pub(super) fn coarse(&self, most: usize) -> Vec<Range> {
        let size = self.0.len().div_ceil(most.max(1)).max(1);
        let whole = |c: &[Range]| {
            let (first, last) = (c.first()?, c.last()?);
            Some(Range { count: last.last() - first.first + 1, ..*first })
        };
        self.0.chunks(size).filter_map(whole).collect()
    }

    /// How many ranges.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Cuts `first..end` along sorted ranges: each piece with the reason of the range it lies in, if any.
pub(super) fn carve(first: u64, end: u64, along: &[Range]) -> Vec<(u64, u64, Option<u8>)> {
    let (mut out, mut at) = (Vec::new(), first);
    for r in along {
        let (from, to) = (r.first.max(at), (r.last() + 1).min(end));
        if from < to {
            if at < from {
                out.push((at, from, None));
            }
            out.push((from, to, Some(r.reason)));
            at = to;
        }
    }
    if at < end {
        out.push((at, end, None));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grow_together_and_are_forgotten() {
        let mut r = Ranges::default();
        for (first, reason) in [(5, 1), (3, 1), (4, 1), (9, 1), (6, 2)] {
            r.add(Range { first, count: 1, reason });
        }
        let got: Vec<_> = r.iter().map(|r| (r.first, r.count, r.reason)).collect();
        assert_eq!(got, [(3, 3, 1), (6, 1, 2), (9, 1, 1)]);
        r.forget(4);
        assert_eq!(r.iter().next().map(|r| (r.first, r.count)), Some((5, 1)));
        r.forget(100);
        assert_eq!(r.len(), 0);
    }
}
