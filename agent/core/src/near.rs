//! What happened near an episode's onset: changes, jobs, what logs said. The likeliest cause stands first.
//!
//! A guess from time, sort and words: changes come before what they cause, sometimes by many minutes; what logs say
//! comes within seconds, and may come after.

use heapless::{Deque, String, Vec};

use crate::series::{Millis, cut};
use crate::wire::{Episode, Fact, NEAR, Near};

/// How many happenings are remembered.
const KEPT: usize = 32;
/// Bytes of text that an episode may carry of them.
const TEXT: usize = 160;
/// What weighs less is not worth its bytes.
const LEAST: f32 = 0.15;
/// What names who was at work, or what was moved, is likelier to be it.
const RELATED: f32 = 2.0;
const GRAVE: f32 = 1.3;
/// OpenTelemetry: errors and worse.
const ERROR: u8 = 17;
/// Shorter words are in everything.
const WORD: usize = 4;

/// How far a sort of happening says something of an episode.
struct Weight {
    /// At the very onset.
    at_onset: f32,
    /// In so much time before the onset it says half.
    half_before_ms: f32,
    /// And after it.
    half_after_ms: f32,
}

const CHANGE: Weight = Weight { at_onset: 1.0, half_before_ms: 600_000.0, half_after_ms: 1_000.0 };
const CRASH: Weight = Weight { at_onset: 0.9, half_before_ms: 90_000.0, half_after_ms: 20_000.0 };
const SAID: Weight = Weight { at_onset: 0.65, half_before_ms: 60_000.0, half_after_ms: 20_000.0 };
const OTHER: Weight = Weight { at_onset: 0.5, half_before_ms: 300_000.0, half_after_ms: 1_000.0 };

fn weight(kind: &str) -> &'static Weight {
    match kind {
        "deployment" | "package" | "file-changed" | "unit-changed" | "kernel" | "image" | "boot"
        | "reload" => &CHANGE,
        "log-crash" | "unit-failed" | "coredump" => &CRASH,
        _ if kind.starts_with("log-") || kind.starts_with("trace-") => &SAID,
        _ => &OTHER,
    }
}

#[derive(Debug)]
struct Happening {
    at: Millis,
    severity: u8,
    kind: String<32>,
    about: String<64>,
    text: String<96>,
}

/// The latest happenings.
#[derive(Debug, Default)]
pub struct Happenings(Deque<Happening, KEPT>);

impl Happenings {
    /// Something was told at `now`.
    pub fn note(&mut self, now: Millis, severity: u8, fact: &Fact) {
        let detail = fact.detail.as_ref();
        let since = detail.map_or(0, |d| d.since_ms.into());
        let about = detail.map(|d| d.about.clone()).unwrap_or_default();
        if self.0.is_full() {
            self.0.pop_front();
        }
        let (kind, text) = (fact.kind.clone(), cut(fact.text.trim_end_matches('.')));
        // There is room.
        let _room =
            self.0.push_back(Happening { at: now.saturating_sub(since), severity, kind, about, text });
    }

    /// What happened near the onset of an episode that is told at `now`, the likeliest cause first.
    #[must_use]
    pub fn near(&self, now: Millis, episode: &Episode) -> Vec<Near, NEAR> {
        let onset = now.saturating_sub(episode.since_ms.into());
        let mut best: Vec<(f32, &Happening), NEAR> = Vec::new();
        for happening in &self.0 {
            let weight = happening.weight(onset, episode);
            // What is said again of one thing is said once.
            let is_same = |h: &Happening| {
                (&h.kind, &h.about, &h.text) == (&happening.kind, &happening.about, &happening.text)
            };
            if weight < LEAST || best.iter().any(|(w, h)| is_same(h) && *w >= weight) {
                continue;
            }
            best.retain(|(_, h)| !is_same(h));
            let place = best.iter().position(|(w, _)| *w < weight).unwrap_or(best.len());
            if best.is_full() && place < best.len() {
                best.pop();
            }
            // Beyond the last place it is not among the best.
            let _best = best.insert(place, (weight, happening));
        }
        let mut room = TEXT;
        let near = best.iter().map(|(_, h)| {
            let end = h.text.floor_char_boundary(room);
            room -= end;
            let before = i64::try_from(onset).unwrap_or(i64::MAX) - i64::try_from(h.at).unwrap_or(i64::MAX);
            let before_ms = i32::try_from(before).unwrap_or(if before < 0 { i32::MIN } else { i32::MAX });
            Near { kind: h.kind.clone(), before_ms, text: cut(&h.text[..end]) }
        });
        near.filter(|near| !near.text.is_empty()).collect()
    }
}

