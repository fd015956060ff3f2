//! A hostile reader: misuses Xen's interface of logs in every way that a program in dom0 can.
//!
//! `fuzz_reader calls SEED CALLS [SPARED…]` makes CALLS random calls of `XEN_DOMCTL_xenlr_op` and
//! of `XENMEM_acquire_resource`, with valid and invalid operands, on domains that exist and others,
//! and keeps rings mapped over their domains' ends. SPARED domains are asked, never told: what
//! happens to them is to stay equal. Prints how each kind of call ended.
//!
//! `fuzz_reader ring SEED DOMID WRITES` writes random values to the ring's header and data area,
//! at random times, until so many are written or the log has ended. Prints the state at the end.
//!
//! `fuzz_reader hold DOMID` maps the ring and a page of the domain, says so, and keeps them until it
//! is killed: a domain that is destroyed meanwhile goes on dying.
//!
//! Exit status 1: Xen answered with an error that these calls cannot have.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use vm_tests::probe::{Acquire, Op, Pages, Place, Probe};
use xenlr::ringio::RingMemory;
use xenlr::xen::{EventChannels, Port, Status, Xen, abi};

/// Errors that a misuse may meet, and no others.
const EXPECTED: [Errno; 9] = [
    Errno::INVAL,
    Errno::SRCH,
    Errno::PERM,
    Errno::ACCESS,
    Errno::FAULT,
    Errno::OPNOTSUPP,
    Errno::NOENT,
    Errno::NOMEM,
    // The mapping ioctl, for frames that went away meanwhile.
    Errno::NXIO,
];
/// Rings that stay mapped at a time.
const KEPT: usize = 6;
/// Calls between two looks at which domains there are.
const LOOK_EVERY: u64 = 64;

/// xorshift64* (Vigna 2014).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.word() >> 11) % limit.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let count = u64::try_from(from.len()).unwrap_or(0);
        let index = usize::try_from(self.below(count)).unwrap_or(0);
        from.get(index).copied()
    }

    /// Zero, small, around a power of two, or anything.
    fn odd(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => self.below(16),
            2 => 1 << self.below(64),
            3 => (1 << self.below(64)) - 1,
            4 => u64::MAX - self.below(16),
            _ => self.word() >> self.below(64),
        }
    }

    fn odd32(&mut self) -> u32 {
        (self.odd() & 0xffff_ffff) as u32
    }

    fn place(&mut self) -> Place {
        match self.below(6) {
            0..=2 => Place::Buffer,
            3 => Place::End,
            _ => Place::Nowhere(match self.below(5) {
                0 => self.below(4096),
                1 => 0x8000_0000_0000_0000 + self.below(1 << 20),
                // Xen's own code, its view of memory, dom0's kernel.
                2 => 0xffff_82d0_4000_0000 + self.below(1 << 24),
                3 => 0xffff_8300_0000_0000 + self.below(1 << 30),
                _ => 0xffff_ffff_8000_0000 + self.below(1 << 24),
            }),
        }
    }
}

/// How calls ended: by kind of call and outcome.
#[derive(Default)]
struct Tally {
    ends: BTreeMap<(String, String), u64>,
    strange: u64,
}

impl Tally {
    fn count<T>(&mut self, what: &str, result: &io::Result<T>) {
        let end = match result.as_ref().map_err(Errno::from_io_error) {
            Ok(_) => "ok".to_owned(),
            Err(Some(errno)) => {
                if !EXPECTED.contains(&errno) {
                    self.strange += 1;
                }
                format!("error {}", errno.raw_os_error())
            }
            Err(None) => "no error number".to_owned(),
        };
        *self.ends.entry((what.to_owned(), end)).or_default() += 1;
    }

    fn print(&self) {
        for ((what, end), count) in &self.ends {
            println!("{what}: {end} {count}");
        }
    }
}

struct Fuzzer {
    xen: Xen,
    probe: Probe,
    random: Random,
    tally: Tally,
    channels: EventChannels,
    port: Port,
    /// Domains that there are, and those that may not be changed.
    domains: Vec<u16>,
    spared: Vec<u16>,
    /// Mapped rings and the domains that they are of.
    kept: Vec<Pages>,
}

