//! Chance that can be repeated: splitmix64.

/// A source of numbers that its seed decides.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The same seed, the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }

    /// Another source that this one decides, for a part that is to draw for itself.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number of `0..n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(n)) >> 64) as u64
    }

    /// An index of a list of `n`.
    pub fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// A number of `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// A number of `from..=to` whose logarithm is evenly spread.
    pub fn spread(&mut self, from: u64, to: u64) -> u64 {
        let (a, b) = ((from.max(1) as f64).ln(), (to.max(1) as f64).ln());
        let u = self.draw() as f64 / u64::MAX as f64;
        ((a + (b - a) * u).exp() as u64).clamp(from, to)
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of a list.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())].clone()
    }
}

/// A quick hash of bytes, to tell states apart. Not for enemies.
#[must_use]
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mix = |h: u64, w: u64| {
        let m = u128::from(h ^ w ^ 0xA076_1D64_78BD_642F) * 0xE703_7ED1_A0B4_28DB;
        (m >> 64) as u64 ^ m as u64
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let h = words.iter().fold(mix(seed, bytes.len() as u64), |h, w| mix(h, u64::from_le_bytes(*w)));
    mix(h, u64::from_le_bytes(last))
}
