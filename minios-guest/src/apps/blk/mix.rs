//! A seeded mix of requests to a block device, what came back digested and compared with what was written.
//!
//! Which requests are made depends on the seed and on what the device offers, not on when answers come. Requests that
//! touch the same sectors do not overlap in time, unless both read.

use crate::block::{Block, Operation, Response, Segment, DEPTH, PAGE_SECTORS, SECTOR_BYTES, SEGMENTS};
use crate::clock::{self, SECOND};
use crate::grants::{self, Access};
use crate::memory::Page;
use crate::random::Random;
use crate::witness::Digest;
use crate::{event, hypercall};
use core::sync::atomic::{AtomicU64, AtomicU8, Ordering::Relaxed};

/// Sectors that a disk has at least: those of the largest request.
pub const SECTORS_MIN: u64 = SEGMENTS as u64 * PAGE_SECTORS;
/// Sectors that are known one by one.
pub const SECTORS_MAX: u64 = 65_536;
/// Numbers of requests that are remembered until all before them are answered.
const WINDOW: u64 = 256;
const SECTOR_WORDS: usize = SECTOR_BYTES / 8;

/// The memory of the requests in flight.
static BUFFERS: [[Page; SEGMENTS]; DEPTH] = [const { [const { Page::new() }; SEGMENTS] }; DEPTH];
/// With which of its contents each sector was written last; 0: it is not known what it holds.
static VERSIONS: [AtomicU8; SECTORS_MAX as usize] = [const { AtomicU8::new(0) }; SECTORS_MAX as usize];
/// Digests of the answers that came before those to earlier requests.
static ANSWERS: [AtomicU64; WINDOW as usize] = [const { AtomicU64::new(0) }; WINDOW as usize];

/// What a request is about.
#[derive(Clone, Copy)]
struct Wanted {
    operation: Operation,
    sector: u64,
    count: u64,
    /// First and last sector of each page, of so many pages.
    parts: [(u8, u8); SEGMENTS],
    pages: usize,
}

impl Wanted {
    fn is_in_the_way_of(&self, other: &Self) -> bool {
        let apart = self.sector + self.count <= other.sector || other.sector + other.count <= self.sector;
        let both_read = self.operation == Operation::Read && other.operation == Operation::Read;
        !apart && !both_read
    }

    /// Each sector's number, its page and its place there.
    fn places(&self) -> impl Iterator<Item = (u64, usize, usize)> + '_ {
        let parts = self.parts[..self.pages].iter().enumerate();
        let places = parts.flat_map(|(page, (first, last))| (*first..=*last).map(move |at| (page, at)));
        (self.sector..).zip(places).map(|(sector, (page, at))| (sector, page, usize::from(at)))
    }
}

/// A request in flight.
#[derive(Clone, Copy)]
struct Flight {
    id: u64,
    wanted: Wanted,
    grants: [u32; SEGMENTS],
    begin_ns: u64,
}

/// What came of the requests so far.
#[derive(Default)]
pub struct Counts {
    /// Answers.
    pub requests: u64,
    /// By operation.
    pub reads: u64,
    /// By operation.
    pub writes: u64,
    /// By operation.
    pub flushes: u64,
    /// By operation.
    pub discards: u64,
    /// Answers that say that something went wrong.
    pub errors: u64,
    /// Sectors that did not hold what had been written there.
    pub wrong: u64,
    /// Grants that were in use when the answer came.
    pub busy: u64,
    /// The longest time from a request to its answer.
    pub longest_ns: u64,
}

/// The mix.
pub struct Mix {
    random: Random,
    seed: u64,
    sectors: u64,
    depth: usize,
    flights: [Option<Flight>; DEPTH],
    next_id: u64,
    /// All before this one are answered.
    oldest: u64,
    is_answered: [bool; WINDOW as usize],
    /// A timer is set for this time, so that a lost wake-up is a long wait and not an endless one.
    alarm_ns: u64,
    /// Over the answers, in the order in which they came.
    pub by_answer: Digest,
    /// Over the answers, in the order of the requests.
    pub by_request: Digest,
    /// What came of them.
    pub counts: Counts,
}

