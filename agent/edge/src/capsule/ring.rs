//! The last minutes of raw readings of every series, exactly as the pipeline got them.
//!
//! They stand in blocks, each of which can be read alone: within a block a reading is written as what changed since the
//! one before. A tick is `ms since the tick before | wall | number of series | score f32 | sum u32`, two bits for every series
//! (nothing, the same, a number, none and why), then the numbers: a difference if both are whole, else the bytes of the
//! exclusive or that are not zero.

use std::collections::VecDeque;

use fieldmouse_core::series::{Millis, NoData, Reading};

/// Ticks of a block.
const BLOCK: u32 = 32;
/// Blocks that are kept, at most.
const BLOCKS: usize = 10;
/// Bytes that are kept, at most, beside the block that is being written.
const BYTES: usize = 144 << 10;

/// One tick of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// When, monotonic.
    pub now: Millis,
    /// Milliseconds since 1970, if it was known.
    pub wall_ms: Option<u64>,
    /// By the index of the series; `None`: not due.
    pub readings: Vec<Option<Reading>>,
    /// The device's score after it.
    pub score: f32,
    /// A checksum of all series' scores after it.
    pub sum: u32,
}

/// Ticks in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Number of its first tick.
    pub first: u64,
    /// How many there are.
    pub ticks: u32,
    /// The ticks.
    pub bytes: Vec<u8>,
}

/// The blocks.
#[derive(Debug, Default)]
pub struct Ring {
    blocks: VecDeque<Block>,
    /// The newest block takes no more ticks.
    closed: bool,
    last: Vec<u64>,
    last_ms: Millis,
    /// From the monotonic clock to the other.
    last_offset: u64,
    ticks: u64,
}

impl Ring {
    /// Number of the next tick.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.ticks
    }

    /// Number of the oldest tick that is kept.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.blocks.front().map_or(self.ticks, |b| b.first)
    }

    /// Whether the next tick begins a block.
    #[must_use]
    pub fn is_at_start(&self) -> bool {
        self.closed || self.blocks.back().is_none_or(|b| b.ticks >= BLOCK)
    }

    /// The next tick begins a block.
    pub fn cut(&mut self) {
        self.closed = true;
    }

    /// Blocks that hold ticks from number `from` on, oldest first.
    pub fn since(&self, from: u64) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |b| b.first + u64::from(b.ticks) > from)
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|b| b.bytes.len()).sum()
    }

    /// Makes room for a block, if the next tick begins one.
    pub fn begin(&mut self) {
        if !self.is_at_start() {
            return;
        }
        while self.blocks.len() >= BLOCKS || (self.bytes() > BYTES && self.blocks.len() > 1) {
            self.blocks.pop_front();
        }
        let usual = self.blocks.back().map_or(0, |b| b.bytes.len());
        let bytes = Vec::with_capacity(usual + usual / 8);
        self.blocks.push_back(Block { first: self.ticks, ticks: 0, bytes });
        (self.closed, self.last_ms, self.last_offset) = (false, 0, 0);
        self.last.clear();
    }

    /// Takes a tick.
    pub fn push(
        &mut self,
        now: Millis,
        wall_ms: Option<u64>,
        readings: impl ExactSizeIterator<Item = Option<Reading>>,
        score: f32,
        sum: u32,
    ) {
        self.begin();
        let Some(block) = self.blocks.back_mut() else { return };
        let to = &mut block.bytes;
        write_number(to, now.wrapping_sub(self.last_ms));
        write_number(
            to,
            wall_ms.map_or(0, |wall| {
                zigzag(wall.wrapping_sub(now).wrapping_sub(self.last_offset)).saturating_add(1)
            }),
        );
        self.last_offset = wall_ms.map_or(self.last_offset, |wall| wall.wrapping_sub(now));
        write_number(to, readings.len() as u64);
        to.extend(score.to_bits().to_le_bytes());
        to.extend(sum.to_le_bytes());
        let tags = to.len();
        to.resize(tags + readings.len().div_ceil(4), 0);
        self.last.resize(readings.len(), 0);
        for (i, (reading, last)) in readings.zip(&mut self.last).enumerate() {
            let tag = match reading {
                None => 0,
                Some(Ok(value)) if value.to_bits() == *last => 1,
                Some(Ok(value)) => {
                    write_value(to, *last, value.to_bits());
                    *last = value.to_bits();
                    2
                }
                Some(Err(why)) => {
                    to.push(why as u8);
                    3
                }
            };
            to[tags + i / 4] |= tag << (2 * (i % 4));
        }
        self.last_ms = now;
        block.ticks += 1;
        self.ticks += 1;
    }
}

