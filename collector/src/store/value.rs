//! What goes into a statement and comes out of it, whichever engine runs it.

use std::sync::Arc;

use super::StoreError;

/// The types of columns. A NULL has one too: PostgreSQL wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Int,
    Real,
    Text,
    Bytes,
}

/// A parameter, or a column of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null(Type),
    Int(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Null(kind) => *kind,
            Self::Int(_) => Type::Int,
            Self::Real(_) => Type::Real,
            Self::Text(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
        }
    }
}

/// `values![a, b]`: the parameters of one run of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::store::value::Value::from($value)),*] };
}
pub(super) use values;

macro_rules! from {
    ($($kind:ident: $($type:ty),*;)*) => { $($(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$kind(value.into())
            }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                value.map_or(Self::Null(Type::$kind), Self::from)
            }
        }
    )*)* };
}

from! {
    Int: i64, bool, u8, u16, u32;
    Real: f32, f64;
    Text: &str, String, &String;
    Bytes: &[u8], Vec<u8>, [u8; 8];
}

/// A row of an answer.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) columns: Arc<[String]>,
    pub(super) values: Vec<Value>,
}

impl Row {
    /// The column of this name.
    pub(super) fn get<T: Column>(&self, name: &'static str) -> Result<T, StoreError> {
        let at = self.columns.iter().position(|c| c == name);
        at.and_then(|at| self.values.get(at)).and_then(T::read).ok_or(StoreError::Column(name))
    }
}

/// What a column can be read as.
pub(super) trait Column: Sized {
    fn read(value: &Value) -> Option<Self>;
}

impl<T: Column> Column for Option<T> {
    fn read(value: &Value) -> Option<Self> {
        if matches!(value, Value::Null(_)) { Some(None) } else { T::read(value).map(Some) }
    }
}

macro_rules! integers {
    ($($type:ty),*) => { $(impl Column for $type {
        fn read(value: &Value) -> Option<Self> {
            let Value::Int(n) = value else { return None };
            Self::try_from(*n).ok()
        }
    })* };
}
integers!(i64, u8, u16, u32);

/// Identities and times are kept bit for bit.
impl Column for u64 {
    fn read(value: &Value) -> Option<Self> {
        i64::read(value).map(i64::cast_unsigned)
    }
}

impl Column for bool {
    fn read(value: &Value) -> Option<Self> {
        i64::read(value).map(|n| n != 0)
    }
}

impl Column for f64 {
    fn read(value: &Value) -> Option<Self> {
        let Value::Real(x) = value else { return None };
        Some(*x)
    }
}

impl Column for f32 {
    fn read(value: &Value) -> Option<Self> {
        f64::read(value).map(|x| x as Self)
    }
}

impl Column for String {
    fn read(value: &Value) -> Option<Self> {
        let Value::Text(text) = value else { return None };
        Some(text.clone())
    }
}

impl Column for Vec<u8> {
    fn read(value: &Value) -> Option<Self> {
        let Value::Bytes(bytes) = value else { return None };
        Some(bytes.clone())
    }
}