impl Mix {
    /// For so many sectors, the device's first ones.
    pub fn new(seed: u64, sectors: u64, depth: u64) -> Self {
        let mut mix = Self {
            random: Random::new(seed),
            seed,
            sectors: sectors.min(SECTORS_MAX),
            depth: 1,
            flights: [None; DEPTH],
            next_id: 0,
            oldest: 0,
            is_answered: [false; WINDOW as usize],
            alarm_ns: 0,
            by_answer: Digest::new(),
            by_request: Digest::new(),
            counts: Counts::default(),
        };
        mix.set_depth(depth);
        mix
    }

    /// From now on so many requests may be in flight.
    pub fn set_depth(&mut self, depth: u64) {
        self.depth = depth.clamp(1, DEPTH as u64) as usize;
    }

    /// Requests made so far.
    pub fn made(&self) -> u64 {
        self.next_id
    }

    /// Makes so many requests and waits for all answers. False: the backend leaves, and some may be missing.
    pub fn run(&mut self, block: &mut Block, requests: u64) -> bool {
        let last = self.next_id + requests;
        // Chosen, and something is in the way.
        let mut waiting = None;
        self.alarm_ns = 0;
        loop {
            let since = event::total();
            let now = clock::now();
            while let Some(response) = block.take() {
                self.answered(response, now);
            }
            while self.next_id < last {
                let wanted = waiting.take().unwrap_or_else(|| self.choose(block));
                let Some(place) = self.place_for(&wanted) else {
                    waiting = Some(wanted);
                    break;
                };
                self.make(block, place, wanted, now);
            }
            block.push();
            if self.next_id == last && block.outstanding() == 0 {
                return true;
            }
            if block.look_again() {
                continue;
            }
            if block.is_leaving() {
                return false;
            }
            if self.alarm_ns <= now {
                self.alarm_ns = now + SECOND;
                hypercall::set_timer(self.alarm_ns);
            }
            event::wait_any(since);
        }
    }

    fn choose(&mut self, block: &Block) -> Wanted {
        let random = &mut self.random;
        let operation = match random.below(24) {
            0 if block.flushes => Operation::Flush,
            1 if block.discards => Operation::Discard,
            2..=12 => Operation::Write,
            _ => Operation::Read,
        };
        let mut wanted = Wanted { operation, sector: 0, count: 0, parts: [(0, 0); SEGMENTS], pages: 0 };
        match operation {
            Operation::Flush => return wanted,
            Operation::Discard => wanted.count = 1 + random.below(SECTORS_MIN),
            Operation::Read | Operation::Write => {
                wanted.pages = if random.one_in(2) { 1 } else { 1 + random.below(SEGMENTS as u64) as usize };
                let whole = random.one_in(2);
                for part in &mut wanted.parts[..wanted.pages] {
                    *part = (0, PAGE_SECTORS as u8 - 1);
                    if !whole {
                        part.0 = random.below(PAGE_SECTORS) as u8;
                        part.1 = part.0 + random.below(PAGE_SECTORS - u64::from(part.0)) as u8;
                    }
                    wanted.count += u64::from(part.1 - part.0) + 1;
                }
            }
        }
        wanted.sector = random.below(self.sectors - wanted.count + 1);
        wanted
    }

    /// Where the request's memory is, if it can be made now.
    fn place_for(&self, wanted: &Wanted) -> Option<usize> {
        let is_remembered = self.next_id < self.oldest + WINDOW;
        let in_the_way = |flight: &Flight| flight.wanted.is_in_the_way_of(wanted);
        if !is_remembered || self.flights.iter().flatten().any(in_the_way) {
            return None;
        }
        self.flights[..self.depth].iter().position(Option::is_none)
    }

