//! `compute [n=N]`: N million steps of computation with a clock read after
//! every 16 million: for speed figures.

use crate::clock::{self, MILLISECOND};
use crate::random::Random;
use crate::{cmdline, say};

const BLOCK_STEPS: u64 = 16_000_000;

/// Runs the application.
pub fn run() {
    let millions = cmdline::number("n").unwrap_or(400);
    let begin = clock::now();
    let mut end = begin;
    let mut result: u64 = 0;
    let mut left = millions * 1_000_000;
    while left > 0 {
        let steps = left.min(BLOCK_STEPS);
        left -= steps;
        result = result.wrapping_mul(31) ^ work(steps);
        end = clock::now();
    }
    say!("compute: n={millions} result={result:016x} ms={}", (end - begin) / MILLISECOND);
}

/// `steps` steps of a generator: no memory, no exit.
pub fn work(steps: u64) -> u64 {
    let mut random = Random::new(steps);
    (0..steps).fold(0, |sum: u64, _| sum.wrapping_add(random.word()))
}
