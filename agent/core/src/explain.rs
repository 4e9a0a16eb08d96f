//! Explanation: an episode in one plain sentence, rendered alike on the device and at the collector.

mod drift;
mod forecast;

use core::fmt;

use crate::metric::{self, Group, Metric};
use crate::series::SeriesKey;
use crate::shape::Shape;
use crate::wire::{Culprit, Episode, Without, omitted, phase};

pub use drift::{Drifts, drift};
pub use forecast::{Expected, expected};

/// The sentence of an episode.
#[must_use]
pub fn sentence(episode: &Episode) -> Sentence<'_> {
    Sentence(episode)
}

/// Displays as one sentence.
#[derive(Debug)]
pub struct Sentence<'a>(&'a Episode);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = self.0;
        let Some(first) = e.contributors.first() else {
            return f.write_str("Something unusual is happening.");
        };
        let metric = first.key.metric();
        let frozen = e.shape == Shape::Frozen as u8;
        write!(f, "{}", Words { key: &first.key, capital: true })?;
        if frozen {
            write!(f, " stands still at {}", Amount(first.actual, metric))?;
        } else if e.shape == Shape::Limit as u8 {
            let verb = if e.phase == phase::CLOSED { "was" } else { "is" };
            let side = if first.actual >= first.expected { "above" } else { "below" };
            let (actual, limit) = (Amount(first.actual, metric), Amount(first.expected, metric));
            write!(f, " {verb} at {actual}, {side} its limit of {limit}")?;
        } else {
            let verb = match (e.phase == phase::CLOSED, first.actual >= first.expected) {
                (false, true) => "rose to",
                (false, false) => "fell to",
                (true, true) => "had risen to",
                (true, false) => "had fallen to",
            };
            write!(f, " {verb} {}", Amount(first.actual, metric))?;
            write!(f, "; usual is {} to {}", Amount(first.low, metric), Amount(first.high, metric))?;
        }
        if let Some(culprit) = &e.culprit {
            // Who uses the network is not known, only who has sockets and is busy.
            let by = match metric.group {
                Group::Network => "at work was",
                _ if culprit.amount <= 0.0 => "waiting was",
                _ => "most of it by",
            };
            write!(f, "; {by} {}", Who(culprit, culprit_unit(metric)))?;
        }
        // What would be the same without it explains nothing.
        let says = |w: &Without| (w.omitted == omitted::CULPRIT || e.moved > 1) && w.without < 0.9 * w.score;
        if let Some(without) = e.without.filter(says) {
            let what = if without.omitted == omitted::FIRST { "this series" } else { "it" };
            let Without { score, without, .. } = without;
            write!(f, "; without {what} the surprise would be {without:.2}, not {score:.2}")?;
        }
        if let Some(near) = e.near.first() {
            let when = if near.before_ms < 0 { "later" } else { "before" };
            write!(f, "; {} {when}: {}", Span(near.before_ms.unsigned_abs()), near.text)?;
        }
        write!(f, "; for {}", Span(e.lasted_ms))?;
        match e.recurred {
            0 => {}
            1 => f.write_str(", come back once")?,
            n => write!(f, ", come back {n} times")?,
        }
        if e.moved > 1 {
            write!(f, ", with {} other series", e.moved - 1)?;
        }
        f.write_str(".")
    }
}

struct Words<'a> {
    key: &'a SeriesKey,
    capital: bool,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) =
            self.key.metric().words.split_once("{}").unwrap_or((self.key.metric().words, ""));
        let mut chars = before.chars();
        if let Some(first) = chars.next() {
            if self.capital { write!(f, "{}", first.to_ascii_uppercase())? } else { write!(f, "{first}")? }
        }
        f.write_str(chars.as_str())?;
        if self.key.metric().words.contains("{}") {
            for (i, value) in self.key.label.split(';').enumerate() {
                write!(f, "{}{value}", if i > 0 { " " } else { "" })?;
            }
        }
        f.write_str(after)
    }
}