impl Fuzzer {
    fn domain(&mut self) -> u16 {
        let any = self.random.word() as u16;
        match self.random.below(8) {
            0 => any,
            // Self, I/O, Xen, copy-on-write, invalid, idle.
            1 => 0x7ff0 | (any & 0xf),
            2 => any & 0x3f,
            _ => {
                let all = std::mem::take(&mut self.domains);
                let one = self.random.pick(&all).unwrap_or(any);
                self.domains = all;
                one
            }
        }
    }

    fn op(&mut self) {
        let domain = self.domain();
        let random = &mut self.random;
        let mut cmd = match random.below(8) {
            0 => random.odd32(),
            _ => random.below(6) as u32,
        };
        if self.spared.contains(&domain) && (1..=5).contains(&cmd) {
            // A kick has it look at the ring, no more.
            cmd = if random.one_in(2) {
                abi::XENLR_OP_KICK
            } else {
                abi::XENLR_OP_STATUS
            };
        }
        let port = match random.below(4) {
            0 => 0,
            1 => self.port.0,
            2 => random.below(256) as u32,
            _ => random.odd32(),
        };
        let op = Op {
            domain,
            cmd,
            port,
            sync: random.odd(),
            status: random.place(),
            rest: random.odd(),
        };
        let what = match cmd {
            abi::XENLR_OP_STATUS => "status",
            abi::XENLR_OP_STOP => "stop",
            abi::XENLR_OP_BIND => "bind",
            abi::XENLR_OP_KICK => "kick",
            abi::XENLR_OP_UNTIL => "until",
            abi::XENLR_OP_RELEASE => "release",
            _ => "other op",
        };
        let result = self.probe.op(&op);
        self.tally.count(what, &result);
    }

    fn acquire(&mut self) {
        let domain = self.domain();
        let random = &mut self.random;
        let call = Acquire {
            domain,
            id: if random.one_in(4) { random.odd32() } else { 0 },
            nr_frames: if random.one_in(4) {
                random.odd32()
            } else {
                random.below(70) as u32
            },
            pad: if random.one_in(16) { random.odd32() } else { 0 },
            frame: if random.one_in(3) {
                random.odd()
            } else {
                random.below(70)
            },
            frame_list: if random.one_in(4) {
                Place::Nowhere(0)
            } else {
                random.place()
            },
            start_extent: if random.one_in(8) { random.odd32() } else { 0 },
        };
        let result = self.probe.acquire(&call);
        self.tally.count("acquire", &result);
    }

    /// Maps a part of a ring; spared ones too, to which nothing is written.
    fn map(&mut self) {
        let domain = self.domain();
        let random = &mut self.random;
        let id = if random.one_in(8) { random.odd32() } else { 0 };
        let first = if random.one_in(8) {
            random.odd32()
        } else {
            random.below(20) as u32
        };
        let most = if random.one_in(8) { 5000 } else { 40 };
        let frames = 1 + random.below(most);
        let result = self.probe.map(domain, id, first, frames);
        self.tally.count("map", &result);
        if let Ok(pages) = result {
            if self.kept.len() >= KEPT {
                let old = random.below(KEPT as u64) as usize;
                drop(self.kept.swap_remove(old));
            }
            self.kept.push(pages);
        }
    }

    /// Notes in which state a domain is, so that one can see what was tried.
    fn look(&mut self) -> Result<(), Box<dyn Error>> {
        let all = self.xen.domains()?;
        for _ in all.iter().filter(|domain| domain.dying) {
            self.tally.count("seen dying", &Ok(()));
        }
        self.domains = all.iter().map(|domain| domain.domid).collect();
        for domain in self.domains.clone() {
            if let Ok(Some(status)) = self.xen.domain(domain).status() {
                self.tally
                    .count(&format!("seen {}", state_name(&status)), &Ok(()));
            }
        }
        // A port that was notified is armed again.
        self.channels.take_pending()?;
        Ok(())
    }
}

fn state_name(status: &Status) -> String {
    format!("{} {}", status.mode.name(), status.state.name())
}