impl Happening {
    fn weight(&self, onset: Millis, episode: &Episode) -> f32 {
        let Weight { at_onset, half_before_ms, half_after_ms } = weight(&self.kind);
        let halves = if self.at <= onset {
            (onset - self.at) as f32 / half_before_ms
        } else {
            (self.at - onset) as f32 / half_after_ms
        };
        let grave = if self.severity >= ERROR { GRAVE } else { 1.0 };
        let related = if self.names(episode) { RELATED } else { 1.0 };
        at_onset * libm::exp2f(-halves) * grave * related
    }

    /// Whether it speaks of who was at work, or of what was moved.
    fn names(&self, episode: &Episode) -> bool {
        let culprit = episode.culprit.as_ref().map(|c| c.name.as_str());
        let labels = episode.contributors.iter().flat_map(|c| c.key.label.split(';'));
        culprit.into_iter().chain(labels).filter(|name| name.len() >= WORD).any(|name| {
            words(&self.text)
                .chain(words(&self.about))
                .any(|word| name.starts_with(word) || word.starts_with(name))
        })
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_inside = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/');
    text.split(move |c| !is_inside(c)).filter(|word| word.len() >= WORD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric;
    use crate::series::SeriesKey;
    use crate::wire::{Contributor, Culprit, Detail};

    const ONSET: Millis = 10_000_000;
    /// When it is told.
    const NOW: Millis = ONSET + 60_000;

    fn episode(culprit: &str) -> Episode {
        let key = SeriesKey::new(metric::FILESYSTEM_USED, &["/srv/data"]);
        let contributor = Contributor { key, actual: 1.0, expected: 0.0, low: 0.0, high: 0.1, share: 100 };
        Episode {
            since_ms: 60_000,
            contributors: [contributor].into_iter().collect(),
            culprit: Some(Culprit { name: cut(culprit), pid: 1, count: 1, amount: 1.0 }),
            ..Episode::default()
        }
    }

    /// Happenings by kind, seconds before the onset, severity and text; expected are their places, best first.
    fn check(happened: &[(&str, i64, u8, &str)], expected: &[usize]) {
        let mut happenings = Happenings::default();
        for (kind, before_s, severity, text) in happened {
            let at = ONSET.checked_add_signed(-before_s * 1000).unwrap();
            let detail = Detail { since_ms: (NOW - at) as u32, ..Detail::default() };
            let fact = Fact { kind: cut(kind), text: cut(text), detail: Some(detail) };
            happenings.note(NOW, *severity, &fact);
        }
        let near = happenings.near(NOW, &episode("nginx"));
        let want: std::vec::Vec<_> =
            expected.iter().map(|i| (happened[*i].1 * 1000, happened[*i].3)).collect();
        let is: std::vec::Vec<_> = near.iter().map(|n| (i64::from(n.before_ms), n.text.as_str())).collect();
        assert_eq!(is, want);
    }

    #[test]
    fn the_likeliest_cause_first() {
        check(&[], &[]);
        // A change long before says more than a message long before.
        check(&[("log-new", 400, 9, "odd"), ("package", 400, 9, "zlib upgraded")], &[1]);
        // What came after caused nothing, but a crash just after tells what happened.
        check(&[("package", -30, 9, "zlib upgraded"), ("log-crash", -5, 17, "segfault in worker")], &[1]);
        // Who is at work is named: likelier than what is closer.
        check(&[("package", 20, 9, "zlib upgraded"), ("package", 300, 9, "nginx-core upgraded")], &[1, 0]);
        check(&[("file-changed", 20, 9, "zlib.conf"), ("log-new", 30, 9, "no space on /srv/data")], &[0, 1]);
        check(&[("note", 3600, 9, "long ago"), ("deployment", 3000, 9, "longer than it matters")], &[]);
        // The same thing said twice stands once, where it says most.
        check(&[("package", 500, 9, "zlib upgraded"), ("package", 20, 9, "zlib upgraded")], &[1]);
        check(
            &[
                ("package", 40, 9, "d"),
                ("package", 30, 9, "c"),
                ("package", 20, 9, "b"),
                ("package", 10, 9, "a"),
            ],
            &[3, 2, 1],
        );
    }

    #[test]
    fn only_so_many_bytes_and_only_the_latest() {
        let mut happenings = Happenings::default();
        for n in 0..100_u32 {
            let text = std::format!("{n} {}", "ü".repeat(60));
            happenings.note(ONSET, 9, &Fact::new("package", &text));
        }
        let near = happenings.near(NOW, &episode("nginx"));
        assert!(near.iter().map(|n| n.text.len()).sum::<usize>() <= TEXT);
        assert!(near[0].text.starts_with("68 "), "the oldest of those that are kept");
    }
}
