//! Digests of guest state: a few bits at each commit, 64 bits at the ends of a log.
//!
//! They detect accidents, not forgery: any two different words give different sums after any one
//! step, because a step is a bijection of the sum and of the word.

use crate::abi::Registers;

/// Odd constant of the golden ratio, and the usual one for mixing.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

const ROTATION: u32 = 29;

const fn step(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(MULTIPLIER).rotate_left(ROTATION)
}

const fn finish(sum: u64) -> u64 {
    let sum = (sum ^ (sum >> 32)).wrapping_mul(MULTIPLIER);
    sum ^ (sum >> 29)
}

/// Digest of the general-purpose registers.
pub fn registers(registers: &Registers) -> u64 {
    finish(add_registers(MULTIPLIER, registers))
}

/// Adds the general-purpose registers to a running digest. One step after the other, without a
/// loop: this is done at each commit.
pub fn add_registers(digest: u64, registers: &Registers) -> u64 {
    let r = registers.named();
    // Xen keeps something of its own beside the selectors.
    let selectors = r.cs & 0xffff | (r.ss & 0xffff) << 32;
    let sum = step(step(step(step(digest, r.r15), r.r14), r.r13), r.r12);
    let sum = step(step(step(step(sum, r.rbp), r.rbx), r.r11), r.r10);
    let sum = step(step(step(step(sum, r.r9), r.r8), r.rax), r.rcx);
    let sum = step(step(step(step(sum, r.rdx), r.rsi), r.rdi), r.rip);
    step(step(step(sum, selectors), r.rflags), r.rsp)
}

/// Adds words to a digest.
pub fn words(digest: u64, words: &[u64]) -> u64 {
    finish(words.iter().fold(digest, |sum, &word| step(sum, word)))
}

/// Bits of a witness. As each one depends on all before, a difference that escapes one is met by
/// the next.
const WITNESS_BITS: u32 = 4;

/// The witness that stands for a running digest: the highest bits of the last product, which all
/// bits of the last word have a part in, from where the step has rotated them to.
pub const fn witness(digest: u64) -> u8 {
    (digest >> (ROTATION - WITNESS_BITS) & ((1 << WITNESS_BITS) - 1)) as u8
}

/// An ordinary page.
pub const HVLOG_PAGE_DATA: u32 = 0;
/// A page table: accessed and dirty bits do not count.
pub const HVLOG_PAGE_TABLE: u32 = 1;
/// A live top-level page table: nor do the slots that belong to Xen.
pub const HVLOG_PAGE_ROOT: u32 = 2;

/// `_PAGE_ACCESSED | _PAGE_DIRTY`.
const ACCESSED_DIRTY: u64 = 0x60;
/// `_PAGE_PRESENT`.
const PRESENT: u64 = 1;
/// Xen's slots of a top-level page table.
const XEN_SLOTS: core::ops::Range<usize> = 256..272;

/// Stands for the words of a page that is all zero.
const ZERO_PAGE: u64 = 0x6c62_272e_07bb_0142;

/// Adds an ordinary page that is all zero to a digest of memory: as [`page`] does.
pub const fn zero_page(digest: u64, index: u64) -> u64 {
    step(step(digest, index), ZERO_PAGE)
}

/// Adds a page to a digest of memory. `index` is its place in the domain's slice of the arena.
pub fn page(digest: u64, index: u64, kind: u32, words: &[u64; 512]) -> u64 {
    match kind {
        HVLOG_PAGE_TABLE => nonzero_page(digest, index, words, |_, word| table_entry(word)),
        HVLOG_PAGE_ROOT => nonzero_page(digest, index, words, |slot, word| {
            if XEN_SLOTS.contains(&slot) {
                0
            } else {
                table_entry(word)
            }
        }),
        // Much of a guest's memory was never used.
        _ if is_zero(words) => zero_page(digest, index),
        _ => nonzero_page(digest, index, words, |_, word| word),
    }
}

const fn table_entry(word: u64) -> u64 {
    if word & PRESENT == 0 {
        word
    } else {
        word & !ACCESSED_DIRTY
    }
}

fn is_zero(words: &[u64; 512]) -> bool {
    let (chunks, _) = words.as_chunks::<32>();
    chunks
        .iter()
        .all(|chunk| chunk.iter().fold(0, |all, &word| all | word) == 0)
}

