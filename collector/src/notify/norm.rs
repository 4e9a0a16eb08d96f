//! How unusual an incident is among those that there were here: what there are many of is noise to people, whatever it is.
//!
//! Five things are asked of each: how rare it looks, how often it was at this place, how many devices suffer, of how many
//! different things it speaks, and how long it lasts. The answer to each is a share: of all incidents of the last weeks, so
//! many were like it in this or more so. It needs no scale and no threshold, and in a fleet that is full of one thing the
//! others stand out.
//!
//! The shares are joined as R. A. Fisher joins independent tests ("Statistical Methods for Research Workers", 1932, section
//! 21.1). What comes of it is no probability that something is wrong; T. Sellke, M. J. Bayarri and J. O. Berger,
//! "Calibration of p values for testing precise null hypotheses", The American Statistician 55(1), 2001, say how much it can
//! speak for that at most: a share of p raises even odds by 1 / (-e p ln p), and not at all from p = 1/e on.

use std::collections::{BTreeMap, BTreeSet};

use super::IncidentView;

/// Reasons that are told: at most one in so many is like it.
const ONE_IN: usize = 10;

/// What is looked at in an incident.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Look {
    same: String,
    patterns: Vec<String>,
    devices: usize,
    opened_ms: u64,
    closed_ms: Option<u64>,
}

impl Look {
    /// Of this incident.
    pub(super) fn of(incident: &IncidentView) -> Self {
        Self {
            same: incident.same(),
            patterns: incident.patterns.clone(),
            devices: incident.devices,
            opened_ms: incident.opened_ms,
            closed_ms: incident.closed_ms,
        }
    }

    /// Whether it was over before this time.
    pub(super) fn is_before(&self, from: u64) -> bool {
        self.closed_ms.is_some_and(|closed| closed < from)
    }

    fn lasts_ms(&self, now: u64) -> u64 {
        self.closed_ms.unwrap_or(now).saturating_sub(self.opened_ms)
    }

    fn pattern(&self) -> &str {
        self.patterns.first().map_or("", String::as_str)
    }
}

/// What incidents were like, up to a moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Norm {
    /// How many there were of each pattern, and of each that is the same at the same place.
    of_pattern: BTreeMap<String, usize>,
    of_place: BTreeMap<String, usize>,
    /// Of each incident, in order: how many there were of its rarest pattern, and of the same at the same place; devices;
    /// patterns.
    rarest: Vec<usize>,
    here: Vec<usize>,
    devices: Vec<usize>,
    patterns: Vec<usize>,
    /// How long those lasted that began with a pattern, in order.
    lasted_ms: BTreeMap<String, Vec<u64>>,
}

/// How an incident compares with what is usual.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unusual {
    /// How likely it is worth a person, 0 to 1, as far as its being unusual tells.
    pub(super) likely: f32,
    /// In what it is unusual, in words; none if nothing is known of the past.
    pub(super) why: Option<String>,
}