    fn make(&mut self, block: &mut Block, place: usize, wanted: Wanted, now: u64) {
        let (id, pages) = (self.next_id, &BUFFERS[place]);
        self.next_id += 1;
        // Until the answer comes nobody looks at the sectors.
        let version = if wanted.operation == Operation::Write { (id % 255) as u8 + 1 } else { 0 };
        if wanted.operation != Operation::Read {
            self.note(&wanted, version);
        }
        let access = if wanted.operation == Operation::Write { Access::Read } else { Access::Write };
        if wanted.operation == Operation::Write {
            for (sector, page, at) in wanted.places() {
                let mut content = self.content(sector, version);
                let first = at * SECTOR_WORDS;
                (first..first + SECTOR_WORDS).for_each(|word| pages[page].write(word, content.word()));
            }
        }
        let mut segments = [Segment::NONE; SEGMENTS];
        let mut grants = [0; SEGMENTS];
        for (index, (first, last)) in wanted.parts[..wanted.pages].iter().enumerate() {
            grants[index] = grants::lend(&pages[index], block.domain(), access);
            segments[index] = Segment { grant: grants[index], first: *first, last: *last };
        }
        block.put(wanted.operation, id, wanted.sector, wanted.count, &segments[..wanted.pages]);
        self.flights[place] = Some(Flight { id, wanted, grants, begin_ns: now });
    }

    /// Notes what the sectors hold from now on.
    fn note(&self, wanted: &Wanted, version: u8) {
        for sector in wanted.sector..wanted.sector + wanted.count {
            VERSIONS[sector as usize].store(version, Relaxed);
        }
    }

    /// What a sector holds that was written with this version.
    fn content(&self, sector: u64, version: u8) -> Random {
        Random::new(self.seed ^ sector << 8 ^ u64::from(version))
    }

    fn answered(&mut self, response: Response, now: u64) {
        let is_it = |flight: &Option<Flight>| flight.is_some_and(|flight| flight.id == response.id);
        let Some(place) = self.flights.iter().position(is_it) else {
            panic!("an answer to no request: {}", response.id);
        };
        let Some(flight) = self.flights[place].take() else { return };
        let wanted = &flight.wanted;
        let grants = &flight.grants[..wanted.pages];
        self.counts.busy += grants.iter().filter(|grant| !grants::end(**grant)).count() as u64;

        let answer = Digest::new();
        answer.feed(&response.id.to_le_bytes());
        answer.feed(&[wanted.operation as u8]);
        answer.feed(&response.status.to_le_bytes());
        if response.status != 0 {
            self.counts.errors += 1;
            self.note(wanted, 0);
        } else if wanted.operation == Operation::Read {
            self.look_at(wanted, &BUFFERS[place], &answer);
        }
        let counts = &mut self.counts;
        counts.requests += 1;
        counts.longest_ns = counts.longest_ns.max(now.saturating_sub(flight.begin_ns));
        *match wanted.operation {
            Operation::Read => &mut counts.reads,
            Operation::Write => &mut counts.writes,
            Operation::Flush => &mut counts.flushes,
            Operation::Discard => &mut counts.discards,
        } += 1;

        self.by_answer.feed(&answer.hash().to_le_bytes());
        ANSWERS[(flight.id % WINDOW) as usize].store(answer.hash(), Relaxed);
        self.is_answered[(flight.id % WINDOW) as usize] = true;
        while core::mem::take(&mut self.is_answered[(self.oldest % WINDOW) as usize]) {
            let hash = ANSWERS[(self.oldest % WINDOW) as usize].load(Relaxed);
            self.by_request.feed(&hash.to_le_bytes());
            self.oldest += 1;
        }
    }

    /// Digests what was read, and compares it with what was written.
    fn look_at(&mut self, wanted: &Wanted, pages: &[Page; SEGMENTS], answer: &Digest) {
        for (sector, page, at) in wanted.places() {
            let version = VERSIONS[sector as usize].load(Relaxed);
            let mut content = self.content(sector, version);
            let mut is_right = true;
            for word in at * SECTOR_WORDS..(at + 1) * SECTOR_WORDS {
                let value = pages[page].read(word);
                answer.feed(&value.to_le_bytes());
                is_right &= version == 0 || value == content.word();
            }
            self.counts.wrong += u64::from(!is_right);
        }
    }
}
