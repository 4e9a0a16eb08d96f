//! What people thought of incidents, and what it is worth next time.

use serde::{Deserialize, Serialize};

use super::decide::worth;
use super::{Cause, IncidentView};
use crate::store::{Class, Record};

/// So many verdicts count, the latest ones: people change their minds.
const COUNTED: usize = 5;
/// They can at most lower or raise a worth by these factors, whatever people say.
const BOUNDS: (f32, f32) = (0.25, 2.0);

/// What a person thought of an incident, with what was known of it then. Kept as a document; one of each person and
/// incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which incident.
    pub incident: String,
    /// What was thought of it.
    pub word: Word,
    /// By whom.
    #[serde(rename = "by")]
    pub who: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Until when it counts; for good if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// In their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What it looked like.
    pub pattern: String,
    /// What was thought to be the cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}

/// What can be thought of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// It was a problem.
    #[serde(rename = "real")]
    Real,
    /// It was none, or none worth a person.
    #[serde(rename = "not useful")]
    NotUseful,
    /// It was known beforehand.
    #[serde(rename = "expected")]
    Expected,
}

impl Verdict {
    /// A verdict on this incident, with the evidence of now.
    #[must_use]
    pub fn on(incident: &IncidentView, word: Word, who: &str, note: &str, now: u64) -> Self {
        Self {
            incident: incident.id.clone(),
            word,
            who: who.to_owned(),
            at_ms: now,
            until_ms: None,
            note: note.to_owned(),
            pattern: incident.pattern().to_owned(),
            causes: incident.causes.clone(),
        }
    }

    /// The key of its document: who judges again replaces what he said before.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.incident, self.who)
    }

    /// As it is kept. It counts until it is removed or forgotten.
    #[must_use]
    pub fn record(&self) -> Record {
        let doc = serde_json::to_string(self).unwrap_or_default();
        let site = String::new();
        Record { class: Class::Verdict, key: self.key(), site, at_ms: self.at_ms, is_open: false, doc }
    }
}

impl Word {
    /// As people say it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::NotUseful => "not useful",
            Self::Expected => "expected",
        }
    }
}

/// What verdicts say of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Opinion {
    /// By what the worth is multiplied.
    pub(super) factor: f32,
    /// `2 of 3 like it were not useful`; none without verdicts.
    pub(super) why: Option<String>,
}

/// Each verdict that it was real doubles the worth of the same pattern, each other halves it. A verdict that is deleted
/// was never given: nothing else is remembered of it.
pub(super) fn opinion(verdicts: &[Verdict], pattern: &str, now: u64) -> Opinion {
    let counts = |v: &&Verdict| v.pattern == pattern && v.until_ms.is_none_or(|until| now < until);
    let mut like_it: Vec<&Verdict> = verdicts.iter().filter(counts).collect();
    like_it.sort_by_key(|v| (std::cmp::Reverse(v.at_ms), v.key()));
    like_it.truncate(COUNTED);
    let count = |word| like_it.iter().filter(|v| v.word == word).count();
    let (real, useless, expected) = (count(Word::Real), count(Word::NotUseful), count(Word::Expected));
    let all = like_it.len();
    let net = i32::try_from(real).unwrap_or(0) - i32::try_from(useless + expected).unwrap_or(0);
    let were = |n: usize| if n == 1 { "was" } else { "were" };
    let why = match (useless, expected) {
        _ if all == 0 => None,
        (0, 0) => Some(format!("{real} of {all} like it {} real", were(real))),
        (n, 0) => Some(format!("{n} of {all} like it {} not useful", were(n))),
        (0, n) => Some(format!("{n} of {all} like it {} expected", were(n))),
        (n, m) => Some(format!("{n} of {all} like it {} not useful, {m} expected", were(n))),
    };
    Opinion { factor: 2_f32.powi(net).clamp(BOUNDS.0, BOUNDS.1), why }
}

