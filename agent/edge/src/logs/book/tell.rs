//! What was found, in the sentences that people read: findings of one kind in one stream make one fact.

use fieldmouse_core::logs::severity::Class;
use fieldmouse_core::series::cut;
use fieldmouse_core::wire::{Detail, Fact};

use super::streams::Streams;

/// Bytes of an example: an event is to stay small.
const EXAMPLE: usize = 140;

/// What sort of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    New,
    Rate,
    Burst,
    Silent,
    Crash,
    /// It is no longer silent.
    Back,
}

/// Kinds whose facts wait for each other.
pub(super) const KINDS: usize = 6;

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::New => "log-new",
            Self::Rate => "log-rate",
            Self::Burst => "log-burst",
            Self::Silent | Self::Back => "log-silent",
            Self::Crash => "log-crash",
        }
    }
}

/// Something found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    pub(super) stream: u8,
    /// The template; none if it is of the whole stream.
    pub(super) id: Option<u32>,
    pub(super) class: Class,
    /// Seconds since it began.
    pub(super) for_s: u32,
    pub(super) lines: u32,
    /// By how much it is out of the ordinary, to find the one that is told of several.
    pub(super) weight: f32,
    /// What happened, without who.
    pub(super) what: String,
    /// Masked text.
    pub(super) example: String,
}

/// Makes facts of what was found in one tick: one for each kind and stream, unless that was told lately. `told` hears of
/// each finding that is in one.
pub(super) fn facts(
    mut found: Vec<Finding>,
    streams: &mut Streams,
    at: u32,
    mut told: impl FnMut(&Finding),
) -> Vec<(u8, Fact)> {
    let mut facts = Vec::new();
    while let Some(first) = found.first() {
        let (kind, stream) = (first.kind, first.stream);
        let of = |f: &Finding| f.kind == kind && f.stream == stream;
        let (group, rest) = found.into_iter().partition(of);
        found = rest;
        let group: Vec<Finding> = group;
        if streams.all.get_mut(usize::from(stream)).is_some_and(|s| s.may_tell(kind as usize, at)) {
            group.iter().for_each(&mut told);
            facts.extend(fact(&group, streams.name(stream)));
        }
    }
    facts
}

fn fact(group: &[Finding], stream: &str) -> Option<(u8, Fact)> {
    let best = group.iter().max_by(|a, b| {
        (a.class, a.weight).partial_cmp(&(b.class, b.weight)).unwrap_or(std::cmp::Ordering::Equal)
    })?;
    let class = best.class;
    let severity = match best.kind {
        Kind::New => class.severity(),
        Kind::Rate | Kind::Silent => {
            class.severity().min(13).max(if best.kind == Kind::Silent { 13 } else { 9 })
        }
        Kind::Burst => 17,
        Kind::Crash => class.severity().max(13),
        Kind::Back => 9,
    };
    let more = match group.len() {
        1 => String::new(),
        n => format!("; {} more like it", n - 1),
    };
    let text = format!("{stream}: {}{more}", best.what);
    let about = best.id.map_or_else(|| stream.to_owned(), |id| format!("{id:08x}"));
    let lines = group.iter().fold(0_u32, |sum, f| sum.saturating_add(f.lines));
    let detail = Detail {
        about: cut(&about),
        since_ms: group.iter().map(|f| f.for_s).max().unwrap_or(0).saturating_mul(1000),
        count: lines,
        example: cut(cut::<EXAMPLE>(&best.example).as_str()),
    };
    Some((severity, Fact { kind: cut(best.kind.word()), text: cut(&text), detail: Some(detail) }))
}

/// So many seconds, in words.
pub(super) fn span(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", (seconds + 30) / 60),
        7200..172_800 => format!("{} h", (seconds + 1800) / 3600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

/// So many lines a minute, in words.
pub(super) fn rate(per_minute: f32) -> String {
    match per_minute {
        p if p >= 600.0 => format!("{:.0}/s", p / 60.0),
        p if p >= 1.0 => format!("{p:.0}/min"),
        p if p >= 1.0 / 60.0 => format!("{:.0}/h", p * 60.0),
        p if p > 0.0 => format!("{:.1}/day", p * 1440.0),
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: Kind, stream: u8, weight: f32, what: &str) -> Finding {
        let (what, example) = (what.to_owned(), format!("example of {what}"));
        Finding { kind, stream, id: Some(7), class: Class::Info, for_s: 5, lines: 3, weight, what, example }
    }

    #[test]
    fn one_fact_for_each_kind_and_stream_and_not_again_soon() {
        let mut streams = Streams::default();
        let (a, b) = (streams.of("sshd", 1), streams.of("kernel", 1));
        let found = vec![
            finding(Kind::New, a, 1.0, "one"),
            finding(Kind::New, b, 1.0, "two"),
            finding(Kind::New, a, 2.0, "three"),
            finding(Kind::Silent, a, 1.0, "four"),
        ];
        let mut check = |at: u32, want: &[&str]| {
            let told = facts(found.clone(), &mut streams, at, |_| {});
            let texts: Vec<&str> = told.iter().map(|(_, f)| f.text.as_str()).collect();
            assert_eq!(texts, want, "at {at}");
        };
        let all = ["sshd: three; 1 more like it", "kernel: two", "sshd: four"];
        check(1000, &all);
        check(1500, &[]);
        check(1700, &all);
        // Twice as long now.
        check(2400, &[]);
        check(2900, &all);
        check(90_000, &all);
        check(90_700, &all);
    }

    #[test]
    fn an_ordinary_fact_is_small() {
        let mut streams = Streams::default();
        let a = streams.of("a-unit-with-a-name.service", 1);
        let mut f =
            finding(Kind::Burst, a, 1.0, "240 errors in 2 min instead of 3, 97 % of them this message");
        f.example = "x".repeat(1000);
        let (_, fact) = facts(vec![f], &mut streams, 1, |_| {}).remove(0);
        let bytes = postcard::to_extend(&fact, Vec::new()).unwrap().len();
        assert!(bytes <= 280, "{bytes}");
    }
}
