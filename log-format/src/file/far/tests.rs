//! Copies are found where there are any, and no list of copies reads what is not there.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Bytes without pattern.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A history that ends at the returned place of the stream.
fn history(chunks: &[&[u8]], max: usize) -> (History, u64) {
    let mut history = History::with_max(max);
    chunks.iter().for_each(|chunk| history.push(chunk));
    (history, chunks.iter().map(|chunk| chunk.len() as u64).sum())
}

/// The copies in the last of these chunks, and how many bytes stay; it comes back.
fn reduced(finder: &mut Finder, chunks: &[&[u8]], max: usize) -> Option<(usize, usize)> {
    let (wire, before) = chunks.split_last().unwrap();
    let (history, offset) = history(before, max);
    let reduced = finder.reduce(&history, offset, wire)?;
    assert!(restore(&history, &reduced.bytes).unwrap() == **wire);
    Some((reduced.copied, reduced.bytes.len()))
}

#[test]
fn what_comes_again_is_a_copy() {
    let (block, between) = (noise(300_000, 1), noise(70_000, 2));
    let all = Some((300_000, 8));
    assert_eq!(
        reduced(&mut Finder::default(), &[&block, &between, &block], 1 << 20),
        all
    );
    // In parts, which are an index too.
    let mut finder = Finder::default();
    assert_eq!(reduced(&mut finder, &[&block, &between], 1 << 20), None);
    assert_eq!(
        reduced(&mut finder, &[&block, &between, &block], 1 << 20),
        all
    );
    // Behind something else, and before something else.
    let changed = [&noise(100, 3), &block[5000..250_000], &noise(300, 4)].concat();
    let found = reduced(
        &mut Finder::default(),
        &[&block, &between, &changed],
        1 << 20,
    );
    assert_eq!(found, Some((245_000, 408)));
    // What was forgotten is no copy any more.
    let found = reduced(&mut Finder::default(), &[&block, &between, &block], 150_000);
    assert!(matches!(found, Some((79_000..=80_000, _))), "{found:?}");
    assert_eq!(
        reduced(&mut Finder::default(), &[&block, &between, &block], 70_000),
        None
    );
}

#[test]
fn what_zstd_finds_is_left_to_it() {
    let block = noise(60_000, 1);
    assert_eq!(
        reduced(
            &mut Finder::default(),
            &[&noise(90_000, 2), &block, &block],
            1 << 20
        ),
        None
    );
    let other = noise(90_000, 3);
    assert_eq!(
        reduced(
            &mut Finder::default(),
            &[&block, &other, &noise(90_000, 4)],
            1 << 20
        ),
        None
    );
}

#[test]
fn pages_are_found_among_the_heads_of_their_records() {
    let page = noise(1024, 5);
    let records = |seed| {
        let mut wire = Vec::new();
        for record in 0..200u64 {
            wire.extend_from_slice(&noise(7, seed + record));
            wire.extend_from_slice(&page);
            wire.extend_from_slice(&noise(1024, 1000 + record));
        }
        wire
    };
    let (before, now) = (records(1), records(500));
    let found = reduced(
        &mut Finder::default(),
        &[&before, &noise(70_000, 9), &now],
        1 << 20,
    );
    let Some((copied, bytes)) = found else {
        panic!("nothing is found");
    };
    assert!(copied > 200 * 2040, "{copied}");
    assert!(bytes < 200 * 20, "{bytes}");
}

#[test]
fn the_places_of_a_stream_of_more_than_32_bits_are_found() {
    let (block, between) = (noise(100_000, 1), noise(70_000, 2));
    let (history, length) = history(&[&block, &between], 1 << 20);
    for offset in [(1 << 32) - 1, 1 << 32, (1 << 32) + length - 1, 5 << 32] {
        let mut finder = Finder::default();
        let reduced = finder.reduce(&history, offset, &block).unwrap();
        assert_eq!(reduced.copied, block.len(), "{offset}");
    }
}

/// A list of copies: numbers as they are written.
fn listed(numbers: &[u64], kept: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    numbers
        .iter()
        .for_each(|&number| put_varint(&mut bytes, number));
    [&bytes, kept].concat()
}

#[test]
fn bad_lists_are_told() {
    let (history, _) = history(&[b"0123456789"], 100);
    let restore = |numbers: &[u64], kept: &[u8]| restore(&history, &listed(numbers, kept));
    let far = |distance: u64| 2 * distance;
    for (numbers, kept, wire) in [
        (&[0][..], &b"abc"[..], &b"abc"[..]),
        (&[1, 0, 10, far(10)], b"", b"0123456789"),
        (&[1, 2, 3, far(12)], b"abc", b"ab012c"),
        (&[2, 0, 1, far(1), 1, 2, far(3)], b"ab", b"9a89b"),
    ] {
        assert_eq!(restore(numbers, kept).as_deref(), Ok(wire));
    }
    for (numbers, kept, why) in [
        (&[][..], &b""[..], "not whole"),
        (&[1, 0, 1], b"", "not whole"),
        (&[u64::MAX, 0, 1, far(1)], b"", "not whole"),
        (&[1, 4, 1, far(1)], b"abc", "not whole"),
        (&[1, 0, 0, far(1)], b"", "too short"),
        (&[1, 0, 1 << 21, far(1)], b"", "too long"),
        (&[1, u64::MAX, 1, far(1)], b"", "too long"),
        (&[1, 0, 1, far(11)], b"", "11 bytes before"),
        (&[1, 0, 2, far(1)], b"", "1 bytes before"),
        (&[1, 0, 1, far(0)], b"", "0 bytes before"),
        (&[1, 1, 1, far(1)], b"a", "1 bytes before"),
        (&[1, 0, 1, 1], b"", "bytes before"),
        (&[0], &[7; MAX_CHUNK_BYTES + 1], "more than a chunk"),
    ] {
        let error = restore(numbers, kept).unwrap_err();
        assert!(error.contains(why), "{numbers:?}: {error}");
    }
}

proptest! {
    /// Streams of a few blocks, in pieces of any length, come back chunk by chunk.
    #[test]
    fn chunks_come_back(
        blocks in vec((0..6u64, 1..40_000usize), 4..20),
        max in prop_oneof![70_000..200_000usize, Just(1 << 20)],
    ) {
        let mut finder = Finder::default();
        let mut history = History::with_max(max);
        let mut offset = 0;
        for (seed, length) in blocks {
            let chunk = noise(length, seed);
            if let Some(reduced) = finder.reduce(&history, offset, &chunk) {
                prop_assert!(restore(&history, &reduced.bytes).as_ref() == Ok(&chunk));
            }
            history.push(&chunk);
            offset += chunk.len() as u64;
        }
    }

    #[test]
    fn any_list_restores_to_a_chunk_or_an_error(
        numbers in vec(prop_oneof![0..300u64, any::<u64>()], 0..40),
        kept in vec(any::<u8>(), 0..300),
    ) {
        let (history, _) = history(&[&noise(200, 1)], 100);
        if let Ok(wire) = restore(&history, &listed(&numbers, &kept)) {
            prop_assert!(wire.len() <= MAX_CHUNK_BYTES);
        }
    }
}
