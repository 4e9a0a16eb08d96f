//! Messages of OTLP in either encoding, read field by field in one pass: no tree, no recursion, no allocation but for
//! strings that have to be unescaped.
//!
//! A table gives the number and the JSON name of the fields that are wanted; all others are skipped. So what reads a
//! message is written once.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// The number of a field, and its name in JSON.
pub(super) type Table = [(u32, &'static str)];

/// Why bytes are no export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// A message that is not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Message<'a> {
    Protobuf(&'a [u8]),
    /// The text of an object. It is known to be JSON.
    Json(&'a [u8]),
}

impl<'a> Message<'a> {
    pub(super) fn protobuf(bytes: &'a [u8]) -> Self {
        Self::Protobuf(bytes)
    }

    /// Looks at all of it once, so that nobody who reads it later finds anything but JSON.
    pub(super) fn json(text: &'a [u8]) -> Result<Self, Malformed> {
        serde_json::from_slice::<IgnoredAny>(text).map_err(|_| Malformed("no JSON"))?;
        Value::Json(text.trim_ascii()).message()
    }

    /// Its fields that stand in the table, in the order of the bytes; those of an array one by one.
    pub(super) fn fields(self, table: &'static Table) -> Fields<'a> {
        match self {
            Self::Protobuf(rest) => Fields { rest, array: None, table, is_json: false },
            Self::Json(text) => Fields { rest: inside(text), array: None, table, is_json: true },
        }
    }
}

/// A field's value that is not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// The text of a value, without white space around it.
    Json(&'a [u8]),
}

const NO_MESSAGE: Malformed = Malformed("a message was expected");
const NO_NUMBER: Malformed = Malformed("a number was expected");
const NO_TEXT: Malformed = Malformed("a string was expected");

impl<'a> Value<'a> {
    pub(super) fn message(self) -> Result<Message<'a>, Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(Message::Protobuf(bytes)),
            Self::Json(text) if text.first() == Some(&b'{') => Ok(Message::Json(text)),
            _ => Err(NO_MESSAGE),
        }
    }

    /// A whole number without a sign, or a flag.
    pub(super) fn uint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(n) | Self::Fixed64(n) => Ok(n),
            Self::Fixed32(n) => Ok(n.into()),
            Self::Json(b"true") => Ok(1),
            Self::Json(b"false") => Ok(0),
            Self::Json(text) => bare(text).and_then(|t| t.parse().ok()).ok_or(NO_NUMBER),
            Self::Bytes(_) => Err(NO_NUMBER),
        }
    }

    /// A whole number.
    pub(super) fn int(self) -> Result<i64, Malformed> {
        match self {
            Self::Json(text) => bare(text).and_then(|t| t.parse().ok()).ok_or(NO_NUMBER),
            _ => self.uint().map(u64::cast_signed),
        }
    }

    pub(super) fn double(self) -> Result<f64, Malformed> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            // JSON has no words for these but in quotes, which Rust reads alike.
            Self::Json(text) => bare(text).and_then(|t| t.parse().ok()).ok_or(NO_NUMBER),
            _ => Err(NO_NUMBER),
        }
    }

    pub(super) fn text(self) -> Result<Cow<'a, str>, Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes)),
            Self::Json([b'"', inner @ .., b'"']) if !inner.contains(&b'\\') => {
                Ok(String::from_utf8_lossy(inner))
            }
            Self::Json(text) => serde_json::from_slice(text).map(Cow::Owned).map_err(|_| NO_TEXT),
            _ => Err(NO_TEXT),
        }
    }

    /// The id of a trace or a span; 0 for none.
    pub(super) fn id(self) -> Result<u128, Malformed> {
        let id = match self {
            Self::Bytes(bytes) => Some(bytes.iter().fold(0, |id: u128, b| id << 8 | u128::from(*b))),
            Self::Json(b"\"\"") => Some(0),
            Self::Json(text) => bare(text).and_then(|t| u128::from_str_radix(t, 16).ok()),
            _ => None,
        };
        id.ok_or(Malformed("an id was expected"))
    }

    /// Numbers of 8 bytes, packed or one alone.
    pub(super) fn each_fixed64(self, mut take: impl FnMut(Value<'a>)) -> Result<(), Malformed> {
        match self {
            Self::Bytes(packed) if packed.len().is_multiple_of(8) => {
                let numbers = packed.chunks_exact(8).filter_map(|b| b.try_into().ok());
                numbers.for_each(|b| take(Value::Fixed64(u64::from_le_bytes(b))));
                Ok(())
            }
            Self::Bytes(_) | Self::Varint(_) | Self::Fixed32(_) => Err(NO_NUMBER),
            one => {
                take(one);
                Ok(())
            }
        }
    }
}