/// A value in its metric's unit, in the form people read: `97 %`, `1.4 GB/s`, `61 °C`.
#[derive(Debug)]
pub struct Amount(pub f32, pub &'static Metric);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = (self.0, self.1.unit);
        match unit {
            "1" => write!(f, "{} %", Short(value * 100.0)),
            "By" | "By/s" => {
                let steps = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
                let (by, word) = steps.into_iter().find(|(by, _)| value.abs() >= *by).unwrap_or((1.0, "B"));
                write!(f, "{} {word}{}", Short(value / by), if unit == "By/s" { "/s" } else { "" })
            }
            "Cel" => write!(f, "{} °C", Short(value)),
            "s" if value.abs() < 1.0 => write!(f, "{} ms", Short(value * 1000.0)),
            "" => write!(f, "{}", Short(value)),
            _ => match unit.strip_prefix('{').and_then(|u| u.split_once('}')) {
                Some((_, rest)) => write!(f, "{}{}", Short(value), rest.replace_slash()),
                None => write!(f, "{} {unit}", Short(value)),
            },
        }
    }
}

/// `{thread}/s` reads " per second", `{thread}` reads as nothing.
trait ReplaceSlash {
    fn replace_slash(self) -> &'static str;
}

impl ReplaceSlash for &str {
    fn replace_slash(self) -> &'static str {
        if self == "/s" { " per second" } else { "" }
    }
}

/// Three digits that matter.
struct Short(f32);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            x if !x.is_finite() || (x >= 1e6) => write!(f, "{:.2e}", self.0),
            x if x >= 100.0 || x == 0.0 => write!(f, "{:.0}", self.0),
            x if x >= 10.0 => write!(f, "{:.1}", self.0),
            x if x >= 0.01 => write!(f, "{:.2}", self.0),
            _ => write!(f, "{:.2e}", self.0),
        }
    }
}

/// The unit of a culprit's amount, by the metric of the episode's first contributor.
#[must_use]
pub fn culprit_unit(metric: &Metric) -> &'static str {
    match (metric.group, metric.code) {
        (_, metric::FILE_DESCRIPTORS | metric::FILE_DESCRIPTORS_USED) => "{file_descriptor}",
        (Group::Cpu | Group::Network, _) => "{cpu}",
        (Group::Memory, _) => "By",
        (Group::Disk | Group::Filesystem, _) => "By/s",
        _ => "{process}/s",
    }
}

struct Who<'a>(&'a Culprit, &'static str);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Culprit { name, pid, count, amount } = self.0;
        write!(f, "`{name}`")?;
        // Who waits has done nothing that could be counted.
        match (count, pid) {
            (0 | 1, pid) if *pid > 0 && *amount <= 0.0 => return write!(f, " (process {pid})"),
            (count, _) if *amount <= 0.0 => return write!(f, " ({count} processes)"),
            (0 | 1, pid) if *pid > 0 => write!(f, " (process {pid}, ")?,
            (count, _) => write!(f, " ({count} processes, ")?,
        }
        let bytes = Metric::bytes();
        match self.1 {
            "{cpu}" => write!(f, "{} cores)", Short(*amount)),
            "By" => write!(f, "{})", Amount(*amount, bytes)),
            "By/s" => write!(f, "{}/s)", Amount(*amount, bytes)),
            "{file_descriptor}" => write!(f, "{} open files)", Short(*amount)),
            _ => write!(f, "{} started per second)", Short(*amount)),
        }
    }
}

impl Metric {
    fn bytes() -> &'static Self {
        crate::metric::by_code(crate::metric::MEMORY_AVAILABLE)
    }
}

