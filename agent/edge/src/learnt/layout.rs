//! A number for the layout of a type: made from all that it asks a deserializer for, names of fields included. So a
//! field that is added, moved, renamed or retyped changes the number, and nobody has to remember to.

use serde::Deserializer;
use serde::de::value::Error;
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Raised when states change their meaning, or how they are packed, without changing their layout.
const MEANING: u32 = 2;

/// The layout of a type that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout(pub(super) u32);

impl Layout {
    /// The layout of `T`. Of an enum's variants that hold something, the first alone is looked into.
    #[must_use]
    pub fn of<T: DeserializeOwned>() -> Self {
        let mut tracer = Tracer { sum: 0x811c_9dc5 ^ MEANING };
        // A type that refuses the values it is offered ends the trace early, always at the same place.
        drop(T::deserialize(&mut tracer));
        Self(tracer.sum)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Offers the simplest value of everything and notes what was asked for (FNV-1a).
struct Tracer {
    sum: u32,
}

impl Tracer {
    fn note(&mut self, word: &str) {
        for byte in word.bytes().chain([0]) {
            self.sum = (self.sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }

    fn note_all(&mut self, words: &[&str]) {
        words.iter().for_each(|w| self.note(w));
    }
}

macro_rules! scalars {
    ($($ask:ident $visit:ident $($value:expr)?;)*) => {$(
        fn $ask<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.note(stringify!($ask));
            visitor.$visit($($value)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Tracer {
    type Error = Error;

    scalars! {
        deserialize_any visit_unit;
        deserialize_ignored_any visit_unit;
        deserialize_bool visit_bool false;
        deserialize_i8 visit_i8 0;
        deserialize_i16 visit_i16 0;
        deserialize_i32 visit_i32 0;
        deserialize_i64 visit_i64 0;
        deserialize_i128 visit_i128 0;
        deserialize_u8 visit_u8 0;
        deserialize_u16 visit_u16 0;
        deserialize_u32 visit_u32 0;
        deserialize_u64 visit_u64 0;
        deserialize_u128 visit_u128 0;
        deserialize_f32 visit_f32 0.0;
        deserialize_f64 visit_f64 0.0;
        deserialize_char visit_char 'a';
        deserialize_str visit_str "";
        deserialize_string visit_str "";
        deserialize_bytes visit_bytes &[];
        deserialize_byte_buf visit_bytes &[];
        deserialize_unit visit_unit;
        deserialize_identifier visit_u64 0;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("option");
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, v: V) -> Result<V::Value, Error> {
        self.note(name);
        v.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        v: V,
    ) -> Result<V::Value, Error> {
        self.note(name);
        v.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("seq");
        visitor.visit_seq(Elements { tracer: self, left: 1 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.note("tuple");
        self.note(&len.to_string());
        visitor.visit_seq(Elements { tracer: self, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note(name);
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("map");
        visitor.visit_map(Elements { tracer: self, left: 1 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note(name);
        self.note_all(fields);
        visitor.visit_seq(Elements { tracer: self, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note(name);
        self.note_all(variants);
        visitor.visit_enum(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

struct Elements<'a> {
    tracer: &'a mut Tracer,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.tracer).map(Some)
    }
}

impl<'de> MapAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.tracer)
    }
}

impl<'de> EnumAccess<'de> for &mut Tracer {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        seed.deserialize(&mut *self).map(|variant| (variant, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Tracer {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    #![expect(dead_code, reason = "types that are only looked at")]

    use serde::Deserialize;

    use super::*;

    macro_rules! layout {
        ($($item:tt)*) => {{
            #[derive(Deserialize)]
            $($item)*
            Layout::of::<T>()
        }};
    }

    #[test]
    fn every_change_of_a_type_changes_its_number() {
        let all = [
            layout!(
                struct T {
                    a: u32,
                    b: Option<f32>,
                }
            ),
            layout!(
                struct T {
                    b: Option<f32>,
                    a: u32,
                }
            ),
            layout!(
                struct T {
                    a: u32,
                    c: Option<f32>,
                }
            ),
            layout!(
                struct T {
                    a: u32,
                    b: Option<f64>,
                }
            ),
            layout!(
                struct T {
                    a: u32,
                    b: f32,
                }
            ),
            layout!(
                struct T {
                    a: u32,
                    b: Option<f32>,
                    c: bool,
                }
            ),
            layout!(
                struct T {
                    a: [f32; 3],
                }
            ),
            layout!(
                struct T {
                    a: [f32; 4],
                }
            ),
            layout!(
                struct T {
                    a: Vec<f32>,
                }
            ),
            layout!(
                struct T {
                    a: Vec<u8>,
                }
            ),
            layout!(
                enum T {
                    A,
                    B,
                }
            ),
            layout!(
                enum T {
                    A,
                    B,
                    C,
                }
            ),
            layout!(
                enum T {
                    A(u8),
                    B,
                }
            ),
            layout!(
                enum T {
                    A { x: u8 },
                    B,
                }
            ),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b), "layout {i} is like one before");
        }
        assert_eq!(
            all[0],
            layout!(
                struct T {
                    a: u32,
                    b: Option<f32>,
                }
            )
        );
    }
}