impl Norm {
    /// Of these incidents, at this time.
    pub(super) fn of<'a>(looks: impl Iterator<Item = &'a Look> + Clone, now: u64) -> Self {
        let mut norm = Self::default();
        for look in looks.clone() {
            for pattern in look.patterns.iter().collect::<BTreeSet<_>>() {
                *norm.of_pattern.entry(pattern.clone()).or_default() += 1;
            }
            *norm.of_place.entry(look.same.clone()).or_default() += 1;
        }
        for look in looks {
            norm.rarest.push(norm.commonness(look));
            norm.here.push(norm.of_place.get(&look.same).copied().unwrap_or(0));
            norm.devices.push(look.devices);
            norm.patterns.push(look.patterns.len());
            norm.lasted_ms.entry(look.pattern().to_owned()).or_default().push(look.lasts_ms(now));
        }
        for counts in [&mut norm.rarest, &mut norm.here, &mut norm.devices, &mut norm.patterns] {
            counts.sort_unstable();
        }
        norm.lasted_ms.values_mut().for_each(|all| all.sort_unstable());
        norm
    }

    /// How many there were of its rarest pattern.
    fn commonness(&self, look: &Look) -> usize {
        look.patterns.iter().map(|p| self.of_pattern.get(p).copied().unwrap_or(0)).min().unwrap_or(0)
    }

    /// How an incident compares. Before it is looked at, the odds are even.
    pub(super) fn unusual(&self, look: &Look, now: u64) -> Unusual {
        let all = self.rarest.len();
        let none = Vec::new();
        let alike = self.lasted_ms.get(look.pattern()).unwrap_or(&none);
        let lasts_ms = look.lasts_ms(now);
        // It is one of its kind itself.
        let rarest = self.rarest.partition_point(|n| *n <= self.commonness(look) + 1);
        let here = self.of_place.get(&look.same).copied().unwrap_or(0) + 1;
        let here = self.here.partition_point(|n| *n <= here);
        let at_least = |sorted: &[usize], than: usize| sorted.len() - sorted.partition_point(|n| *n < than);
        let longer = alike.len() - alike.partition_point(|ms| *ms < lasts_ms);
        let (devices, patterns) = (look.devices, look.patterns.len());
        let asked = [
            (rarest, all, "look as rare".to_owned()),
            (here, all, "came as seldom where they were".to_owned()),
            (at_least(&self.devices, devices), all, format!("befell {devices} devices or more")),
            (at_least(&self.patterns, patterns), all, format!("spoke of {patterns} things or more")),
            (longer, alike.len(), format!("like it lasted {} min or longer", lasts_ms / 60_000)),
        ];
        let shares = asked.each_ref().map(|(like_it, of, _)| share(*like_it, *of));
        let told: Vec<String> = asked
            .iter()
            .filter(|(like_it, of, _)| *of > 0 && (like_it + 1) * ONE_IN <= of + 1)
            .map(|(like_it, of, what)| format!("{like_it} of {of} {what}"))
            .collect();
        let why = match (all, told.is_empty()) {
            // Of so few none stands out.
            (..ONE_IN, _) => None,
            (_, true) => Some(format!("nothing about it is unusual among {all} incidents")),
            _ => Some(format!("unusual among incidents: {}", told.join(", "))),
        };
        Unusual { likely: likely(fisher(&shares)) as f32, why }
    }
}

/// Of so many and itself.
fn share(like_it: usize, of: usize) -> f64 {
    (like_it + 1) as f64 / (of + 1) as f64
}

/// How likely such shares and smaller ones come together by chance: chi-squared with twice as many degrees of freedom, of
/// which the tail is a sum.
fn fisher(shares: &[f64]) -> f64 {
    let surprise: f64 = -shares.iter().map(|p| p.ln()).sum::<f64>();
    let (mut term, mut sum) = (1.0, 1.0);
    for i in 1..shares.len() {
        term *= surprise / i as f64;
        sum += term;
    }
    ((-surprise).exp() * sum).min(1.0)
}

/// How likely something is the matter after a test that came out so, at even odds before.
fn likely(p: f64) -> f64 {
    let p = p.clamp(f64::MIN_POSITIVE, (-1.0_f64).exp());
    1.0 / (1.0 - std::f64::consts::E * p * p.ln())
}

#[cfg(test)]
mod tests {
    use super::super::sample::incident;
    use super::*;

    const MINUTE: u64 = 60_000;
    const DAY: u64 = 24 * 60 * MINUTE;

    fn look(place: &str, patterns: &[&str], devices: usize, minutes: u64) -> Look {
        let mut seen = incident("x", 3);
        seen.founder = place.to_owned();
        seen.patterns = patterns.iter().map(|p| (*p).to_owned()).collect();
        (seen.devices, seen.opened_ms, seen.closed_ms) = (devices, DAY, Some(DAY + minutes * MINUTE));
        Look::of(&seen)
    }

    /// A hundred devices that lose their connection for two minutes now and then, and one that does it all the time.
    fn past() -> Vec<Look> {
        let mut past: Vec<Look> = (0..100).map(|i| look(&format!("home/{i}"), &["lost"], 1, 2)).collect();
        past.extend((0..100).map(|_| look("home/weak", &["lost"], 1, 2)));
        past.extend((0..10).map(|i| look(&format!("home/{i}"), &["busy"], 1, 10)));
        past
    }

