//! Which numbers of an epoch are accounted for: a high-water mark and the gaps below it.
//!
//! An agent numbers its events from 1 without gaps, so what is missing here is missing in the database. A number is
//! accounted for once its event is stored, or once the agent has said that it will never come.

/// The most gaps kept for one epoch. An honest agent sends in order and has few; one that does not is refused
/// further gaps (its numbers stay unacknowledged and come again) rather than given memory without end.
pub const MAX_GAPS: usize = 1024;

/// What [`Numbers::insert`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was not accounted for before.
    New,
    /// It was.
    Before,
    /// It would make a gap too many: not taken.
    Refused,
}

/// The accounted numbers of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Numbers {
    high: u64,
    // Missing ranges, both ends included, rising, never touching each other, all below `high`.
    gaps: Vec<(u64, u64)>,
}

impl Numbers {
    /// From what was kept. Ranges that make no sense are dropped, so that a damaged row costs a re-send, not a panic.
    #[must_use]
    pub fn restore(high: u64, kept: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut gaps: Vec<(u64, u64)> = Vec::new();
        for (first, last) in kept {
            let after = gaps.last().map_or(1, |g| g.1.saturating_add(2));
            if first >= after && first <= last && last < high {
                gaps.push((first, last));
            }
        }
        Self { high, gaps }
    }

    /// The highest number accounted for.
    #[must_use]
    pub fn high(&self) -> u64 {
        self.high
    }

    /// The highest number with nothing missing at or below it.
    #[must_use]
    pub fn contiguous(&self) -> u64 {
        self.gaps.first().map_or(self.high, |g| g.0 - 1)
    }

    /// The missing ranges below [`Self::high`], both ends included.
    #[must_use]
    pub fn gaps(&self) -> &[(u64, u64)] {
        &self.gaps
    }

    /// How many numbers are missing below [`Self::high`].
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.iter().fold(0, |n, g| n.saturating_add(g.1 - g.0 + 1))
    }

    /// Accounts for one number.
    pub fn insert(&mut self, n: u64) -> Seen {
        if n == 0 || (n <= self.high && self.gap_at(n).is_none()) {
            return Seen::Before;
        }
        let more = if n > self.high {
            usize::from(n > self.high + 1)
        } else {
            self.gap_at(n).map_or(0, |i| usize::from(self.gaps[i].0 < n && n < self.gaps[i].1))
        };
        if self.gaps.len() + more > MAX_GAPS {
            return Seen::Refused;
        }
        self.cover(n, n);
        Seen::New
    }

    /// Accounts for `first..=last` and returns how many of them were missing until now.
    pub fn cover(&mut self, first: u64, last: u64) -> u64 {
        let first = first.max(1);
        if first > last {
            return 0;
        }
        let mut covered = 0_u64;
        if last > self.high {
            if first > self.high + 1 {
                self.gaps.push((self.high + 1, first - 1));
            }
            covered = last - first.max(self.high + 1) + 1;
        }
        let mut left = Vec::with_capacity(self.gaps.len() + 1);
        for &(a, b) in &self.gaps {
            if b < first || last < a {
                left.push((a, b));
                continue;
            }
            if a < first {
                left.push((a, first - 1));
            }
            if last < b {
                left.push((last + 1, b));
            }
            covered = covered.saturating_add(b.min(last) - a.max(first) + 1);
        }
        self.gaps = left;
        self.high = self.high.max(last);
        covered
    }

    fn gap_at(&self, n: u64) -> Option<usize> {
        let i = self.gaps.partition_point(|g| g.1 < n);
        self.gaps.get(i).filter(|g| g.0 <= n).map(|_| i)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Insert(u64),
        Cover(u64, u64),
        Reload,
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            6 => (0_u64..60).prop_map(Op::Insert),
            2 => (0_u64..60, 0_u64..12).prop_map(|(a, n)| Op::Cover(a, a + n)),
            1 => Just(Op::Reload),
        ];
        proptest::collection::vec(op, 0..80)
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_set(ops in ops()) {
            let mut numbers = Numbers::default();
            let mut plain = BTreeSet::new();
            for op in ops {
                match op {
                    Op::Insert(n) => {
                        let new = n > 0 && plain.insert(n);
                        prop_assert_eq!(numbers.insert(n), if new { Seen::New } else { Seen::Before });
                    }
                    Op::Cover(a, b) => {
                        let new = (a.max(1)..=b).filter(|n| plain.insert(*n)).count();
                        prop_assert_eq!(numbers.cover(a, b), new as u64);
                    }
                    Op::Reload => numbers = Numbers::restore(numbers.high(), numbers.gaps().to_vec()),
                }
                let high = plain.last().copied().unwrap_or(0);
                let missing: Vec<u64> = (1..=high).filter(|n| !plain.contains(n)).collect();
                prop_assert_eq!(numbers.high(), high);
                prop_assert_eq!(numbers.missing(), missing.len() as u64);
                prop_assert_eq!(numbers.contiguous(), missing.first().map_or(high, |n| n - 1));
                let listed: Vec<u64> = numbers.gaps().iter().flat_map(|g| g.0..=g.1).collect();
                prop_assert_eq!(listed, missing);
                prop_assert!(numbers.gaps().windows(2).all(|w| w[0].1 + 1 < w[1].0), "gaps touch");
            }
        }

        #[test]
        fn a_damaged_row_never_panics(high: u64, kept in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..8),
                                      first: u64, last: u64, n: u64) {
            let mut numbers = Numbers::restore(high, kept);
            numbers.cover(first, last);
            numbers.insert(n);
            prop_assert!(numbers.contiguous() <= numbers.high());
        }
    }

    #[test]
    fn gaps_are_bounded() {
        let mut numbers = Numbers::default();
        for n in 0..MAX_GAPS as u64 {
            assert_eq!(numbers.insert(2 + 2 * n), Seen::New);
        }
        assert_eq!(numbers.insert(10_000), Seen::Refused);
        assert_eq!(numbers.insert(numbers.high() + 1), Seen::New, "no gap, no refusal");
        assert_eq!(numbers.insert(1), Seen::New);
        assert_eq!(numbers.insert(10_000), Seen::New);
    }
}
