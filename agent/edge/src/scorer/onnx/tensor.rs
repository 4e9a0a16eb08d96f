//! Tensors that lie in the file: dims, type and length are checked before a byte is copied.

use std::sync::Arc;

use tract_core::internal::{IntoArcTensor, Tensor};

use super::error::{Result, at_most, engine, refused};
use super::proto::{FLOAT, INT64, TensorProto};

/// Axes of one tensor.
pub(super) const MAX_RANK: usize = 6;
/// Bytes of all tensors in the file.
pub(super) const MAX_WEIGHT_BYTES: u64 = 8 << 20;
/// Values in an i64 tensor: shapes, axes and ends are all the contract knows.
const MAX_INTS: usize = 64;

/// A constant of the model: weights, or the integers that name axes and shapes.
#[derive(Debug, Clone)]
pub(super) enum Constant {
    Floats(Arc<Tensor>),
    Ints(Vec<i64>),
}

/// Decodes one tensor; `left` is what remains of the weight budget.
pub(super) fn decode(proto: &TensorProto, place: &str, left: &mut u64) -> Result<Constant> {
    let dims = dims(&proto.dims, place)?;
    let volume = volume(&dims, place)?;
    if proto.data_location != 0 {
        return Err(refused(place, "external_data", "data inside the file"));
    }
    let size = match proto.data_type {
        FLOAT => 4,
        INT64 => 8,
        other => {
            let allowed = format!("{FLOAT} (FLOAT), and {INT64} (INT64) for shapes and axes");
            return Err(refused(place, format!("data type {other}"), allowed));
        }
    };
    let bytes = u64::try_from(volume).map_or(u64::MAX, |volume| volume.saturating_mul(size));
    at_most(place, "size in bytes of the remaining weights", bytes, *left)?;
    *left = left.saturating_sub(bytes);
    if size == 8 {
        at_most(place, "number of integers", volume as u64, MAX_INTS as u64)?;
        let data = elements(&proto.raw_data, &proto.int64_data, volume, i64::from_le_bytes, place)?;
        return Ok(Constant::Ints(data));
    }
    let data = elements(&proto.raw_data, &proto.float_data, volume, f32::from_le_bytes, place)?;
    floats(&dims, &data, place)
}

/// A float constant of a checked shape.
pub(super) fn floats(shape: &[usize], data: &[f32], place: &str) -> Result<Constant> {
    let tensor = Tensor::from_shape(shape, data).map_err(|error| engine(place, &error))?;
    Ok(Constant::Floats(tensor.into_arc_tensor()))
}

fn elements<T: Copy, const N: usize>(
    raw: &[u8],
    typed: &[T],
    volume: usize,
    decode: fn([u8; N]) -> T,
    place: &str,
) -> Result<Vec<T>> {
    let expected = format!("{volume} values, as its dims say");
    if raw.is_empty() || !typed.is_empty() {
        if typed.len() != volume || !raw.is_empty() {
            let what = format!("{} values and {} raw bytes", typed.len(), raw.len());
            return Err(refused(place, what, expected));
        }
        return Ok(typed.to_vec());
    }
    let (chunks, rest) = raw.as_chunks::<N>();
    if chunks.len() != volume || !rest.is_empty() {
        let what = format!("raw_data of {} bytes, {N} bytes a value", raw.len());
        return Err(refused(place, what, expected));
    }
    Ok(chunks.iter().map(|chunk| decode(*chunk)).collect())
}

/// Dims as sizes: at most six, none of them zero or negative.
pub(super) fn dims(dims: &[i64], place: &str) -> Result<Vec<usize>> {
    at_most(place, "rank", dims.len() as u64, MAX_RANK as u64)?;
    let size = |dim: &i64| usize::try_from(*dim).ok().filter(|dim| *dim > 0);
    let sizes: Option<Vec<usize>> = dims.iter().map(size).collect();
    sizes.ok_or_else(|| refused(place, format!("dims {dims:?}"), "dims of at least 1"))
}

/// The number of values of a shape.
pub(super) fn volume(shape: &[usize], place: &str) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |volume, dim| volume.checked_mul(*dim))
        .ok_or_else(|| refused(place, format!("dims {shape:?}"), "a volume that can be counted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(dims: &[i64], data_type: i32, raw: usize) -> TensorProto {
        TensorProto { dims: dims.to_vec(), data_type, raw_data: vec![0; raw], ..TensorProto::default() }
    }

    #[test]
    fn hostile_tensors_are_refused_with_a_sentence() {
        let check = |proto: TensorProto, text: &str| {
            let mut left = MAX_WEIGHT_BYTES;
            let error = decode(&proto, "initializer `w`", &mut left).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        };
        check(proto(&[i64::MAX, i64::MAX], FLOAT, 4), "a volume that can be counted");
        check(proto(&[1 << 40], FLOAT, 4), "size in bytes of the remaining weights");
        check(proto(&[-1, 2], FLOAT, 8), "dims of at least 1");
        check(proto(&[0], FLOAT, 0), "dims of at least 1");
        check(proto(&[1; 7], FLOAT, 4), "rank is 7, allowed are at most 6");
        check(proto(&[2, 2], FLOAT, 15), "raw_data of 15 bytes");
        check(proto(&[2], FLOAT, 12), "2 values, as its dims say");
        check(proto(&[1], 11, 8), "data type 11; allowed: 1 (FLOAT)");
        check(proto(&[65], INT64, 520), "number of integers is 65");
        let both = TensorProto { float_data: vec![1.0], ..proto(&[1], FLOAT, 4) };
        check(both, "1 values and 4 raw bytes");
        let external = TensorProto { data_location: 1, ..proto(&[1], FLOAT, 4) };
        check(external, "external_data");
    }

    #[test]
    fn the_weight_budget_is_shared() {
        let mut left = 10;
        let tensor = proto(&[2], FLOAT, 8);
        assert!(decode(&tensor, "a", &mut left).is_ok());
        assert!(decode(&tensor, "b", &mut left).is_err());
        assert_eq!(left, 2);
    }
}
