use proptest::prelude::*;

use super::*;
use crate::wire::phase;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

fn noise(i: u64) -> f32 {
    ((i.wrapping_mul(2_654_435_761) >> 8) % 10_000) as f32 / 10_000.0 - 0.5
}

/// The outlook after `days` of one reading a minute.
fn after(days: f64, limit: Limit, value: impl Fn(f32) -> f32) -> Option<Outlook> {
    let mut past = Past::default();
    for minute in 0..(days * 1440.0) as u64 {
        past.observe(minute * MINUTE, value(minute as f32 / 1440.0));
    }
    past.outlook(limit)
}

/// Checks that the crossing is told `hours` ahead, within a tenth of it, and that the interval has room for it.
fn check(days: f64, limit: Limit, hours: f64, value: impl Fn(f32) -> f32) {
    let o = after(days, limit, value).expect("a forecast");
    let found = o.expected as f64 / HOUR as f64;
    assert!((found - hours).abs() <= 0.1 * hours, "{found} h instead of {hours} h: {o:?}");
    assert!(o.early < o.expected && o.late.is_none_or(|late| late > o.expected), "{o:?}");
}

#[test]
fn growth_is_followed_to_its_limit() {
    let full = Limit::Above(1.0);
    check(4.0, full, 96.0, |day| 0.2 + 0.1 * day);
    check(0.05, full, 0.8, |day| 0.2 + 9.41 * day);
    check(4.0, full, 93.0, |day| 0.2 + 0.1 * day + 0.02 * noise((day * 1440.0) as u64));
    check(0.1, Limit::Below(0.0), 2.4, |day| 0.2 - day);
    // A gigabyte a day on a device of bytes.
    check(4.0, Limit::Above(1e11), 96.0, |day| 9.2e10 + 1e9 * day);
}

#[test]
fn a_removal_is_no_decline() {
    let removed = |day: f32| 0.3 + 0.1 * day - if day > 2.5 { 0.2 } else { 0.0 };
    check(4.0, Limit::Above(1.0), 120.0, removed);
}

#[test]
fn three_removals_are_a_habit() {
    // Ten hours of growth, then nine tenths of it are removed: 0.01 stays every ten hours.
    let rotated = |day: f32| {
        let tooth = day * 2.4;
        0.5 + 0.01 * libm::floorf(tooth) + 0.1 * (tooth - libm::floorf(tooth))
    };
    let o = after(6.0, Limit::Above(1.0), rotated).unwrap();
    let days = o.expected as f64 / DAY as f64;
    assert!((8.0..14.0).contains(&days), "in {days} days: {o:?}");
    let bounded = after(6.0, Limit::Above(1.0), |day| 0.5 + 0.1 * (day * 2.4 % 1.0));
    assert!(bounded.is_none_or(|o| o.late.is_none()), "it never comes further: {bounded:?}");
}

#[test]
fn days_repeat() {
    // All of it is written from 8 to 16.
    let office = |day: f32| {
        let whole = libm::floorf(day);
        0.2 + 0.06 * (whole + ((day - whole) * 3.0 - 1.0).clamp(0.0, 1.0))
    };
    // At noon of the sixth day half of that day's share is still to come.
    check(5.5, Limit::Above(0.8), 104.0, office);
}

#[test]
fn a_sudden_flood_is_judged_by_itself() {
    let flood = |day: f32| 0.2 + 0.001 * day + if day > 5.0 { (day - 5.0) * 4.8 } else { 0.0 };
    check(5.04, Limit::Above(1.0), 3.05, flood);
}

#[test]
fn what_does_not_grow_has_no_forecast() {
    assert_eq!(after(3.0, Limit::Above(1.0), |_| 0.4), None);
    assert_eq!(after(3.0, Limit::Above(1.0), |day| 0.9 - 0.1 * day), None);
    assert_eq!(after(0.002, Limit::Above(1.0), |day| day), None, "three minutes are not enough");
    let noisy = after(3.0, Limit::Above(1.0), |day| 0.4 + 0.1 * noise((day * 1440.0) as u64));
    assert!(noisy.is_none_or(|o| o.late.is_none()), "{noisy:?}");
}

#[test]
fn a_countdown_is_known_at_once() {
    let mut past = Past::default();
    past.observe(0, 7200.0);
    past.observe(2 * MINUTE, 7080.0);
    let o = past.outlook(Limit::Countdown).unwrap();
    assert_eq!((o.expected, o.late), (2 * HOUR, Some(2 * HOUR)));
}

#[test]
fn wear_is_remembered_for_more_than_a_year() {
    // Read once an hour; a tenth of the life in ninety days, told in tenths.
    let mut watch = Watch::new(Limit::Wear);
    for hour in 0..400 * 24_u64 {
        let tenths = libm::floorf(hour as f32 / 24.0 / 90.0);
        assert_eq!(watch.observe(hour * HOUR, tenths / 10.0, 7 * DAY), None, "hour {hour}");
    }
    let o = watch.outlook().unwrap();
    let days = o.expected as f64 / DAY as f64;
    assert!((300.0..600.0).contains(&days), "{days}: {o:?}");
}

