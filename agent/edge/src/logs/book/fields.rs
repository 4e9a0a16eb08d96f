//! Values that errors have: the `site=berlin` and `"status":503` of their text, and what their writer says of itself. Counted,
//! so that a burst of them can be explained by what they have in common.
//!
//! Values are kept as they may be shown. The table has an end: what is seen least makes room, so values that are all
//! different pass through it, and what a burst has in common stays.

use fieldmouse_core::logs::mask::Masker;

use super::burst::{Cause, Value, cause};
use crate::logs::shown::{Names, head};

/// Values of all fields that are counted.
const MOST: usize = 256;
/// Fields of one line.
const EACH: usize = 12;
/// Bytes of a key, and of a value.
const KEY: usize = 32;
const VALUE: usize = 40;
/// Errors of one second that are looked at: enough to know what they have in common.
const SECOND: u16 = 500;
/// Bytes of a line that are looked at.
const LINE: usize = 1024;
/// Errors that must have come before: to nothing nothing is compared.
const KNOWN: f32 = 5.0;
/// Seconds in which a count loses two thirds of its weight: of lately, as everywhere in the book, and of before.
const LATELY: f32 = 120.0;
const BEFORE: f32 = 7200.0;

/// A count that fades.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    at: u32,
    lately: f32,
    all: f32,
}

impl Count {
    fn faded(&self, at: u32) -> Self {
        let passed = at.saturating_sub(self.at) as f32;
        let fade = |count: f32, over: f32| count * (-passed / over).exp();
        Self { at, lately: fade(self.lately, LATELY), all: fade(self.all, BEFORE) }
    }

    fn add(&mut self, at: u32) {
        *self = self.faded(at);
        self.lately += 1.0;
        self.all += 1.0;
    }

    /// Before the last minutes, and in them.
    fn before_and_during(&self, at: u32) -> (f32, f32) {
        let Self { lately, all, .. } = self.faded(at);
        ((all - lately).max(0.0), lately)
    }
}

/// A value of a field in one stream.
#[derive(Debug)]
struct Field {
    stream: u8,
    /// `key=value`, as it may be shown.
    text: Box<str>,
    count: Count,
}

/// All that are counted.
#[derive(Debug)]
pub(super) struct Fields {
    names: Names,
    all: Vec<Field>,
    /// Errors by stream.
    errors: [Count; super::streams::MOST],
    /// The second that is, and errors that were looked at in it.
    second: (u32, u16),
}

impl Fields {
    pub(super) fn new(masker: Masker) -> Self {
        Self { names: Names::new(masker), all: Vec::new(), errors: Default::default(), second: (0, 0) }
    }

    /// Takes an error: its text before masking, and what its writer said beside.
    pub(super) fn take(&mut self, stream: u8, text: &[u8], beside: &[(&str, &str)], at: u32) {
        if self.second.0 != at {
            self.second = (at, 0);
        }
        if self.second.1 == SECOND {
            return;
        }
        self.second.1 += 1;
        if let Some(count) = self.errors.get_mut(usize::from(stream)) {
            count.add(at);
        }
        let text = String::from_utf8_lossy(&text[..text.len().min(LINE)]);
        let mut seen = heapless::Vec::<usize, EACH>::new();
        for (key, value) in beside.iter().copied().chain(pairs(&text)).take(EACH) {
            let shown = self.names.value(key, head(value, VALUE));
            if shown.is_empty() || shown.contains("<*>") {
                continue;
            }
            let text = format!("{}={shown}", crate::sources::label(key));
            let place = self.place(stream, text, at);
            // What a line says twice counts once.
            if !seen.contains(&place) && seen.push(place).is_ok() {
                self.all[place].count.add(at);
            }
        }
    }

    /// Where a value is counted. If there is no room, what was seen least makes some.
    fn place(&mut self, stream: u8, text: String, at: u32) -> usize {
        if let Some(place) = self.all.iter().position(|f| f.stream == stream && *f.text == *text) {
            return place;
        }
        let field = Field { stream, text: text.into(), count: Count { at, ..Count::default() } };
        if self.all.len() < MOST {
            self.all.push(field);
            return self.all.len() - 1;
        }
        let weight = |f: &Field| f.count.faded(at).all;
        let least = self.all.iter().enumerate().min_by(|(_, a), (_, b)| weight(a).total_cmp(&weight(b)));
        let place = least.map_or(0, |(place, _)| place);
        self.all[place] = field;
        place
    }

