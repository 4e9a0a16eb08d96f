//! What comes by the clock: episodes of one part of the device that begin at the same time of day, on day after day or
//! week after week, are somebody's job and no news. The same at another hour is.
//!
//! The time of day is that of the caller's own time, which goes on over restarts; no wall clock is needed.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::series::Millis;

const DAY_MS: Millis = 86_400_000;
/// It may begin so much earlier or later than the last time.
const PUNCTUAL_MS: Millis = 1_200_000;
/// Two beginnings that are nearer are of one day.
const APART_MS: Millis = DAY_MS / 2;
/// What has not come for so long has stopped.
const STOPPED_MS: Millis = 15 * DAY_MS;
/// After so many days it is expected.
const EXPECTED: u8 = 3;
const APPOINTMENTS: usize = 24;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Appointment {
    /// A bit for each part of the device.
    groups: u16,
    /// When it began last.
    began: Millis,
    longest: Millis,
    times: u8,
}

/// All that has begun at some time of day.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Clockwork {
    known: Vec<Appointment, APPOINTMENTS>,
}

impl Appointment {
    fn fits(&self, groups: u16, onset: Millis) -> bool {
        let off = onset.abs_diff(self.began) % DAY_MS;
        self.groups & groups != 0 && off.min(DAY_MS - off) <= PUNCTUAL_MS
    }
}

impl Clockwork {
    /// How long that lasts which is expected of this part of the device now; none if nothing is.
    pub(super) fn expected(&self, groups: u16, onset: Millis) -> Option<Millis> {
        let mut fitting = self.known.iter().filter(|a| {
            a.times >= EXPECTED && a.fits(groups, onset) && onset.saturating_sub(a.began) >= APART_MS
        });
        fitting.next().map(|a| a.longest)
    }

    /// Remembers an episode that is over.
    pub(super) fn note(&mut self, groups: u16, onset: Millis, lasted: Millis) {
        self.known.retain(|a| onset.saturating_sub(a.began) <= STOPPED_MS);
        if let Some(a) = self.known.iter_mut().find(|a| a.fits(groups, onset)) {
            if onset.saturating_sub(a.began) >= APART_MS {
                a.times = a.times.saturating_add(1);
                a.began = onset;
            }
            a.groups |= groups;
            a.longest = a.longest.max(lasted);
            return;
        }
        if self.known.is_full()
            && let Some(at) =
                (0..self.known.len()).min_by_key(|i| (self.known[*i].times, self.known[*i].began))
        {
            self.known.swap_remove(at);
        }
        // There is room now.
        let _pushed = self.known.push(Appointment { groups, began: onset, longest: lasted, times: 1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Episodes of one hour's length that begin at these hours; returns which of them were expected.
    fn check(hours: &[f64], expected: &[bool]) {
        let mut clockwork = Clockwork::default();
        let got: std::vec::Vec<bool> = hours
            .iter()
            .map(|hour| {
                let onset = (hour * 3_600_000.0) as Millis;
                let is = clockwork.expected(1, onset).is_some();
                assert!(clockwork.expected(2, onset).is_none(), "another part of the device");
                clockwork.note(1, onset, 3_600_000);
                is
            })
            .collect();
        assert_eq!(got, expected, "{hours:?}");
    }

    #[test]
    fn the_fourth_by_the_clock_is_expected() {
        check(&[3.0, 27.1, 51.0, 75.2, 99.0], &[false, false, false, true, true]);
        check(&[3.0, 171.0, 339.0, 507.0], &[false, false, false, true]);
        check(&[3.0, 27.0, 51.0, 80.0], &[false, false, false, false]);
        check(&[3.0, 3.1, 3.2, 3.3], &[false; 4]);
        check(&[3.0, 27.0, 51.0, 75.0, 600.0], &[false, false, false, true, false]);
    }
}
