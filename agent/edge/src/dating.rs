//! Events made before the clock was right, and what puts them right: once the clock is set, the collector is told when
//! this device booted, and dates them by their monotonic time.

use fieldmouse_core::wire::{Clock, ClockSet};

use crate::clock::Stamp;

/// A clock that moves by less was not set, it was slewed.
const STEP_MS: u64 = 2_000;
/// More epochs than one only come of a disk that fails.
const MOST: usize = 4;

/// Numbers of one epoch that wait for a date.
#[derive(Debug, Clone, Copy)]
struct Span {
    epoch: u64,
    first: u64,
    last: u64,
}

/// What this process has told under a clock that nobody vouched for.
#[derive(Debug, Default)]
pub struct Undated {
    spans: Vec<Span>,
    /// How far the clock was to be trusted when they were told, and when the boot was by that clock.
    told: Option<(u8, Option<u64>)>,
}

fn boot(stamp: Stamp) -> Option<u64> {
    stamp.wall_ms.map(|wall| wall.saturating_sub(stamp.mono_ms))
}

impl Undated {
    /// The event `seq` of `epoch` was stamped so. [`Undated::settle`] comes first.
    pub fn note(&mut self, epoch: u64, seq: u64, stamp: Stamp) {
        if stamp.clock >= Clock::Synced as u8 {
            return;
        }
        self.told = Some((stamp.clock, boot(stamp)));
        match self.spans.iter_mut().find(|s| s.epoch == epoch) {
            Some(span) => span.last = seq,
            None => {
                if self.spans.len() >= MOST {
                    self.spans.remove(0);
                }
                self.spans.push(Span { epoch, first: seq, last: seq });
            }
        }
    }

    /// What to tell the collector now: something if the clock was set or stepped since those events.
    pub fn settle(&mut self, stamp: Stamp) -> Vec<ClockSet> {
        let (Some((clock, told)), Some(boot_ms)) = (self.told, boot(stamp)) else { return Vec::new() };
        let moved = told.is_none_or(|told| told.abs_diff(boot_ms) > STEP_MS);
        let vouched = stamp.clock > clock && stamp.clock >= Clock::Synced as u8;
        if !moved && !vouched {
            return Vec::new();
        }
        let of = |s: &Span| ClockSet { epoch: s.epoch, first: s.first, last: s.last, boot_ms };
        // A clock that was right all the time needs no word.
        let said = if moved { self.spans.iter().map(of).collect() } else { Vec::new() };
        if stamp.clock >= Clock::Synced as u8 {
            *self = Self::default();
        } else {
            // Set by hand: that may be corrected yet.
            self.told = Some((stamp.clock, Some(boot_ms)));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use fieldmouse_core::series::Millis;

    use super::*;

    const NOON: u64 = 1_795_348_800_000;

    #[test]
    fn events_are_dated_when_the_clock_is_set() {
        const UNSET: u8 = Clock::Unset as u8;
        const FREE: u8 = Clock::Free as u8;
        const SYNCED: u8 = Clock::Synced as u8;
        // Monotonic, wall and clock of each event; what was told before it.
        type Step = (Millis, Option<u64>, u8, Option<(u64, u64, u64)>);
        let cases: [(&str, &[Step]); 6] = [
            (
                "synchronised from the start",
                &[(10, Some(NOON), SYNCED, None), (20, Some(NOON + 10), SYNCED, None)],
            ),
            (
                "set by the network",
                &[
                    (10_000, None, UNSET, None),
                    (20_000, None, UNSET, None),
                    (30_000, Some(NOON), SYNCED, Some((1, 2, NOON - 30_000))),
                    (40_000, Some(NOON + 10_000), SYNCED, None),
                ],
            ),
            (
                "set by hand, then corrected",
                &[
                    (10_000, None, UNSET, None),
                    (20_000, Some(NOON), FREE, Some((1, 1, NOON - 20_000))),
                    (30_000, Some(NOON + 3_610_000), SYNCED, Some((1, 2, NOON + 3_580_000))),
                ],
            ),
            (
                "a clock that was right without a witness",
                &[(10_000, Some(NOON), FREE, None), (20_000, Some(NOON + 10_400), SYNCED, None)],
            ),
            (
                "back by ten years",
                &[
                    (10_000, Some(NOON), FREE, None),
                    (20_000, Some(NOON - 315_360_000_000), FREE, Some((1, 1, NOON - 315_360_020_000))),
                ],
            ),
            (
                "a synchronised clock that steps re-dates nothing",
                &[(10_000, Some(NOON), SYNCED, None), (20_000, Some(NOON + 3_600_000), SYNCED, None)],
            ),
        ];
        for (name, steps) in cases {
            let mut undated = Undated::default();
            for ((mono_ms, wall_ms, clock, told), seq) in steps.iter().zip(1..) {
                let stamp = Stamp { mono_ms: *mono_ms, wall_ms: *wall_ms, clock: *clock };
                let got: Vec<_> =
                    undated.settle(stamp).iter().map(|c| (c.first, c.last, c.boot_ms)).collect();
                assert_eq!(got, told.iter().copied().collect::<Vec<_>>(), "{name}, event {seq}");
                undated.note(1, seq, stamp);
            }
        }
    }
}
