//! What comes again: at the same time of day or week (seasonal), or again and again within a while (flapping).

use std::collections::BTreeSet;

use super::calendar::minute;
use super::history::Occurrence;
use super::{IncidentView, Rules};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// The same time of day, within this either way.
const NEAR_MS: u64 = HOUR_MS / 2;
/// Chance may look like a season so often.
const CHANCE: f64 = 1e-3;
/// It may last so many times as long as it ever did, and a little longer.
const LONGER: u64 = 2;
const A_LITTLE_MS: u64 = 10 * 60_000;

/// A season: its period, how many periods are looked back at, and in how many it must have been.
struct Season {
    word: &'static str,
    period_ms: u64,
    back: u64,
    enough: u64,
}

const SEASONS: [Season; 2] = [
    Season { word: "days", period_ms: DAY_MS, back: 7, enough: 5 },
    Season { word: "weeks", period_ms: 7 * DAY_MS, back: 4, enough: 3 },
];

/// Whether it comes at this time of the day or week, and is no worse than it was then; says so in words.
///
/// It was in so many of the last periods at the same time, within half an hour; that is no chance, if one supposes that it
/// comes as often as it did, but at any time (binomial test); and it is neither more urgent than then nor lasts more than
/// twice as long.
pub(super) fn seasonal(same: &[Occurrence], incident: &IncidentView, now: u64) -> Option<String> {
    let past: Vec<&Occurrence> = same.iter().filter(|o| o.opened_ms < incident.opened_ms).collect();
    SEASONS.iter().find_map(|season| {
        let Season { word, period_ms, back, enough } = *season;
        let mut hits: Vec<&Occurrence> = Vec::new();
        let mut periods = 0;
        for ago in 1..=back {
            let Some(then) = incident.opened_ms.checked_sub(ago * period_ms) else { break };
            let before = hits.len();
            hits.extend(past.iter().filter(|o| o.opened_ms.abs_diff(then) <= NEAR_MS));
            periods += u64::from(hits.len() > before);
        }
        let since = incident.opened_ms.saturating_sub(back * period_ms + NEAR_MS);
        let often = past.iter().filter(|o| o.opened_ms >= since).count() as f64;
        let per_period = often / back as f64;
        let by_chance = 1.0 - (-per_period * 2.0 * NEAR_MS as f64 / period_ms as f64).exp();
        if periods < enough || at_least(periods, back, by_chance) > CHANCE {
            return None;
        }
        let most_urgent = hits.iter().map(|o| o.priority).min()?;
        let longest = hits.iter().filter_map(|o| Some(o.closed_ms? - o.opened_ms)).max().unwrap_or(0);
        let lasts = incident.closed_ms.unwrap_or(now).saturating_sub(incident.opened_ms);
        if incident.priority < most_urgent || lasts > LONGER * longest + A_LITTLE_MS {
            return None;
        }
        let time = &minute(incident.opened_ms)[11..];
        Some(format!("seasonal: it was on {periods} of the last {back} {word} at about {time} UTC"))
    })
}

/// How likely at least `k` of `n` are, each with probability `p`.
fn at_least(k: u64, n: u64, p: f64) -> f64 {
    let choose = |k: u64| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
    let exactly = |k: u64| choose(k) * p.powf(k as f64) * (1.0 - p).powf((n - k) as f64);
    (k..=n).map(exactly).sum()
}

/// Whether the same began often enough within the last while, this time included; and since when it does so.
pub(super) fn flapping(
    same: &[Occurrence],
    incident: &IncidentView,
    rules: &Rules,
    now: u64,
) -> Option<(u64, String)> {
    let lately = now.saturating_sub(rules.flap_ms)..=now;
    let begins = same.iter().map(|o| o.opened_ms).chain([incident.opened_ms]);
    let begins: BTreeSet<u64> = begins.filter(|at| *at <= now).collect();
    let (mut first, count) = (*begins.range(lately.clone()).next()?, begins.range(lately).count());
    if count < rules.flaps as usize {
        return None;
    }
    let why = format!("flapping: it began {count} times since {} UTC", minute(first));
    // It has flapped for longer than the window if it came as often before.
    let often = rules.flap_ms / u64::from(rules.flaps - 1);
    while let Some(at) = begins.range(..first).next_back().filter(|at| first - **at <= often) {
        first = *at;
    }
    Some((first, why))
}

#[cfg(test)]
mod tests {
    use super::super::sample::incident;
    use super::*;