/// The text of a number, in quotes or not.
fn bare(text: &[u8]) -> Option<&str> {
    let text = text.strip_prefix(b"\"").and_then(|t| t.strip_suffix(b"\"")).unwrap_or(text);
    std::str::from_utf8(text).ok()
}

/// The fields of a message.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// The number of the array that is being read, and what is left of it.
    array: Option<(u32, &'a [u8])>,
    table: &'static Table,
    is_json: bool,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_json { self.member().map(Ok) } else { self.field().transpose() }
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        while !self.rest.is_empty() {
            let field = field(&mut self.rest);
            let Some((number, value)) = field else {
                self.rest = &[];
                return Err(Malformed("no protobuf of the expected kind"));
            };
            if self.table.iter().any(|(known, _)| *known == number) {
                return Ok(Some((number, value)));
            }
        }
        Ok(None)
    }

    fn member(&mut self) -> Option<(u32, Value<'a>)> {
        loop {
            if let Some((number, rest)) = &mut self.array {
                match element(rest) {
                    Some(text) => return Some((*number, Value::Json(text))),
                    None => self.array = None,
                }
            }
            let name = element(&mut self.rest)?;
            let text = element(&mut self.rest)?;
            let name = name.strip_prefix(b"\"").and_then(|n| n.strip_suffix(b"\"")).unwrap_or(name);
            let known = self.table.iter().find(|(_, known)| known.as_bytes() == name);
            match (known, text.first()) {
                (None, _) | (_, Some(b'n')) => {}
                (Some((number, _)), Some(b'[')) => self.array = Some((*number, inside(text))),
                (Some((number, _)), _) => return Some((*number, Value::Json(text))),
            }
        }
    }
}