/// What verdicts change for the next incident like this one, in a sentence; none if nobody judged any like it. What is worth
/// `price` is told now, and so is what is at least as urgent as `always`. How unusual the next one is nobody knows, so its
/// worth is what it may be at most.
#[must_use]
pub fn next_time(
    verdicts: &[Verdict],
    incident: &IncidentView,
    (price, always): (f32, u8),
    now: u64,
) -> Option<String> {
    let Opinion { factor, why } = opinion(verdicts, incident.pattern(), now);
    let (why, before) = (why?, worth(incident));
    let after = before * factor;
    let change = if factor == 1.0 {
        format!("the next one like it is worth at most {after:.2}, as without verdicts ({why})")
    } else {
        format!("the next one like it is worth at most {after:.2} instead of {before:.2} ({why})")
    };
    let told = if incident.priority <= always {
        format!("priority {} is told whatever it is worth", incident.priority)
    } else if price <= 0.0 {
        "at present there is room for all in the budget: such is told".to_owned()
    } else if after >= price {
        format!("at present {price:.2} and more is told: such may be told")
    } else {
        format!("at present {price:.2} and more is told: such is held back")
    };
    Some(format!("{change}; {told}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::incident;
    use super::*;

    fn verdicts(words: &[Word]) -> Vec<Verdict> {
        let on = |i: usize| incident(&i.to_string(), 3);
        let given = words.iter().enumerate();
        given.map(|(i, word)| Verdict::on(&on(i), *word, "anna", "", 1000 * i as u64)).collect()
    }

    #[test]
    fn verdicts_change_the_worth_within_bounds() {
        use Word::{Expected, NotUseful, Real};
        let check = |words: &[Word], factor: f32, why: Option<&str>| {
            let got = opinion(&verdicts(words), incident("x", 3).pattern(), 0);
            assert_eq!(got, Opinion { factor, why: why.map(Into::into) }, "{words:?}");
        };
        check(&[], 1.0, None);
        check(&[Real], 2.0, Some("1 of 1 like it was real"));
        check(&[Real, NotUseful, NotUseful], 0.5, Some("2 of 3 like it were not useful"));
        check(&[NotUseful; 4], 0.25, Some("4 of 4 like it were not useful"));
        check(&[Expected], 0.5, Some("1 of 1 like it was expected"));
        check(&[NotUseful, Expected], 0.25, Some("1 of 2 like it was not useful, 1 expected"));
        // The last five count.
        check(&[NotUseful, NotUseful, Real, Real, Real, Real, Real], 2.0, Some("5 of 5 like it were real"));
        assert_eq!(opinion(&verdicts(&[NotUseful]), "another", 0).factor, 1.0);
        let until = Verdict { until_ms: Some(5000), ..verdicts(&[Expected])[0].clone() };
        let pattern = until.pattern.clone();
        assert_eq!(opinion(std::slice::from_ref(&until), &pattern, 4999).factor, 0.5);
        assert_eq!(opinion(&[until], &pattern, 5000), Opinion { factor: 1.0, why: None });
    }

    #[test]
    fn it_is_said_what_a_verdict_changes() {
        use Word::{NotUseful, Real};
        let check = |words: &[Word], priority: u8, price: f32, wanted: Option<&str>| {
            let got = next_time(&verdicts(words), &incident("x", priority), (price, 1), 0);
            assert_eq!(got.as_deref(), wanted, "{words:?} {priority}");
        };
        check(&[], 3, 0.3, None);
        check(
            &[NotUseful],
            3,
            0.3,
            Some(
                "the next one like it is worth at most 0.22 instead of 0.45 (1 of 1 like it was not useful); \
                 at present 0.30 and more is told: such is held back",
            ),
        );
        check(
            &[Real],
            3,
            0.3,
            Some(
                "the next one like it is worth at most 0.90 instead of 0.45 (1 of 1 like it was real); \
                 at present 0.30 and more is told: such may be told",
            ),
        );
        check(
            &[Real],
            3,
            0.0,
            Some(
                "the next one like it is worth at most 0.90 instead of 0.45 (1 of 1 like it was real); \
                 at present there is room for all in the budget: such is told",
            ),
        );
        check(
            &[Real, NotUseful],
            1,
            0.3,
            Some(
                "the next one like it is worth at most 0.90, as without verdicts (1 of 2 like it was not useful); \
                 priority 1 is told whatever it is worth",
            ),
        );
    }

    fn word() -> impl Strategy<Value = Word> {
        prop_oneof![Just(Word::Real), Just(Word::NotUseful), Just(Word::Expected)]
    }

    proptest! {
        #[test]
        fn a_deleted_verdict_was_never_given(words in proptest::collection::vec(word(), 0..8), more in word(), at in 0_usize..8) {
            let before = verdicts(&words);
            let pattern = incident("x", 3).pattern().to_owned();
            let mut with = before.clone();
            with.insert(at.min(before.len()), Verdict::on(&incident("new", 3), more, "ben", "", 99_000));
            let said = opinion(&with, &pattern, 0);
            prop_assert!((BOUNDS.0..=BOUNDS.1).contains(&said.factor));
            with.retain(|v| v.who != "ben");
            prop_assert_eq!(opinion(&with, &pattern, 0), opinion(&before, &pattern, 0));
            let mut turned = before.clone();
            turned.reverse();
            prop_assert_eq!(opinion(&turned, &pattern, 0), opinion(&before, &pattern, 0));
        }
    }
}