    fn likely_of(look: &Look) -> f32 {
        let past = past();
        Norm::of(past.iter(), 8 * DAY).unusual(look, 8 * DAY).likely
    }

    #[test]
    fn what_is_unusual_is_likelier_to_be_worth_a_person() {
        let rising = [
            look("home/weak", &["lost"], 1, 2),
            look("home/200", &["lost"], 1, 60),
            look("home/200", &["lost"], 5, 60),
            look("home/200", &["lost", "busy"], 5, 60),
            look("home/200", &["lost", "burns"], 5, 60),
        ];
        let likely = rising.each_ref().map(likely_of);
        assert!(likely.is_sorted(), "{likely:?}");
        assert!(
            (likely[0] - 0.5).abs() < 1e-6 && likely[4] > 0.99,
            "what there is most of says nothing: {likely:?}"
        );
    }

    #[test]
    fn more_of_anything_never_lowers_it() {
        let mut checked = 0;
        for patterns in [&["lost"][..], &["busy"], &["lost", "busy"], &["lost", "burns"]] {
            for (devices, minutes) in [(1, 0), (1, 2), (2, 2), (2, 30), (50, 30)] {
                for place in ["home/weak", "home/3", "home/200"] {
                    let one = likely_of(&look(place, patterns, devices, minutes));
                    let wider = likely_of(&look(place, patterns, devices + 1, minutes));
                    let longer = likely_of(&look(place, patterns, devices, minutes + 5));
                    let new = likely_of(&look("home/new", patterns, devices, minutes));
                    let more = [patterns, &["smells"]].concat();
                    let more = likely_of(&look(place, &more, devices, minutes));
                    assert!(
                        one <= wider && one <= longer && one <= new && one <= more,
                        "{place} {patterns:?}"
                    );
                    checked += 1;
                }
            }
        }
        println!("{checked} checked");
    }

    #[test]
    fn it_says_in_what() {
        let past = past();
        let why = |norm: &Norm, l: &Look| norm.unusual(l, 8 * DAY).why;
        let norm = Norm::of(past.iter(), 8 * DAY);
        assert_eq!(
            why(&norm, &look("home/weak", &["lost"], 1, 2)).as_deref(),
            Some("nothing about it is unusual among 210 incidents")
        );
        assert_eq!(
            why(&norm, &look("home/1", &["lost", "burns"], 7, 45)).as_deref(),
            Some(
                "unusual among incidents: 0 of 210 look as rare, 0 of 210 befell 7 devices or more, \
                 0 of 210 spoke of 2 things or more, 0 of 200 like it lasted 45 min or longer"
            )
        );
        assert_eq!(why(&Norm::default(), &look("home/1", &["lost"], 1, 2)), None, "nothing is known yet");
    }

    #[test]
    fn shares_are_joined_and_weighed_as_the_sources_say() {
        // Tails of chi-squared at 2 s with 2 k degrees of freedom.
        for (shares, wanted) in [
            (&[0.05][..], 0.05),
            (&[0.05, 0.05], 0.017_479),
            (&[0.1, 0.2, 0.3, 0.4], 0.148_346),
            (&[1.0, 1.0, 1.0], 1.0),
        ] {
            assert!((fisher(shares) - wanted).abs() < 1e-5, "{shares:?}: {}", fisher(shares));
        }
        // Table 1 of Sellke, Bayarri and Berger: the posterior of the null hypothesis at even odds.
        for (p, null) in
            [(0.2, 0.467), (0.1, 0.385), (0.05, 0.289), (0.01, 0.111), (0.005, 0.067), (0.001, 0.0184)]
        {
            assert!((1.0 - likely(p) - null).abs() < 1e-3, "{p}: {}", 1.0 - likely(p));
        }
        assert!((likely(0.0) - 1.0).abs() < 1e-9 && (likely(1.0) - 0.5).abs() < 1e-9);
    }
}