/// The next field, its number and value.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    let key = varint(rest)?;
    let number = u32::try_from(key >> 3).ok().filter(|n| (1..1 << 29).contains(n))?;
    let value = match key & 7 {
        0 => Value::Varint(varint(rest)?),
        1 => Value::Fixed64(u64::from_le_bytes(*take(rest, 8)?.first_chunk()?)),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => Value::Fixed32(u32::from_le_bytes(*take(rest, 4)?.first_chunk()?)),
        // Groups are no part of OTLP.
        _ => return None,
    };
    Some((number, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// What stands between the brackets.
fn inside(text: &[u8]) -> &[u8] {
    text.get(1..text.len().saturating_sub(1)).unwrap_or(&[])
}

/// The next name or value, whatever stands between these; the text is known to be JSON.
fn element<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let is_between = |b: &u8| matches!(b, b',' | b':') || b.is_ascii_whitespace();
    let from = rest.iter().position(|b| !is_between(b))?;
    let text = &rest[from..];
    let (element, left) = text.split_at(length(text));
    *rest = left;
    Some(element)
}

/// How long the value is that begins here.
fn length(text: &[u8]) -> usize {
    let is_end = |b: &u8| matches!(b, b',' | b']' | b'}' | b':') || b.is_ascii_whitespace();
    match text.first() {
        Some(b'"') => length_of_string(text),
        Some(b'{' | b'[') => length_of_nest(text),
        _ => text.iter().position(is_end).unwrap_or(text.len()).max(1).min(text.len()),
    }
}

fn length_of_string(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(b) = text.get(at) {
        match b {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn length_of_nest(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(b) = text.get(at) {
        match b {
            b'"' => {
                at += length_of_string(&text[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &Table = &[(1, "name"), (2, "inner"), (3, "count"), (4, "share")];

    /// Every field of a message as text, those of its inner messages in braces.
    fn shown(message: Message<'_>) -> Result<String, Malformed> {
        let mut text = String::new();
        for field in message.fields(TABLE) {
            let (number, value) = field?;
            text += &match number {
                1 => format!("name={} ", value.text()?),
                2 => format!("inner={{{}}} ", shown(value.message()?)?),
                3 => format!("count={} ", value.int()?),
                _ => format!("share={} ", value.double()?),
            };
        }
        Ok(text.trim_end().to_owned())
    }

    #[track_caller]
    fn json(text: &str, wanted: Result<&str, &'static str>) {
        let got = Message::json(text.as_bytes()).and_then(shown);
        assert_eq!(got, wanted.map(ToOwned::to_owned).map_err(Malformed), "{text}");
    }

    #[track_caller]
    fn protobuf(bytes: &[u8], wanted: Result<&str, &'static str>) {
        let got = shown(Message::protobuf(bytes));
        assert_eq!(got, wanted.map(ToOwned::to_owned).map_err(Malformed), "{bytes:x?}");
    }

    #[test]
    fn json_by_its_names() {
        json(r#"{"name":"a"}"#, Ok("name=a"));
        json(" { \"name\" : \"a\\n\\\"b\" , \"count\" : \"-3\" } ", Ok("name=a\n\"b count=-3"));
        json(
            r#"{"x":{"name":"no"},"inner":[{"name":"a"},{"name":"b"},{}],"count":7}"#,
            Ok("inner={name=a} inner={name=b} inner={} count=7"),
        );
        json(r#"{"x":"\\","name":"]}","y":[[["}"]]],"share":"NaN"}"#, Ok("name=]} share=NaN"));
        json(r#"{"share":1e3,"name":null,"inner":[]}"#, Ok("share=1000"));
        json("{}", Ok(""));
        json("[]", Err("a message was expected"));
        json(r#"{"name":"a""#, Err("no JSON"));
        json(r#"{"name":"a"}}"#, Err("no JSON"));
        json(r#"{"name":7}"#, Err("a string was expected"));
        json(r#"{"count":"x"}"#, Err("a number was expected"));
        json(r#"{"inner":["a"]}"#, Err("a message was expected"));
    }

    #[test]
    fn protobuf_by_its_numbers() {
        protobuf(b"", Ok(""));
        protobuf(b"\x0a\x01a\x18\x07", Ok("name=a count=7"));
        protobuf(b"\x12\x03\x0a\x01a\x12\x00\x2a\x02no", Ok("inner={name=a} inner={}"));
        protobuf(b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Ok("count=-1"));
        protobuf(b"\x21\x00\x00\x00\x00\x00\x00\xf8\x3f", Ok("share=1.5"));
        protobuf(b"\x0a\x02\xff\xfe", Ok("name=\u{fffd}\u{fffd}"));
        let broken: [&[u8]; 7] = [
            b"\x0a\x02a",
            b"\x0a",
            b"\x21\x00",
            b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0b\x0c",
            b"\x02\x00",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a",
        ];
        broken.iter().for_each(|bytes| protobuf(bytes, Err("no protobuf of the expected kind")));
        protobuf(b"\x08\x01", Err("a string was expected"));
        protobuf(b"\x10\x01", Err("a message was expected"));
    }

    #[test]
    fn ids_are_hexadecimal_or_bytes() {
        let check =
            |value: Value<'_>, wanted: Result<u128, Malformed>| assert_eq!(value.id(), wanted, "{value:?}");
        check(Value::Bytes(&[1, 2]), Ok(0x102));
        check(Value::Bytes(&[0xff; 16]), Ok(u128::MAX));
        check(Value::Bytes(&[]), Ok(0));
        check(
            Value::Json(br#""5B8EFFF798038103D269B633813FC60C""#),
            Ok(0x5B8E_FFF7_9803_8103_D269_B633_813F_C60C),
        );
        check(Value::Json(b"\"\""), Ok(0));
        check(Value::Json(b"\"xyz\""), Err(Malformed("an id was expected")));
    }

    #[test]
    fn depth_costs_nothing() {
        let deep = format!("{{\"inner\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        json(&deep, Err("a message was expected"));
        let mut nested = Vec::new();
        for _ in 0..1000 {
            let length = u16::try_from(nested.len()).unwrap();
            let head =
                [0x12, (length & 0x7f) as u8 | 0x80, (length >> 7 & 0x7f) as u8 | 0x80, (length >> 14) as u8];
            nested = [&head, nested.as_slice()].concat();
        }
        assert!(Message::protobuf(&nested).fields(TABLE).all(|f| f.is_ok()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _any = shown(Message::protobuf(&bytes));
            let _any = Message::json(&bytes).and_then(shown);
        }

        #[test]
        fn any_json_is_read_or_refused(pieces in proptest::collection::vec(proptest::sample::select(&[
            "{", "}", "[", "]", ",", ":", "\"name\"", "\"inner\"", "\"count\"", "\"a\\\"\"", "1", "-2e9", "null", " ",
        ]), 0..40)) {
            let _any = Message::json(pieces.concat().as_bytes()).and_then(shown);
        }
    }
}
