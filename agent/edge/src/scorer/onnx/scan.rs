//! A look at the raw protobuf before it is decoded.
//!
//! The decoder allocates some hundred bytes for a message of two, so a small hostile file could
//! take gigabytes. This walk allocates nothing, counts the fields, and turns away every structure
//! that the contract has no use for (subgraphs, functions, external data, sparse tensors).

use super::error::{ModelError, Result, at_most, refused};

/// Length-delimited fields in one file: messages, strings, byte strings.
const MAX_FIELDS: u64 = 32_768;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Opset,
    Pair,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dim,
}

/// What a length-delimited field is.
enum Field {
    Bytes,
    Message(Kind),
    Forbidden(&'static str),
}

fn field(kind: Kind, tag: u64) -> Field {
    use Field::{Bytes, Forbidden, Message};
    match (kind, tag) {
        (Kind::Model, 7) => Message(Kind::Graph),
        (Kind::Model, 8) => Message(Kind::Opset),
        (Kind::Model, 14) => Message(Kind::Pair),
        (Kind::Model, 20) => Forbidden("training information"),
        (Kind::Model, 25) => Forbidden("a local function"),
        (Kind::Graph, 1) => Message(Kind::Node),
        (Kind::Graph, 5) | (Kind::Attribute, 5) => Message(Kind::Tensor),
        (Kind::Graph, 11..=13) => Message(Kind::ValueInfo),
        (Kind::Graph, 14) => Forbidden("a quantization annotation"),
        (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Forbidden("a sparse tensor"),
        (Kind::Node, 5) => Message(Kind::Attribute),
        (Kind::Attribute, 6 | 11) => Forbidden("a subgraph"),
        (Kind::Attribute, 10) => Forbidden("a list of tensors"),
        (Kind::Attribute, 15) => Forbidden("a type"),
        (Kind::Tensor, 3) => Forbidden("a tensor segment"),
        (Kind::Tensor, 13) => Forbidden("external_data"),
        (Kind::ValueInfo, 2) => Message(Kind::Type),
        (Kind::Type, 1) => Message(Kind::TensorType),
        (Kind::Type, 4 | 5 | 7 | 8 | 9) => Forbidden("a value that is not a dense tensor"),
        (Kind::TensorType, 2) => Message(Kind::Shape),
        (Kind::Shape, 1) => Message(Kind::Dim),
        _ => Bytes,
    }
}

/// Checks the structure of a whole ONNX file.
pub(super) fn scan(bytes: &[u8]) -> Result<()> {
    let mut fields = 0;
    walk(Kind::Model, bytes, 0, &mut fields)
}

// The recursion is as deep as the table above: Model, Graph, ValueInfo, Type, TensorType, Shape, Dim.
fn walk(kind: Kind, bytes: &[u8], base: usize, fields: &mut u64) -> Result<()> {
    let mut rest = Reader { bytes, at: 0, base };
    while rest.at < bytes.len() {
        let key = rest.varint()?;
        match key & 7 {
            0 => {
                rest.varint()?;
            }
            1 => {
                rest.take(8)?;
            }
            5 => {
                rest.take(4)?;
            }
            2 => {
                *fields = fields.saturating_add(1);
                at_most("the file", "number of fields", *fields, MAX_FIELDS)?;
                let start = rest.base.saturating_add(rest.at);
                let length = rest.varint()?;
                let length = usize::try_from(length).map_err(|_| rest.error("a length"))?;
                let inner = rest.take(length)?;
                match field(kind, key >> 3) {
                    Field::Bytes => {}
                    Field::Message(kind) => {
                        walk(kind, inner, start, fields)?;
                    }
                    Field::Forbidden(what) => {
                        return Err(refused(
                            format!("byte {start} ({kind:?})"),
                            format!("{what} is not in the contract"),
                            "plain nodes and dense tensors inside the file",
                        ));
                    }
                }
            }
            _ => return Err(rest.error("a field of unknown wire type")),
        }
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, what: &str) -> ModelError {
        ModelError::Malformed { what: what.to_owned(), at: self.base.saturating_add(self.at) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length);
        let slice = end.and_then(|end| self.bytes.get(self.at..end));
        match slice {
            Some(slice) => {
                self.at = self.at.saturating_add(length);
                Ok(slice)
            }
            None => Err(self.error("a field longer than its message")),
        }
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.bytes.get(self.at) else {
                return Err(self.error("a truncated number"));
            };
            self.at = self.at.saturating_add(1);
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error("a number of more than ten bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_and_broken_structures_are_named() {
        let check = |bytes: &[u8], text: &str| {
            let error = scan(bytes).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        };
        // Model.graph { initializer { external_data {} } }
        check(&[0x3a, 4, 0x2a, 2, 0x6a, 0], "external_data");
        // Model.graph { node { attribute { g {} } } }
        check(&[0x3a, 6, 0x0a, 4, 0x2a, 2, 0x32, 0], "a subgraph");
        check(&[0xca, 1, 0], "a local function");
        check(&[0x3a, 100], "longer than its message");
        check(&[0x3b], "unknown wire type");
        check(&[0xff; 11], "more than ten bytes");
        check(&[0x0a, 0].repeat(40_000), "number of fields is 32769");
    }

    #[test]
    fn an_empty_file_has_a_sound_structure() {
        assert_eq!(scan(&[]), Ok(()));
    }
}
