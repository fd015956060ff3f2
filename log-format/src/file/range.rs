//! A binary range coder: bits whose probability both sides know, in little more room than their
//! information. The interval is 32 bits wide and gives out its highest byte once that is settled,
//! so there is no carry.

/// The probability that a bit is 1, as a fraction of 65536; neither 0 nor 65536.
pub(super) type Probability = u16;

/// The interval that the bits so far have left.
#[derive(Clone, Copy, Debug)]
struct Interval {
    low: u32,
    high: u32,
}

impl Interval {
    const ALL: Self = Self {
        low: 0,
        high: u32::MAX,
    };

    /// The last value of the part that stands for a 1.
    fn split(self, probability: Probability) -> u32 {
        let width = u64::from(self.high - self.low);
        self.low + ((width * u64::from(probability)) >> 16) as u32
    }

    /// Keeps the part that stands for `bit`.
    fn narrow(&mut self, split: u32, bit: bool) {
        if bit {
            self.high = split;
        } else {
            self.low = split + 1;
        }
    }

    /// The highest byte, once it is the same in the whole interval, which then becomes wider.
    fn settled(&mut self) -> Option<u8> {
        if (self.low ^ self.high) >> 24 != 0 {
            return None;
        }
        let byte = (self.high >> 24) as u8;
        self.low <<= 8;
        self.high = self.high << 8 | 0xff;
        Some(byte)
    }
}

/// From bits to bytes.
#[derive(Debug)]
pub(super) struct RangeEncoder {
    interval: Interval,
    bytes: Vec<u8>,
}

impl RangeEncoder {
    /// An encoder whose bytes follow those of `bytes`.
    pub(super) const fn new(bytes: Vec<u8>) -> Self {
        Self {
            interval: Interval::ALL,
            bytes,
        }
    }

    /// Takes a bit.
    pub(super) fn encode(&mut self, probability: Probability, bit: bool) {
        let split = self.interval.split(probability);
        self.interval.narrow(split, bit);
        while let Some(byte) = self.interval.settled() {
            self.bytes.push(byte);
        }
    }

    /// The bytes. A decoder reads zeros behind their end, so as few are written as lie in the
    /// interval with those.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let Interval { low, high } = self.interval;
        for kept in 0..=4 {
            let mask = u32::MAX.checked_shr(kept * 8).unwrap_or(0);
            let value = (u64::from(low) + u64::from(mask)) & !u64::from(mask);
            if value <= u64::from(high) {
                let value = (value as u32).to_be_bytes();
                self.bytes.extend(value.iter().take(kept as usize));
                break;
            }
        }
        self.bytes
    }
}

/// From bytes back to bits.
#[derive(Debug)]
pub(super) struct RangeDecoder<'a> {
    interval: Interval,
    value: u32,
    rest: &'a [u8],
}

impl<'a> RangeDecoder<'a> {
    /// A decoder of an encoder's bytes.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self {
            interval: Interval::ALL,
            value: 0,
            rest: bytes,
        };
        for _ in 0..4 {
            decoder.shift();
        }
        decoder
    }

    /// The next bit, which was encoded with the same probability.
    pub(super) fn decode(&mut self, probability: Probability) -> bool {
        let split = self.interval.split(probability);
        let bit = self.value <= split;
        self.interval.narrow(split, bit);
        while self.interval.settled().is_some() {
            self.shift();
        }
        bit
    }

    fn shift(&mut self) {
        let (byte, rest) = match self.rest.split_first() {
            Some((&byte, rest)) => (byte, rest),
            None => (0, self.rest),
        };
        self.value = self.value << 8 | u32::from(byte);
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits and probabilities that do not repeat.
    fn bits(count: u32) -> impl Iterator<Item = (Probability, bool)> {
        let mut state = 1u32;
        (0..count).map(move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let probability = ((state >> 8) as u16).clamp(1, 65535);
            (probability, (state >> 16) % 65536 < u32::from(probability))
        })
    }

    #[test]
    fn bits_come_back_from_as_few_bytes_as_they_need() {
        for count in (0..200).chain([100_000]) {
            let mut encoder = RangeEncoder::new(Vec::new());
            bits(count).for_each(|(p, bit)| encoder.encode(p, bit));
            let bytes = encoder.finish();
            let mut decoder = RangeDecoder::new(&bytes);
            for (at, (p, bit)) in bits(count).enumerate() {
                assert_eq!(decoder.decode(p), bit, "bit {at} of {count}");
            }
        }
    }

    #[test]
    fn what_is_certain_costs_next_to_nothing() {
        let mut encoder = RangeEncoder::new(Vec::new());
        for _ in 0..10_000 {
            encoder.encode(65535, true);
            encoder.encode(1, false);
        }
        assert!(encoder.finish().len() <= 1);
    }

    #[test]
    fn an_improbable_bit_is_still_one() {
        let mut encoder = RangeEncoder::new(Vec::new());
        let bits = [(1, true), (65535, false), (1, true)];
        bits.iter().for_each(|&(p, bit)| encoder.encode(p, bit));
        let bytes = encoder.finish();
        let mut decoder = RangeDecoder::new(&bytes);
        for (p, bit) in bits {
            assert_eq!(decoder.decode(p), bit);
        }
    }
}