struct Span(u32);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0 / 1000;
        match s {
            0..120 => write!(f, "{s} s"),
            120..7200 => write!(f, "{} min", s / 60),
            _ => write!(f, "{} h", s / 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::cut;
    use crate::wire::{Contributor, Near};
    use std::string::ToString;

    fn check(key: SeriesKey, actual: f32, usual: (f32, f32), culprit: Option<Culprit>, sentence_is: &str) {
        let omitted = if culprit.is_some() { omitted::CULPRIT } else { omitted::FIRST };
        let group = key.metric().group as u8;
        let contributor =
            Contributor { key, actual, expected: usual.0, low: usual.0, high: usual.1, share: 80 };
        let e = Episode {
            id: 1,
            phase: phase::OPENED,
            since_ms: 6000,
            lasted_ms: 6000,
            shape: Shape::Step as u8,
            group,
            score: 0.6,
            confidence: 70,
            recurred: 0,
            moved: 3,
            contributors: [contributor].into_iter().collect(),
            culprit,
            model: [0; 8],
            spark: None,
            without: Some(Without { omitted, score: 0.583, without: 0.041 }),
            near: heapless::Vec::new(),
        };
        assert_eq!(sentence(&e).to_string(), sentence_is);
        let same = Episode { without: Some(Without { omitted, score: 0.583, without: 0.57 }), ..e };
        assert!(!sentence(&same).to_string().contains("without"), "what changes nothing is not said");
        let near = Near { kind: cut("package"), before_ms: 94_000, text: cut("zlib upgraded to 1.3") };
        let with = Episode { near: [near].into_iter().collect(), ..same };
        assert!(sentence(&with).to_string().contains("; 94 s before: zlib upgraded to 1.3; for 6 s"));
    }

    #[test]
    fn sentences_are_plain() {
        check(
            SeriesKey::new(metric::CPU_MODE, &["user"]),
            0.983,
            (0.01, 0.04),
            Some(Culprit { name: cut("stress-ng-cpu"), pid: 0, count: 2, amount: 1.96 }),
            "Processor time in user mode rose to 98.3 %; usual is 1.00 % to 4.00 %; most of it by `stress-ng-cpu` \
             (2 processes, 1.96 cores); without it the surprise would be 0.04, not 0.58; for 6 s, with 2 other series.",
        );
        check(
            SeriesKey::new(metric::DISK_IO, &["vda", "write"]),
            4.2e8,
            (0.0, 1.1e5),
            Some(Culprit { name: cut("dd"), pid: 77, count: 1, amount: 4.1e8 }),
            "Data of disk vda write rose to 420 MB/s; usual is 0 B/s to 110 kB/s; most of it by `dd` (process 77, \
             410 MB/s); without it the surprise would be 0.04, not 0.58; for 6 s, with 2 other series.",
        );
        check(
            SeriesKey::new(metric::DISK_IO_TIME, &["vda"]),
            0.98,
            (0.0, 0.01),
            Some(Culprit { name: cut("syncer"), pid: 0, count: 4, amount: 0.0 }),
            "Busy time of disk vda rose to 98.0 %; usual is 0 % to 1.00 %; waiting was `syncer` (4 processes); without \
             it the surprise would be 0.04, not 0.58; for 6 s, with 2 other series.",
        );
        check(
            SeriesKey::custom("tank.level"),
            -3.0,
            (4.0, 5.0),
            None,
            "tank.level fell to -3.00; usual is 4.00 to 5.00; without this series the surprise would be 0.04, not \
             0.58; for 6 s, with 2 other series.",
        );
        check(
            SeriesKey::new(metric::TCP_RETRANSMITS, &[]),
            900.0,
            (0.0, 3.0),
            Some(Culprit { name: cut("iperf3"), pid: 77, count: 1, amount: 0.41 }),
            "Retransmitted segments rose to 900 per second; usual is 0 per second to 3.00 per second; at work was \
             `iperf3` (process 77, 0.41 cores); without it the surprise would be 0.04, not 0.58; for 6 s, with 2 other \
             series.",
        );
    }
}
