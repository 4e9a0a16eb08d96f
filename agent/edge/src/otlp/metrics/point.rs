//! One data point, of whatever kind.

use super::super::fields::{Fields, Malformed, Message, Table, Value};

/// Buckets that are looked at.
const BUCKETS: usize = 64;
/// A flag: there is no value.
const NO_VALUE: u64 = 1;

/// What kind of data a metric has. They number their fields each in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Histogram,
    Exponential,
    Summary,
}

const NUMBER: &Table =
    &[(2, "startTimeUnixNano"), (3, "timeUnixNano"), (4, "asDouble"), (6, "asInt"), (8, "flags")];
const HISTOGRAM: &Table = &[
    (2, "startTimeUnixNano"),
    (3, "timeUnixNano"),
    (4, "count"),
    (5, "sum"),
    (6, "bucketCounts"),
    (7, "explicitBounds"),
    (10, "flags"),
];
const EXPONENTIAL: &Table =
    &[(2, "startTimeUnixNano"), (3, "timeUnixNano"), (4, "count"), (5, "sum"), (10, "flags")];
const SUMMARY: &Table =
    &[(2, "startTimeUnixNano"), (3, "timeUnixNano"), (4, "count"), (5, "sum"), (8, "flags")];

impl Kind {
    fn table(self) -> &'static Table {
        match self {
            Self::Number => NUMBER,
            Self::Histogram => HISTOGRAM,
            Self::Exponential => EXPONENTIAL,
            Self::Summary => SUMMARY,
        }
    }

    fn attributes(self) -> &'static Table {
        match self {
            Self::Number | Self::Summary => &[(7, "attributes")],
            Self::Histogram => &[(9, "attributes")],
            Self::Exponential => &[(1, "attributes")],
        }
    }
}

/// A data point.
#[derive(Debug, Clone)]
pub(super) struct Point<'a> {
    message: Message<'a>,
    kind: Kind,
    /// Nanoseconds since 1970; 0: unknown.
    pub(super) start: u64,
    pub(super) time: u64,
    /// Of a number.
    pub(super) value: Option<f64>,
    /// Of a distribution.
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) buckets: Vec<u64>,
    pub(super) bounds: Vec<f64>,
    pub(super) is_empty: bool,
}

impl<'a> Point<'a> {
    pub(super) fn read(kind: Kind, message: Message<'a>) -> Result<Self, Malformed> {
        let mut point = Self {
            message,
            kind,
            start: 0,
            time: 0,
            value: None,
            count: 0,
            sum: None,
            buckets: Vec::new(),
            bounds: Vec::new(),
            is_empty: false,
        };
        let is_number = kind == Kind::Number;
        for field in message.fields(kind.table()) {
            let (number, value) = field?;
            match number {
                2 => point.start = value.uint()?,
                3 => point.time = value.uint()?,
                4 if is_number => point.value = Some(value.double()?),
                6 if is_number => point.value = Some(value.int()? as f64),
                4 => point.count = value.uint()?,
                5 => point.sum = Some(value.double()?),
                6 => fill(&mut point.buckets, value, Value::uint)?,
                7 => fill(&mut point.bounds, value, Value::double)?,
                _ => point.is_empty = value.uint()? & NO_VALUE != 0,
            }
        }
        Ok(point)
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = Result<Value<'a>, Malformed>> + use<'a> {
        let fields: Fields<'a> = self.message.fields(self.kind.attributes());
        fields.map(|field| Ok(field?.1))
    }
}

/// At most one more than are looked at, so that too many are seen.
fn fill<'a, T>(
    to: &mut Vec<T>,
    value: Value<'a>,
    read: fn(Value<'a>) -> Result<T, Malformed>,
) -> Result<(), Malformed> {
    let mut wrong = None;
    value.each_fixed64(|one| match read(one) {
        Ok(number) if to.len() <= BUCKETS => to.push(number),
        Ok(_) => {}
        Err(malformed) => wrong = Some(malformed),
    })?;
    wrong.map_or(Ok(()), Err)
}

/// The quantile of a histogram: within its bucket as if all were spread evenly. None of nothing, or if the buckets are
/// too many or do not fit their bounds.
pub(super) fn quantile(buckets: &[u64], bounds: &[f64], share: f64) -> Option<f64> {
    if buckets.len() != bounds.len() + 1 || buckets.len() > BUCKETS || bounds.is_empty() {
        return None;
    }
    let all = buckets.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)) as f64;
    let rank = all * share;
    let mut below = 0.0;
    for (i, n) in buckets.iter().enumerate() {
        let n = *n as f64;
        if n > 0.0 && below + n >= rank {
            let Some(upper) = bounds.get(i) else { return bounds.last().copied() };
            let lower = if i == 0 { upper.min(0.0) } else { bounds[i - 1] };
            return Some(lower + (upper - lower) * ((rank - below) / n));
        }
        below += n;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_buckets() {
        let check = |buckets: &[u64], bounds: &[f64], wanted: Option<f64>| {
            assert_eq!(quantile(buckets, bounds, 0.5), wanted, "{buckets:?} {bounds:?}");
        };
        check(&[10, 0], &[8.0], Some(4.0));
        check(&[0, 10, 0], &[8.0, 16.0], Some(12.0));
        check(&[1, 1, 8], &[8.0, 16.0], Some(16.0));
        check(&[4, 4, 0], &[8.0, 16.0], Some(8.0));
        check(&[0, 0], &[8.0], None);
        check(&[1], &[], None);
        check(&[1, 1], &[1.0, 2.0], None);
        check(&[u64::MAX, u64::MAX], &[8.0], Some(4.0));
        check(&[1; 65], &[1.0; 64], None);
    }
}