    const MINUTE_MS: u64 = 60_000;
    /// A Monday, 00:00 UTC.
    const MONDAY: u64 = 1_795_392_000_000;

    fn was(opened_ms: u64, lasted_ms: u64) -> Occurrence {
        Occurrence {
            incident: opened_ms.to_string(),
            opened_ms,
            closed_ms: Some(opened_ms + lasted_ms),
            priority: 3,
        }
    }

    /// Whether an incident that begins then and has lasted so long is seasonal.
    fn is_seasonal(past: &[Occurrence], priority: u8, opened_ms: u64, lasts_ms: u64) -> bool {
        let mut seen = incident("now", priority);
        seen.opened_ms = opened_ms;
        seasonal(past, &seen, opened_ms + lasts_ms).is_some()
    }

    #[test]
    fn a_daily_backup_is_seasonal_at_its_hour_alone() {
        let at =
            |day: u64, hour: u64, minute: u64| MONDAY + day * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS;
        let week: Vec<Occurrence> = (0..7).map(|d| was(at(d, 3, d), 20 * MINUTE_MS)).collect();
        let check = |past: &[Occurrence], priority, opened, lasts, wanted, why: &str| {
            assert_eq!(is_seasonal(past, priority, opened, lasts), wanted, "{why}");
        };
        check(&week, 3, at(7, 3, 0), 0, true, "the eighth");
        check(&week, 3, at(7, 15, 0), 0, false, "at another hour");
        check(&week, 3, at(7, 3, 37), 0, false, "more than half an hour late for most");
        check(&week, 3, at(7, 3, 0), 50 * MINUTE_MS, true, "twice as long and a little");
        check(&week, 3, at(7, 3, 0), 51 * MINUTE_MS, false, "longer than that");
        check(&week, 2, at(7, 3, 0), 0, false, "more urgent than ever");
        check(&week[..4], 3, at(4, 3, 0), 0, false, "the fifth");
        check(&week[..5], 3, at(5, 3, 0), 0, true, "the sixth");
        check(&week, 3, at(12, 3, 0), 0, false, "it did not come for days");
        let hourly: Vec<Occurrence> = (0..7 * 24).map(|h| was(at(0, h, 0), MINUTE_MS)).collect();
        check(&hourly, 3, at(7, 3, 0), 0, false, "what comes all day has no hour");
        let sundays: Vec<Occurrence> = (0..4).map(|w| was(at(7 * w, 4, 0), HOUR_MS)).collect();
        check(&sundays, 3, at(28, 4, 10), 0, true, "the fifth week");
        check(&sundays, 3, at(29, 4, 10), 0, false, "another day of the week");
    }

    #[test]
    fn chance_is_no_season() {
        // Beginnings at random times: how many of the next are taken for seasonal.
        let (mut state, mut taken) = (7_u64, 0);
        let mut roll = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        const TRIES: u64 = 2000;
        for _ in 0..TRIES {
            let often = 5 + roll(60);
            let past: Vec<Occurrence> =
                (0..often).map(|_| was(MONDAY + roll(7 * DAY_MS), MINUTE_MS)).collect();
            taken += u64::from(is_seasonal(&past, 3, MONDAY + 7 * DAY_MS + roll(HOUR_MS), 0));
        }
        println!("{taken} of {TRIES} random pasts were taken for a season, seed 7");
        assert!(taken <= TRIES / 200, "{taken} of {TRIES}");
    }

    #[test]
    fn what_comes_and_goes_is_flapping() {
        let rules = Rules::default();
        let check = |minutes: &[u64], now: u64, wanted: bool| {
            let mut seen = incident("now", 3);
            let (last, before) = minutes.split_last().unwrap();
            seen.opened_ms = MONDAY + last * MINUTE_MS;
            let past: Vec<Occurrence> =
                before.iter().map(|m| was(MONDAY + m * MINUTE_MS, MINUTE_MS)).collect();
            let got = flapping(&past, &seen, &rules, MONDAY + now * MINUTE_MS);
            assert_eq!(got.is_some(), wanted, "{minutes:?} at {now}");
        };
        check(&[0], 0, false);
        check(&[0, 10], 10, false);
        check(&[0, 10, 20], 20, true);
        check(&[0, 10, 20], 60, true);
        check(&[0, 10, 20], 61, false);
        check(&[0, 40, 80], 80, false);
    }
}
