//! What may be a secret although no digit tells it from a word.

/// How far a secret reaches behind its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To the next space, or the quote that ends it.
    Word,
    /// To the end of the line: headers, and phrases of many words.
    Line,
}

/// What the names of secrets hold, in lower case and without `-`, `_` and `.`.
const PARTS: [(&str, Reach); 24] = [
    ("password", Reach::Word),
    ("passwd", Reach::Word),
    ("passcode", Reach::Word),
    ("passphrase", Reach::Line),
    ("mnemonic", Reach::Line),
    ("seedphrase", Reach::Line),
    ("secret", Reach::Word),
    ("token", Reach::Word),
    ("apikey", Reach::Word),
    ("accesskey", Reach::Word),
    ("privatekey", Reach::Word),
    ("sharedkey", Reach::Word),
    ("authkey", Reach::Word),
    ("accountkey", Reach::Word),
    ("encryptionkey", Reach::Word),
    ("credential", Reach::Word),
    ("authorization", Reach::Line),
    ("cookie", Reach::Line),
    ("signature", Reach::Word),
    ("sessionid", Reach::Word),
    ("sessid", Reach::Word),
    ("sessionkey", Reach::Word),
    ("community", Reach::Word),
    ("pwd", Reach::Word),
];

/// Whole names of secrets, written alike.
const WHOLE: [&str; 18] = [
    "pass", "pw", "pin", "auth", "sid", "key", "sig", "cvv", "cvc", "ssn", "psk", "otp", "jwt", "salt",
    "nonce", "bearer", "creds", "phrase",
];

/// Longest name that is looked at.
const MAX_NAME: usize = 48;

fn reach(name: &[u8]) -> Option<Reach> {
    let mut lower = heapless::Vec::<u8, MAX_NAME>::new();
    for b in name.iter().filter(|b| !matches!(b, b'-' | b'_' | b'.')) {
        lower.push(b.to_ascii_lowercase()).ok()?;
    }
    let holds = |part: &str| lower.windows(part.len()).any(|w| w == part.as_bytes());
    let part = PARTS.iter().find(|(part, _)| holds(part)).map(|(_, reach)| *reach);
    let last = name.rsplit(|b| matches!(b, b'-' | b'_' | b'.')).next().unwrap_or(name);
    let is_whole = |word: &[u8]| WHOLE.iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes()));
    part.or((is_whole(&lower) || is_whole(last)).then_some(Reach::Word))
}

/// Where a secret stands whose name ends at `end`; empty if there is none.
///
/// `password=x`, `Password: x`, `"password": "x y"`, `password is x`, `--password x`, `Bearer x`.
pub(super) fn behind(line: &[u8], start: usize, end: usize) -> (usize, usize) {
    const NONE: (usize, usize) = (0, 0);
    let rest = &line[end..];
    let name = &line[start..end];
    let is_flag = name.first() == Some(&b'-');
    let Some(from) = value_at(rest, is_flag, name) else { return NONE };
    let Some(reach) = reach(name) else { return NONE };
    let value = &rest[from..];
    let length = match (reach, value.first()) {
        (Reach::Line, _) => value.len(),
        (Reach::Word, Some(quote @ (b'"' | b'\'' | b'`'))) => {
            let inner = &value[1..];
            inner.iter().position(|b| b == quote).map_or(value.len(), |at| at + 2)
        }
        // An escaped quote, as JSON within JSON has it.
        (Reach::Word, Some(b'\\')) => {
            value[1..].windows(2).position(|w| w == b"\\\"").map_or(value.len(), |at| at + 3)
        }
        (Reach::Word, _) => value.iter().position(|b| *b <= b' ').unwrap_or(value.len()),
    };
    (end + from, end + from + length)
}

/// Where a value begins behind a name, if this is the name of one.
fn value_at(rest: &[u8], is_flag: bool, name: &[u8]) -> Option<usize> {
    let skip = |at: usize, is: fn(u8) -> bool| {
        at + rest[at..].iter().position(|b| !is(*b)).unwrap_or(rest.len() - at)
    };
    let is_space = |b: u8| b == b' ' || b == b'\t';
    let closed = skip(0, |b| matches!(b, b'"' | b'\'' | b'`' | b'\\' | b']' | b')'));
    let spaced = skip(closed, is_space);
    let assigned = skip(spaced, |b| matches!(b, b':' | b'=' | b'>'));
    if assigned > spaced {
        let at = skip(assigned, is_space);
        // `password= user=x`: it is empty.
        let is_empty = rest[spaced] == b'=' && spaced == closed && at > assigned;
        return (at < rest.len() && !is_empty).then_some(at);
    }
    let is_said = rest[spaced..].starts_with(b"is ") || rest[spaced..].starts_with(b"of ");
    let at = if is_said { skip(spaced + 3, is_space) } else { spaced };
    let next = *rest.get(at)?;
    let is_scheme = name.eq_ignore_ascii_case(b"bearer") && closed == 0 && spaced > 0;
    let is_taken = is_said
        || is_scheme
        || (is_flag && spaced > 0 && next != b'-')
        || (spaced > closed && matches!(next, b'"' | b'\'' | b'`'));
    is_taken.then_some(at)
}

/// Whether a word without digits was made by dice: encoded keys and the like. Names may be odd, but can be spoken.
pub(super) fn looks_random(word: &[u8]) -> bool {
    if word.starts_with(b"eyJ") && word.len() >= 16 {
        return true;
    }
    word.split(|b| matches!(b, b'-' | b'_' | b'.' | b'/' | b'+' | b'\'')).any(|part| {
        let is_hex = part.len() >= 8 && part.iter().all(u8::is_ascii_hexdigit);
        is_hex || part.len() >= 12 && (changes_case_often(part) || is_unspeakable(part))
    })
}

fn changes_case_often(part: &[u8]) -> bool {
    let changes = part.windows(2).filter(|w| w[0].is_ascii_lowercase() != w[1].is_ascii_lowercase()).count();
    changes * 5 > part.len() * 2
}

fn is_unspeakable(part: &[u8]) -> bool {
    let is_consonant = |b: &u8| {
        b.is_ascii_alphabetic() && !matches!(b.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
    };
    part.split(|b| !is_consonant(b)).any(|run| run.len() >= 6)
}