impl Block {
    /// The ticks of the block; the last one that comes out may be followed by damage.
    #[must_use]
    pub fn read(&self) -> Vec<Tick> {
        let mut rest = self.bytes.as_slice();
        let (mut last, mut now, mut offset) = (Vec::new(), 0u64, 0u64);
        let mut ticks = Vec::new();
        while ticks.len() < self.ticks as usize {
            match read_tick(&mut rest, &mut last, &mut now, &mut offset) {
                Some(tick) => ticks.push(tick),
                None => break,
            }
        }
        ticks
    }
}

/// More series than any device has.
const MOST_SERIES: u64 = 1 << 16;

fn read_tick(from: &mut &[u8], last: &mut Vec<u64>, now: &mut Millis, offset: &mut u64) -> Option<Tick> {
    *now = now.wrapping_add(read_number(from)?);
    let wall_ms = read_number(from)?.checked_sub(1).map(|changed| {
        *offset = offset.wrapping_add(unzigzag(changed));
        now.wrapping_add(*offset)
    });
    let series = read_number(from).filter(|n| *n <= MOST_SERIES)?;
    let series = usize::try_from(series).ok()?;
    let score = f32::from_bits(u32::from_le_bytes(*take(from, 4)?.first_chunk()?));
    let sum = u32::from_le_bytes(*take(from, 4)?.first_chunk()?);
    let tags = take(from, series.div_ceil(4))?;
    last.resize(series, 0);
    let mut readings = Vec::with_capacity(series);
    for (i, last) in last.iter_mut().enumerate() {
        readings.push(match tags[i / 4] >> (2 * (i % 4)) & 3 {
            0 => None,
            1 => Some(Ok(f64::from_bits(*last))),
            2 => {
                *last = read_value(from, *last)?;
                Some(Ok(f64::from_bits(*last)))
            }
            _ => Some(Err(NoData::of(take(from, 1)?[0])?)),
        });
    }
    Some(Tick { now: *now, wall_ms, readings, score, sum })
}

/// Whole numbers below this are exact.
const WHOLE: f64 = 9_007_199_254_740_992.0;

#[expect(clippy::cast_possible_truncation, reason = "only of whole numbers below 2^53")]
fn whole(bits: u64) -> Option<i64> {
    let value = f64::from_bits(bits);
    let is_whole = value.abs() < WHOLE && (value as i64 as f64).to_bits() == bits;
    is_whole.then_some(value as i64)
}

/// First byte: 255 for a difference, else the zero bytes at the front of the exclusive or, and at its back.
fn write_value(to: &mut Vec<u8>, last: u64, bits: u64) {
    if let (Some(a), Some(b)) = (whole(last), whole(bits)) {
        to.push(0xFF);
        #[expect(clippy::cast_sign_loss, reason = "zigzag takes the sign in")]
        write_number(to, zigzag((b - a) as u64));
        return;
    }
    let changed = last ^ bits;
    let (front, back) = (changed.leading_zeros() / 8, changed.trailing_zeros() / 8);
    // At least one byte changed, so each is 7 at most.
    to.push(u8::try_from(front << 4 | back).unwrap_or(0));
    let bytes = changed.to_be_bytes();
    to.extend(&bytes[front as usize..8 - back as usize]);
}

