//! Arrays of any length for serde, which itself stops at 32: `#[serde(with = "crate::array")]`.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes the elements, without their number.
///
/// # Errors
/// If the serializer fails.
pub fn serialize<T: Serialize, S: Serializer, const N: usize>(
    array: &[T; N],
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut tuple = to.serialize_tuple(N)?;
    array.iter().try_for_each(|x| tuple.serialize_element(x))?;
    tuple.end()
}

/// Reads as many elements as the array holds.
///
/// # Errors
/// If there are fewer, or one is malformed.
pub fn deserialize<'de, T: Deserialize<'de> + Default + Copy, D: Deserializer<'de>, const N: usize>(
    from: D,
) -> Result<[T; N], D::Error> {
    from.deserialize_tuple(N, Elements(PhantomData))
}

struct Elements<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default + Copy, const N: usize> Visitor<'de> for Elements<T, N> {
    type Value = [T; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[T; N], A::Error> {
        let mut array = [T::default(); N];
        for (i, x) in array.iter_mut().enumerate() {
            *x = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(i, &self))?;
        }
        Ok(array)
    }
}
