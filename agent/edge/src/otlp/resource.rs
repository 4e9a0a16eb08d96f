//! What all signals have in common: resources, scopes and attributes.

use std::borrow::Cow;

use super::fields::{Malformed, Message, Table, Value};

/// How an export nests, which is alike for all signals: resources, of each its scopes, of each its records.
#[derive(Debug)]
pub(super) struct Nest {
    pub(super) export: &'static Table,
    pub(super) resource: &'static Table,
    pub(super) scope: &'static Table,
}

const ATTRIBUTES: &Table = &[(1, "attributes")];
const KEY_VALUE: &Table = &[(1, "key"), (2, "value")];
const ANY: &Table = &[
    (1, "stringValue"),
    (2, "boolValue"),
    (3, "intValue"),
    (4, "doubleValue"),
    (5, "arrayValue"),
    (6, "kvlistValue"),
];
const VALUES: &Table = &[(1, "values")];
/// As a program is called that does not say its name.
const UNKNOWN: &str = "unknown_service";
/// Of a body with several parts, so many bytes are kept.
const LONGEST: usize = 2048;

/// Visits every record with the name of its service.
pub(super) fn each<'a>(
    nest: &Nest,
    export: Message<'a>,
    visit: &mut dyn FnMut(&str, Message<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for resource in export.fields(nest.export) {
        let resource = resource?.1.message()?;
        let service = service(nest, resource)?;
        for scope in resource.fields(nest.resource) {
            let (2, scope) = scope? else { continue };
            for record in scope.message()?.fields(nest.scope) {
                visit(&service, record?.1.message()?)?;
            }
        }
    }
    Ok(())
}

/// Who exports. The resource may stand behind its records.
fn service<'a>(nest: &Nest, resource: Message<'a>) -> Result<Cow<'a, str>, Malformed> {
    let mut name = Cow::Borrowed(UNKNOWN);
    for field in resource.fields(nest.resource) {
        let (1, described) = field? else { continue };
        for entry in described.message()?.fields(ATTRIBUTES) {
            if let (key, Any::Text(value)) = attribute(entry?.1)?
                && key == "service.name"
                && !value.is_empty()
            {
                name = value;
            }
        }
    }
    Ok(name)
}

/// The value of an attribute, or the body of a log record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Any<'a> {
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// A list or a map, as one line.
    Several(String),
    None,
}

impl Any<'_> {
    /// As text.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Double(value) => Cow::Owned(value.to_string()),
            Self::Several(text) => Cow::Borrowed(text),
            Self::None => Cow::Borrowed(""),
        }
    }
}

/// An entry of attributes: its key and its value. Lists and maps are no value of an attribute.
pub(super) fn attribute(entry: Value<'_>) -> Result<(Cow<'_, str>, Any<'_>), Malformed> {
    let (mut key, mut value) = (Cow::Borrowed(""), Any::None);
    for field in entry.message()?.fields(KEY_VALUE) {
        match field? {
            (1, text) => key = text.text()?,
            (_, any) => value = simple(any)?,
        }
    }
    Ok((key, value))
}

fn simple(value: Value<'_>) -> Result<Any<'_>, Malformed> {
    let mut any = Any::None;
    for field in value.message()?.fields(ANY) {
        any = match field? {
            (1, text) => Any::Text(text.text()?),
            (2, flag) => Any::Bool(flag.uint()? != 0),
            (3, number) => Any::Int(number.int()?),
            (4, number) => Any::Double(number.double()?),
            _ => Any::None,
        };
    }
    Ok(any)
}

/// The body of a log record. Of lists and maps one level is shown: `key=value` parted by spaces.
pub(super) fn body(value: Value<'_>) -> Result<Any<'_>, Malformed> {
    for field in value.message()?.fields(ANY) {
        let (number @ (5 | 6), several) = field? else { continue };
        let mut text = String::new();
        for entry in several.message()?.fields(VALUES) {
            let entry = entry?.1;
            let (key, value) =
                if number == 6 { attribute(entry)? } else { (Cow::Borrowed(""), simple(entry)?) };
            for part in [&*key, if key.is_empty() { "" } else { "=" }, &*value.shown(), " "] {
                text.push_str(part);
            }
            if text.len() > LONGEST {
                break;
            }
        }
        return Ok(Any::Several(text.trim_end().to_owned()));
    }
    simple(value)
}
