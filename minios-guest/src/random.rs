//! A seeded generator (xorshift64*, Vigna 2014) and a running checksum.

/// The generator.
pub struct Random(u64);

impl Random {
    /// A generator for `seed`; any seed will do.
    pub fn new(seed: u64) -> Self {
        // The state must not be zero; the multiplier spreads small seeds.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit` (which is not 0).
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.word() >> 11) % limit
    }

    /// An index of a ring that is wrong in one of several ways: up to `near` from a `sane` one, `beyond` it, or anything.
    pub fn bogus_index(&mut self, sane: u32, near: u64, beyond: u32) -> u32 {
        match self.below(6) {
            0 => sane.wrapping_add(self.below(near) as u32),
            1 => sane.wrapping_sub(self.below(near) as u32),
            2 => u32::MAX,
            3 => 0x8000_0000,
            4 => sane.wrapping_add(beyond),
            _ => self.word() as u32,
        }
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A running checksum over 64-bit values: cheap, and order matters.
pub struct Checksum(pub u64);

impl Checksum {
    /// Mixes in one value.
    pub fn mix(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    /// Mixes in bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.mix(u64::from(*byte)));
    }
}