    /// The value that explains the errors of a stream best.
    pub(super) fn cause(&self, stream: u8, at: u32) -> Option<Cause<&str>> {
        let (before, during) = self.errors.get(usize::from(stream))?.before_and_during(at);
        if before < KNOWN {
            return None;
        }
        let of = self.all.iter().filter(|field| field.stream == stream);
        let values: Vec<_> = of
            .map(|field| {
                let (before, during) = field.count.before_and_during(at);
                Value { is: &*field.text, before, during }
            })
            .collect();
        cause(&values, before, during)
    }

    pub(super) fn bytes(&self) -> usize {
        let text: usize = self.all.iter().map(|field| field.text.len()).sum();
        self.all.capacity() * size_of::<Field>() + text
    }
}

/// `key=value`, `key="some value"` and `"key":"value"` in a text, as they stand there.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let signs = text.match_indices(['=', ':']);
    signs.filter_map(move |(at, sign)| {
        let (before, behind) = (&text[..at], &text[at + 1..]);
        let quoted = before.strip_suffix('"');
        // A colon stands in times and sentences, too.
        if sign == ":" && quoted.is_none() {
            return None;
        }
        let before = quoted.unwrap_or(before);
        let from = before.rfind(|c| !is_of_key(c)).map_or(0, |at| at + 1);
        let key = before.get(from..).filter(|key| key.starts_with(|c: char| c.is_ascii_alphabetic()))?;
        let behind = if sign == ":" { behind.trim_start() } else { behind };
        let value = match behind.strip_prefix(['"', '\'']) {
            Some(inner) => inner.split(['"', '\'']).next()?,
            None => behind.split([' ', ',', ';', ')', ']', '}', '&', '\t', '\n', '"', '{', '[']).next()?,
        };
        (key.len() <= KEY && !value.is_empty() && value.len() <= VALUE).then_some((key, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_as_they_stand_in_lines() {
        let check =
            |text: &str, want: &[(&str, &str)]| assert_eq!(pairs(text).collect::<Vec<_>>(), want, "{text}");
        check(
            "ERROR timed out unit=pump-7 site=berlin, code=503",
            &[("unit", "pump-7"), ("site", "berlin"), ("code", "503")],
        );
        check(
            r#"{"level":"error","site": "berlin mitte","status":503}"#,
            &[("level", "error"), ("site", "berlin mitte"), ("status", "503")],
        );
        check("at 10:04:05 it failed: a == b, = c, x=", &[]);
        check(
            "msg='two words' url=http://a/b?c=d ü=ö",
            &[("msg", "two words"), ("url", "http://a/b?c=d"), ("c", "d")],
        );
        check("", &[]);
    }

    #[test]
    fn what_a_burst_has_in_common_explains_it_and_the_rest_makes_room() {
        let mut fields = Fields::new(Masker::default());
        let mut n = 0_u32;
        let mut say = |fields: &mut Fields, at: u32, site: &str, unit: u32| {
            n += 1;
            let text = format!(
                "upstream timed out request=r{n} id={n:08x} site={site} unit=pump-{unit} password=horse{n}"
            );
            fields.take(3, text.as_bytes(), &[("host.name", "web-1")], at);
        };
        for minute in 0..600 {
            say(
                &mut fields,
                60 * minute,
                ["berlin", "paris", "rome", "oslo"][minute as usize % 4],
                minute % 9,
            );
        }
        assert_eq!(fields.cause(3, 36_000), None);
        for second in 0..60 {
            say(&mut fields, 36_000 + second, "paris", second % 9);
        }
        let check = |fields: &Fields, at: u32, want: &str| {
            let cause = fields.cause(3, at).map(|c| c.is);
            assert_eq!(cause, Some(want), "{fields:#?}");
        };
        check(&fields, 36_060, "site=paris");
        for second in 0..120 {
            say(&mut fields, 40_000 + second, ["berlin", "paris", "rome", "oslo"][second as usize % 4], 4);
        }
        check(&fields, 40_120, "unit=pump-4");
        assert_eq!(fields.cause(2, 40_120), None, "another stream");
        assert!(fields.all.len() <= MOST && fields.bytes() < 48 << 10, "{}", fields.bytes());
        assert!(!format!("{fields:?}").contains("horse"));
    }
}