fn read_value(from: &mut &[u8], last: u64) -> Option<u64> {
    let head = take(from, 1)?[0];
    if head == 0xFF {
        #[expect(clippy::cast_possible_wrap, reason = "zigzag took the sign in")]
        let difference = unzigzag(read_number(from)?) as i64;
        return Some((whole(last)?.checked_add(difference)? as f64).to_bits());
    }
    let (front, back) = (usize::from(head >> 4), usize::from(head & 15));
    let mut bytes = [0; 8];
    let end = 8usize.checked_sub(back).filter(|end| *end > front)?;
    bytes[front..end].copy_from_slice(take(from, end - front)?);
    Some(last ^ u64::from_be_bytes(bytes))
}

/// Small numbers of either sign as small numbers.
fn zigzag(number: u64) -> u64 {
    (number << 1) ^ (0u64.wrapping_sub(number >> 63))
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ 0u64.wrapping_sub(number & 1)
}

fn write_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn read_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(from, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(from: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading() -> impl Strategy<Value = Option<Reading>> {
        prop_oneof![
            Just(None),
            any::<u64>().prop_map(|bits| Some(Ok(f64::from_bits(bits)))),
            any::<i64>().prop_map(|n| Some(Ok(n as f64))),
            (0..100i32).prop_map(|n| Some(Ok(f64::from(n) / 8.0))),
            Just(Some(Ok(-0.0))),
            Just(Some(Ok(1e308))),
            (1..8u8).prop_map(|why| NoData::of(why).map(Err)),
        ]
    }

    fn bits(readings: &[Option<Reading>]) -> Vec<Option<Result<u64, NoData>>> {
        readings.iter().map(|r| r.map(|r| r.map(f64::to_bits))).collect()
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(
            ticks in proptest::collection::vec((0..90_000u64, proptest::collection::vec(reading(), 0..9)), 1..100),
        ) {
            let mut ring = Ring::default();
            let mut now = 0;
            for (passed, readings) in &ticks {
                now += passed;
                ring.push(now, now.checked_mul(passed % 3), readings.iter().copied(), 0.25, readings.len() as u32);
            }
            let back: Vec<Tick> = ring.since(0).flat_map(Block::read).collect();
            prop_assert_eq!(back.len(), ticks.len());
            let mut now = 0;
            for (tick, (passed, readings)) in back.iter().zip(&ticks) {
                now += passed;
                prop_assert_eq!((tick.now, tick.score, tick.sum), (now, 0.25, readings.len() as u32));
                prop_assert_eq!(tick.wall_ms, now.checked_mul(passed % 3));
                prop_assert_eq!(bits(&tick.readings), bits(readings));
            }
        }

        #[test]
        fn whatever_stands_there_is_read_without_harm(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), ticks in 0..40u32,
        ) {
            let read = Block { first: 0, ticks, bytes }.read();
            prop_assert!(read.len() <= ticks as usize);
        }
    }

    #[test]
    fn it_is_bounded_and_forgets_the_oldest() {
        let mut ring = Ring::default();
        let mut most = 0;
        for t in 0..4000u64 {
            // Nothing repeats: the worst case.
            let noise = |i: u32| (t * 977 + u64::from(i)).wrapping_mul(0x9E37_79B9_7F4A_7C15) as f64 / 1e17;
            ring.push(1000 * t, Some(t), (0..200u32).map(|i| Some(Ok(noise(i)))), 0.0, 0);
            most = most.max(ring.bytes());
        }
        assert!(most < BYTES + 2 * 32 * 200 * 9, "{most}");
        assert_eq!(ring.next(), 4000);
        let kept: Vec<Tick> = ring.since(0).flat_map(Block::read).collect();
        assert_eq!(kept.last().map(|t| t.now), Some(3_999_000));
        assert_eq!(kept.len() as u64, 4000 - ring.first());
        assert!(kept.len() >= 64, "{}", kept.len());
        ring.cut();
        ring.push(4_000_000, None, [Some(Ok(1.0))].into_iter(), 0.0, 0);
        assert_eq!(ring.since(4000).count(), 1, "a block of its own");
    }
}