#[test]
fn gaps_are_bridged_and_long_ones_begin_anew() {
    let grows = |from: Millis, to: Millis, past: &mut Past| {
        (from..to).step_by(MINUTE as usize).for_each(|now| {
            past.observe(now, 0.2 + 0.1 * (now as f32 / DAY as f32));
        });
    };
    let mut past = Past::default();
    grows(0, 2 * DAY, &mut past);
    grows(2 * DAY + 6 * HOUR, 4 * DAY, &mut past);
    let o = past.outlook(Limit::Above(1.0)).unwrap();
    assert!((o.expected as f64 / DAY as f64 - 4.0).abs() < 0.2, "{o:?}");
    past.observe(40 * DAY, 0.3);
    past.observe(40 * DAY + 2 * MINUTE, 0.3);
    assert_eq!(past.outlook(Limit::Above(1.0)), None);
}

#[test]
fn a_forecast_is_told_once_and_taken_back_once() {
    let mut watch = Watch::new(Limit::Above(1.0));
    let mut told = std::vec::Vec::new();
    let mut feed = |from: u64, to: u64, value: &dyn Fn(f32) -> f32| {
        for minute in from..to {
            let change = watch.observe(minute * MINUTE, value(minute as f32 / 1440.0), 7 * DAY);
            told.extend(change.map(|c| (c.phase, c.severity, minute / 1440)));
        }
    };
    // 8 % a day: within the horizon of a week on the fourth day, within a day on the tenth.
    feed(0, 9 * 1440 + 1300, &|day| 0.2 + 0.08 * day);
    // Then most of it is removed, and nothing is added.
    feed(9 * 1440 + 1300, 14 * 1440, &|_| 0.1);
    let phases: std::vec::Vec<_> = told.iter().map(|t| t.0).collect();
    assert_eq!(phases.first(), Some(&phase::OPENED), "{told:?}");
    assert_eq!(phases.last(), Some(&phase::CLOSED), "{told:?}");
    let count = |p| phases.iter().filter(|x| **x == p).count();
    assert_eq!((count(phase::OPENED), count(phase::CLOSED)), (1, 1), "{told:?}");
    assert!(count(phase::UPDATED) <= 6, "{told:?}");
    assert!((2..=4).contains(&told[0].2) && told[0].1 == 13, "{told:?}");
    assert!(told.iter().any(|t| t.1 == 17), "within a day it is an error: {told:?}");
}

#[test]
fn what_is_reached_is_told_once() {
    // Full within the hour in which it was foretold: as grave as before, and yet news.
    let mut watch = Watch::new(Limit::Above(1.0));
    let mut told = std::vec::Vec::new();
    for second in (0..3 * 3600_u64).step_by(5) {
        let value = (0.1 + second as f32 / 1500.0).min(1.0);
        told.extend(watch.observe(second * 1000, value, 7 * DAY));
    }
    let reached: std::vec::Vec<_> = told.iter().filter(|c| c.outlook.expected == 0).collect();
    assert_eq!((reached.len(), told.last().map(|c| c.outlook.expected)), (1, Some(0)), "{told:?}");
    assert!(told.len() > 1 && told[0].outlook.expected > 0, "{told:?}");
}

#[test]
fn memory_of_a_series_is_small() {
    assert!(size_of::<Watch>() <= 960, "{} bytes", size_of::<Watch>());
}

fn odd() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<f32>(),
        Just(f32::NAN),
        Just(f32::MAX),
        Just(f32::MIN),
        Just(1e-45),
        Just(f32::INFINITY),
        0.0..1.0_f32,
        Just(0.5),
    ]
}

/// Steps of time: mostly a minute, sometimes none, long, or back.
fn step() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(60_000), 2 => Just(0), 2 => 0..10_000_000_i64, 1 => -10_000_000..0_i64, 1 => any::<i64>()]
}

proptest! {
    #[test]
    fn whatever_arrives_it_returns(
        readings in proptest::collection::vec((step(), odd()), 0..400),
        limit in odd(),
        falls: bool,
    ) {
        let limit = if falls { Limit::Below(limit) } else { Limit::Above(limit) };
        let mut watch = Watch::new(limit);
        let mut now: Millis = 0;
        for (step, value) in readings {
            now = now.saturating_add_signed(step);
            let change = watch.observe(now, value, 7 * DAY);
            for o in watch.outlook().copied().into_iter().chain(change.map(|c| c.outlook)) {
                prop_assert!(o.early <= o.expected, "{o:?}");
                prop_assert!(o.late.is_none_or(|late| late >= o.expected), "{o:?}");
                prop_assert!(o.level.is_finite() && !o.per_day.is_nan(), "{o:?}");
            }
        }
    }

    #[test]
    fn a_constant_never_fills(value in -1e30..1e30_f32, limit in -1e30..1e30_f32) {
        prop_assume!(value < limit);
        prop_assert_eq!(after(0.3, Limit::Above(limit), |_| value), None);
    }
}
