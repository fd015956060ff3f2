//! `blk [requests=N] [depth=D] [seed=S] [sectors=M] [idle=MS] [reconnect=K] [wait=S]`: a seeded mix of requests to
//! the first disk.
//!
//! Up to D requests are in flight. With `idle` the guest makes D of them, waits for all answers, and sleeps. With
//! `reconnect` it closes and connects anew K times on the way. With `wait` the disk may come up to S seconds later.
//! What is digested stands in minios-guest/README.md.

use crate::block::Block;
use crate::clock::{self, MILLISECOND};
use crate::{cmdline, say, xenbus};

pub mod mix;

use mix::{Mix, SECTORS_MIN};

const REQUESTS: u64 = 1_000;
const DEPTH: u64 = 8;
/// 2 MB.
const SECTORS: u64 = 4_096;

/// Runs the application.
pub fn run() {
    let option = |key, default| cmdline::number(key).unwrap_or(default);
    let (requests, depth, seed) = (option("requests", REQUESTS), option("depth", DEPTH), option("seed", 1));
    let (idle, pieces) = (cmdline::number("idle"), option("reconnect", 0) + 1);
    let Some(mut block) = xenbus::opened("blk", Block::open) else {
        say!("blk: no disk");
        return;
    };
    let sectors = option("sectors", SECTORS).min(block.sectors);
    say!(
        "blk: {sectors} of {} sectors, flushes {}, discards {}",
        block.sectors,
        offered(block.flushes),
        offered(block.discards)
    );
    if sectors < SECTORS_MIN {
        say!("blk: too few sectors, {SECTORS_MIN} are wanted");
        return;
    }

    let mut mix = Mix::new(seed, sectors, depth);
    let mut connected = 0;
    let mut is_there = true;
    for piece in 1..=pieces {
        let end = requests * piece / pieces;
        while is_there && mix.made() < end {
            let left = end - mix.made();
            let part = if idle.is_some() { left.min(depth.max(1)) } else { left };
            is_there = mix.run(&mut block, part);
            if let Some(idle) = idle {
                clock::sleep(idle * MILLISECOND);
            }
        }
        if !is_there || piece == pieces {
            break;
        }
        let Some(again) = block.reopen() else {
            say!("blk: the disk does not come back");
            return report(&mix, connected);
        };
        block = again;
        connected += 1;
    }
    if !is_there {
        say!("blk: the backend leaves, {} requests have no answer", block.outstanding());
    }
    block.close();
    report(&mix, connected);
}

fn offered(yes: bool) -> &'static str {
    if yes {
        "offered"
    } else {
        "not offered"
    }
}

fn report(mix: &Mix, reconnects: u64) {
    let counts = &mix.counts;
    say!(
        "blk: digest {:016x} requests={} reads={} writes={} errors={} longest={} ms",
        mix.by_answer.hash(),
        counts.requests,
        counts.reads,
        counts.writes,
        counts.errors,
        counts.longest_ns / MILLISECOND
    );
    say!(
        "blk: by-request {:016x} flushes={} discards={} wrong={} busy={} reconnects={reconnects}",
        mix.by_request.hash(),
        counts.flushes,
        counts.discards,
        counts.wrong,
        counts.busy
    );
}
