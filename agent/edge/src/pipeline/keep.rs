//! What a pipeline keeps over a restart, and how it goes on from there.

use fieldmouse_core::episode::{Episodes, Times};
use fieldmouse_core::forecast::Watch;
use fieldmouse_core::joint::Joint;
use fieldmouse_core::judge::Series;
use fieldmouse_core::series::{Millis, SeriesKey};
use fieldmouse_core::window::WINDOW;

use super::account::Account;
use super::{Pipeline, calendar};
use crate::clock::Stamp;
use crate::learnt::{Layout, Learnt, Moment, Refused, What, Writer};

/// State of a series: itself, the verdict of quality that was told, when it was first read.
type KeptSeries = (Series, u8, Option<Millis>);
/// State of the device: when it last ticked, how long its ticks are, its episodes, the series these speak of, what all
/// series say together (boxed for its 16 KiB), and which of them by place.
type KeptDevice =
    (Option<Millis>, Millis, Episodes, Vec<(usize, SeriesKey)>, Box<Joint>, Vec<Option<SeriesKey>>);

/// What came back from before the start.
#[derive(Debug, Default)]
pub(super) struct Restored {
    learnt: Learnt,
    /// Too much was missed to go on as if nothing had been.
    gap: bool,
    /// The machine was not started anew.
    same_boot: bool,
    /// Of the device, until the first tick knows its series.
    device: Option<KeptDevice>,
    told: Standing,
}

/// How far learning has come.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Standing {
    /// Series that came back from before the start.
    pub restored: usize,
    /// How old their state was; none if no clock could say, or nothing came back.
    pub age_ms: Option<Millis>,
    /// What stood there and could not be used.
    pub refused: Refused,
    /// Series that are judged with confidence: half of what is to be learnt of them is.
    pub confident: usize,
    /// For how long the longest known series has been learnt, in milliseconds.
    pub oldest_ms: Millis,
}

impl Pipeline {
    /// Goes on from what was learnt before, as it was at its moment. To be called before anything else.
    pub fn restore(&mut self, learnt: Learnt, now: Stamp, boot: u128) {
        let Some(moment) = learnt.moment else {
            self.restored.told.refused = learnt.refused;
            return;
        };
        let ago = moment.ago(now, boot);
        // If no clock can say, it was at least as long ago as this boot.
        let own = moment.at.saturating_add(ago.unwrap_or(now.mono_ms));
        self.ahead = i64::try_from(own).unwrap_or(i64::MAX).saturating_sub_unsigned(now.mono_ms);
        let mut restored = Restored { learnt, ..Restored::default() };
        restored.told.age_ms = ago;
        restored.same_boot = boot != 0 && moment.boot == boot;
        if let Some(account) = restored.learnt.device(What::Account) {
            self.account = account;
        }
        if let Some(kept) = restored.learnt.device(What::Calendar) {
            self.calendar.restore(kept);
        }
        if let Some(device) = restored.learnt.device::<KeptDevice>(What::Device) {
            let (last, tick_ms, ..) = &device;
            restored.gap = ago.is_none_or(|ago| ago > tick_ms * WINDOW as Millis);
            if !restored.gap {
                (self.last, self.tick_ms) = (*last, *tick_ms);
                // The rhythm is known.
                self.ruled_for = (0, *tick_ms);
            }
            restored.device = Some(device);
        } else {
            restored.gap = true;
        }
        self.restored = restored;
    }

    /// Everything that was learnt, for [`Pipeline::restore`].
    #[must_use]
    pub fn save(&self, now: Stamp, boot: u128) -> Vec<u8> {
        // About what a series takes, and what belongs to the device; growing costs more than what is left over.
        let mut file = self.file(now, boot, self.keys.len() * 512 + (16 << 10));
        let layout = Layout::of::<KeptSeries>();
        for (i, key) in self.keys.iter().enumerate() {
            file.series(key, layout, &(&self.series[i], self.troubles[i].told, self.since[i]));
        }
        let layout = Layout::of::<Watch>();
        for (i, watch) in self.limits.iter() {
            file.limit(&self.keys[i], layout, watch);
        }
        file.carry(&self.restored.learnt);
        file.done()
    }

    /// The part of it that belongs to the whole device.
    #[must_use]
    pub fn save_device(&self, now: Stamp, boot: u128) -> Vec<u8> {
        self.file(now, boot, 4096).done()
    }

    fn file(&self, now: Stamp, boot: u128, about: usize) -> Writer {
        let moment = Moment { at: self.own(now.mono_ms), mono_ms: now.mono_ms, wall_ms: now.wall_ms, boot };
        let mut file = Writer::new(&moment, about);
        file.device(What::Calendar, Layout::of::<calendar::Kept>(), self.calendar.keep());
        file.device(What::Account, Layout::of::<Account>(), &self.account);
        if self.restored.device.is_none() {
            let mut members: Vec<_> = self.episodes.members().map(|i| (i, self.keys[i].clone())).collect();
            members.sort_unstable();
            members.dedup();
            let seats = self.device.seats().iter().map(|i| i.and_then(|i| self.keys.get(i)));
            let seats: Vec<_> = seats.collect();
            let device = (self.last, self.tick_ms, &self.episodes, members, self.device.joint(), seats);
            file.device(What::Device, Layout::of::<KeptDevice>(), &device);
        }
        file
    }

    /// How far learning has come.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let now = self.last.unwrap_or(0);
        let oldest = self.since.iter().flatten().min().map_or(0, |since| now.saturating_sub(*since));
        let refused = self.restored.told.refused;
        let later = self.restored.learnt.refused;
        Standing {
            refused: Refused {
                damaged: refused.damaged + later.damaged,
                foreign: refused.foreign + later.foreign,
            },
            confident: self.series.iter().filter(|s| s.confidence() >= 0.5).count(),
            oldest_ms: oldest,
            ..self.restored.told
        }
    }

    /// The caller's time on the pipeline's own axis.
    pub(super) fn own(&self, now: Millis) -> Millis {
        now.saturating_add_signed(self.ahead)
    }

    /// What is known of a series from before the start.
    pub(super) fn recall(&mut self, key: &SeriesKey) -> KeptSeries {
        match self.restored.learnt.series::<KeptSeries>(key) {
            Some(mut kept) => {
                self.restored.told.restored += 1;
                if self.restored.gap {
                    kept.0.after_gap();
                }
                kept
            }
            None => KeptSeries::default(),
        }
    }

    /// What a series must not reach, with what is known of it from before the start.
    pub(super) fn recall_limit(&mut self, key: &SeriesKey) {
        self.limits.add(key.metric().limit, self.restored.learnt.limit(key));
    }

    /// Takes up the episodes from before the start, now that the series are known.
    pub(super) fn recall_episodes(&mut self, now: Millis) {
        let Some((_, _, mut episodes, members, joint, seats)) = self.restored.device.take() else { return };
        let seats = seats.iter().map(|key| self.by_key.get(key.as_ref()?).copied());
        self.device.resume(joint, seats.collect());
        episodes.resume(self.episodes.next_id(), |old| {
            let (_, key) = members.iter().find(|(i, _)| *i == old)?;
            self.by_key.get(key).copied()
        });
        episodes.retime(Times::for_tick(self.tick_ms));
        if self.restored.gap {
            // In the same boot only the agent was away.
            episodes.after_gap(now, self.restored.same_boot);
        }
        self.episodes = episodes;
    }
}