fn calls(seed: u64, calls: u64, spared: Vec<u16>) -> Result<bool, Box<dyn Error>> {
    let (xen, probe) = (Xen::open()?, Probe::open()?);
    let channels = EventChannels::open()?;
    let port = channels.bind_unbound()?;
    let mut fuzzer = Fuzzer {
        xen,
        probe,
        random: Random::new(seed),
        tally: Tally::default(),
        channels,
        port,
        domains: Vec::new(),
        spared,
        kept: Vec::new(),
    };
    for call in 0..calls {
        if call % LOOK_EVERY == 0 {
            fuzzer.look()?;
        }
        match fuzzer.random.below(20) {
            0..=11 => fuzzer.op(),
            12..=18 => fuzzer.acquire(),
            _ => fuzzer.map(),
        }
    }
    fuzzer.tally.print();
    println!(
        "calls: {calls} of seed {seed}, {} with an error that cannot be",
        fuzzer.tally.strange
    );
    Ok(fuzzer.tally.strange == 0)
}

/// Offset of a write: an index, another field of the header, or anywhere.
fn offset(random: &mut Random) -> usize {
    let at = match random.below(6) {
        0 | 1 => log_format::ring::PROD_OFFSET as u64 + random.below(8),
        2 | 3 => log_format::ring::CONS_OFFSET as u64 + random.below(8),
        4 => random.below(log_format::ring::PAGE_BYTES as u64),
        _ => random.word() >> 20,
    };
    usize::try_from(at).unwrap_or(0)
}

/// Maps a domain's whole ring: its size is that of the header while that is still sane, a page more
/// than the data area.
fn whole_ring(xen: &Xen, probe: &Probe, domid: u16) -> Result<Pages, Box<dyn Error>> {
    let page_bytes = log_format::ring::PAGE_BYTES as u64;
    let frames = 1 + xen.domain(domid).ring()?.size_bytes() / page_bytes;
    Ok(probe.map(domid, 0, 0, frames)?)
}

fn hold(domid: u16) -> Result<bool, Box<dyn Error>> {
    let (xen, probe) = (Xen::open()?, Probe::open()?);
    let _pages = (whole_ring(&xen, &probe, domid)?, probe.hold(domid)?);
    println!("hold: domain {domid}");
    loop {
        std::thread::park();
    }
}

fn ring(seed: u64, domid: u16, writes: u64) -> Result<bool, Box<dyn Error>> {
    let (xen, probe) = (Xen::open()?, Probe::open()?);
    let mut random = Random::new(seed);
    let pages = whole_ring(&xen, &probe, domid)?;
    let mut written = 0;
    let mut state = "gone".to_owned();
    while written < writes {
        match xen.domain(domid).status() {
            Ok(Some(status)) => {
                state = state_name(&status);
                if status.is_final() {
                    break;
                }
            }
            _ => break,
        }
        // Often one, so that Xen meets each by itself; sometimes a burst.
        for _ in 0..if random.one_in(4) { 40 } else { 1 } {
            let (at, value) = (offset(&mut random), random.odd());
            for (index, byte) in value.to_le_bytes().into_iter().enumerate() {
                pages.poke(at + index, byte);
                if random.one_in(4) {
                    break;
                }
            }
            written += 1;
        }
        // Have it look, and have a replay that is paused go on; either may be refused.
        let _ = (xen.domain(domid).kick(), xen.domain(domid).until(u64::MAX));
        std::thread::sleep(Duration::from_micros(random.below(3000)));
    }
    println!("ring: {written} writes of seed {seed}, {state}");
    Ok(true)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let fine = match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["calls", seed, count, spared @ ..] => {
            let spared = spared
                .iter()
                .map(|id| id.parse())
                .collect::<Result<_, _>>()?;
            calls(seed.parse()?, count.parse()?, spared)?
        }
        ["ring", seed, domid, writes] => ring(seed.parse()?, domid.parse()?, writes.parse()?)?,
        ["hold", domid] => hold(domid.parse()?)?,
        _ => {
            return Err(
                "usage: fuzz_reader calls SEED CALLS [SPARED…] | ring SEED DOMID WRITES | hold DOMID"
                    .into(),
            );
        }
    };
    std::process::exit(i32::from(!fine));
}
