//! Attributes of a node: each is read by name and type, and one that nobody reads is refused.

use std::cell::RefCell;

use super::error::{Result, refused};
use super::proto::{AttributeProto, AttributeType, NodeProto, TensorProto};

/// A node with its place in the model, for the sentences.
pub(super) struct Node<'a> {
    pub(super) proto: &'a NodeProto,
    pub(super) place: String,
    read: RefCell<Vec<&'static str>>,
}

impl<'a> Node<'a> {
    pub(super) fn new(proto: &'a NodeProto, index: usize) -> Self {
        let name = if proto.name.is_empty() { format!("#{index}") } else { proto.name.clone() };
        Self { place: format!("node `{name}` ({})", proto.op_type), proto, read: RefCell::default() }
    }

    fn find(&self, name: &'static str, kind: AttributeType) -> Result<Option<&'a AttributeProto>> {
        self.read.borrow_mut().push(name);
        let found = self.proto.attribute.iter().find(|attribute| attribute.name == name);
        let Some(attribute) = found else { return Ok(None) };
        if attribute.r#type != kind as i32 {
            let what = format!("attribute `{name}` of type {}", attribute.r#type);
            return Err(refused(&self.place, what, format!("type {} ({kind:?})", kind as i32)));
        }
        Ok(Some(attribute))
    }

    pub(super) fn float(&self, name: &'static str, default: f32) -> Result<f32> {
        let found = self.find(name, AttributeType::Float)?;
        Ok(found.map_or(default, |attribute| attribute.f))
    }

    pub(super) fn int(&self, name: &'static str) -> Result<Option<i64>> {
        let found = self.find(name, AttributeType::Int)?;
        Ok(found.map(|attribute| attribute.i))
    }

    /// An attribute that is 0 or 1.
    pub(super) fn flag(&self, name: &'static str, default: bool) -> Result<bool> {
        match self.int(name)? {
            None => Ok(default),
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(refused(&self.place, format!("attribute `{name}` = {other}"), "0 or 1")),
        }
    }

    pub(super) fn ints(&self, name: &'static str) -> Result<Option<&'a [i64]>> {
        let found = self.find(name, AttributeType::Ints)?;
        Ok(found.map(|attribute| attribute.ints.as_slice()))
    }

    pub(super) fn floats(&self, name: &'static str) -> Result<Option<&'a [f32]>> {
        let found = self.find(name, AttributeType::Floats)?;
        Ok(found.map(|attribute| attribute.floats.as_slice()))
    }

    pub(super) fn tensor(&self, name: &'static str) -> Result<Option<&'a TensorProto>> {
        let found = self.find(name, AttributeType::Tensor)?;
        Ok(found.and_then(|attribute| attribute.t.as_ref()))
    }

    /// Refuses an attribute that was given twice or that the operator did not ask for.
    pub(super) fn all_read(&self) -> Result<()> {
        let mut known = self.read.borrow_mut();
        for attribute in &self.proto.attribute {
            match known.iter().position(|name| *name == attribute.name) {
                Some(index) => known.remove(index),
                None => {
                    let what = format!("attribute `{}`", attribute.name);
                    return Err(refused(&self.place, what, format!("once each of {known:?}")));
                }
            };
        }
        Ok(())
    }

    /// How many inputs are given; an empty name at the end is none.
    pub(super) fn input(&self, index: usize) -> Option<&'a str> {
        let name = self.proto.input.get(index).map(String::as_str);
        name.filter(|name| !name.is_empty())
    }

    /// Refuses a number of inputs outside `min..=max`.
    pub(super) fn arity(&self, min: usize, max: usize) -> Result<()> {
        let got = self.proto.input.len();
        if (min..=max).contains(&got) {
            return Ok(());
        }
        Err(refused(&self.place, format!("{got} inputs"), format!("{min} to {max} inputs")))
    }
}

/// An axis counted from the front; negative axes count from the back.
pub(super) fn axis(axis: i64, rank: usize, place: &str) -> Result<usize> {
    let signed = i64::try_from(rank).unwrap_or(0);
    let from_front = if axis < 0 { axis.checked_add(signed) } else { Some(axis) };
    from_front
        .and_then(|axis| usize::try_from(axis).ok())
        .filter(|axis| *axis < rank)
        .ok_or_else(|| refused(place, format!("axis {axis}"), format!("-{rank} to {rank}, the end excluded")))
}

/// Axes counted from the front, sorted, none of them twice.
pub(super) fn axes(given: &[i64], rank: usize, place: &str) -> Result<Vec<usize>> {
    let mut sorted = Vec::with_capacity(given.len());
    for one in given {
        sorted.push(axis(*one, rank, place)?);
    }
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(refused(place, format!("axes {given:?}"), "each axis once"));
    }
    Ok(sorted)
}