fn nonzero_page(
    digest: u64,
    index: u64,
    words: &[u64; 512],
    value: impl Fn(usize, u64) -> u64,
) -> u64 {
    // Four sums side by side, because a multiplication has to wait for the one before.
    let [mut a, mut b, mut c, mut d] = [index ^ MULTIPLIER, index, !index, index << 32];
    let (rows, _) = words.as_chunks::<4>();
    for (row, &[w, x, y, z]) in rows.iter().enumerate() {
        let slot = row * 4;
        a = step(a, value(slot, w));
        b = step(b, value(slot + 1, x));
        c = step(c, value(slot + 2, y));
        d = step(d, value(slot + 3, z));
    }
    finish(step(step(step(step(digest, a), b), c), d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::NamedRegisters;

    #[test]
    fn every_bit_of_a_data_page_counts() {
        let mut words = [0x5a; 512];
        let whole = page(1, 2, HVLOG_PAGE_DATA, &words);
        for bit in (0..512 * 64).step_by(61) {
            words[bit / 64] ^= 1 << (bit % 64);
            assert_ne!(page(1, 2, HVLOG_PAGE_DATA, &words), whole, "bit {bit}");
            words[bit / 64] ^= 1 << (bit % 64);
        }
        assert_ne!(page(1, 3, HVLOG_PAGE_DATA, &words), whole);
        assert_ne!(page(2, 2, HVLOG_PAGE_DATA, &words), whole);
    }

    #[test]
    fn a_page_without_content_counts_too() {
        let zero = [0; 512];
        assert_eq!(page(1, 2, HVLOG_PAGE_DATA, &zero), zero_page(1, 2));
        assert_ne!(zero_page(1, 3), zero_page(1, 2));
        assert_ne!(zero_page(2, 2), zero_page(1, 2));
        for word in 0..512 {
            let mut words = zero;
            words[word] = 1 << (word % 64);
            assert_ne!(page(1, 2, HVLOG_PAGE_DATA, &words), zero_page(1, 2));
        }
    }

    #[test]
    fn only_what_belongs_to_the_mmu_and_to_xen_is_masked() {
        let mut words = [0u64; 512];
        words[3] = 0x1000 | PRESENT;
        words[260] = 0x2000 | PRESENT;
        let table = page(0, 0, HVLOG_PAGE_TABLE, &words);
        let root = page(0, 0, HVLOG_PAGE_ROOT, &words);
        words[3] |= ACCESSED_DIRTY;
        assert_eq!(page(0, 0, HVLOG_PAGE_TABLE, &words), table);
        assert_ne!(page(0, 0, HVLOG_PAGE_DATA, &words), table);
        words[260] += 0x1000;
        assert_ne!(page(0, 0, HVLOG_PAGE_TABLE, &words), table);
        assert_eq!(page(0, 0, HVLOG_PAGE_ROOT, &words), root);
        words[272] = ACCESSED_DIRTY;
        assert_ne!(page(0, 0, HVLOG_PAGE_ROOT, &words), root);
    }

    #[test]
    fn a_witness_follows_each_register() {
        let base = Registers::default();
        let of = |change: fn(&mut NamedRegisters)| {
            let mut named = base.named();
            change(&mut named);
            Registers::from(named)
        };
        let ignored = of(|r| (r.of_xen, r.cs, r.ss) = (u64::MAX, u64::MAX, u64::MAX));
        let differing = (0..base.word.len())
            .filter(|&i| ignored.word[i] == 0)
            .flat_map(|i| (0..16).map(move |bit| (i, bit * 4)))
            .filter(|&(i, bit)| {
                let mut other = base;
                other.word[i] = 1 << bit;
                witness(add_registers(0, &other)) != witness(add_registers(0, &base))
            })
            .count();
        // 15 of 16 are to be expected of 288.
        assert!(differing >= 255, "only {differing} of 288 bits show");
        let other = of(|r| (r.of_xen, r.cs) = (u64::MAX, 0xffff_0000));
        assert_eq!(registers(&other), registers(&base));
        let other = of(|r| r.ss = 0x2b);
        assert_ne!(registers(&other), registers(&base));
    }
}
