//! Makes a log that is well-formed and wrong: the controls of replay's tests.
//!
//! `alter IN OUT KIND [NTH [BIT]]` flips one bit in the NTH (0) record of KIND (a kind as `dump`
//! names it, or `witness` for the witness of any commit, or `drop` to leave any record out), `alter IN OUT rip NTH ADDRESS` moves a place, and
//! `alter IN OUT header KEY VALUE` changes a number or a text in the header. Prints the sync
//! number of the record. All checksums of OUT are right.

use std::error::Error;
use std::path::Path;

use log_format::file::{Closing, Header, Image, LogReader, LogWriter};
use log_format::{
    Decoder, Encoder, Event, Interrupt, Item, Loan, MAX_RECORD_BYTES, Page, Place, Record, RingIn,
    Start, Tsc, Value, Wallclock,
};

/// Flips a bit of the bytes in a record; a record without bytes has it flipped in `other`.
fn flip_bytes(bytes: &[u8], bit: u32, other: &mut u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let place = (bit / 8) as usize % bytes.len().max(1);
    match bytes.get_mut(place) {
        Some(byte) => *byte ^= 1 << (bit % 8),
        None => *other ^= 1 << (bit % 32),
    }
    bytes
}

/// The item with a bit flipped; `bytes` is where its new bytes live.
fn altered<'a>(item: Item<'_>, bit: u32, bytes: &'a mut Vec<u8>) -> Item<'a> {
    let mask = 1_u64 << (bit % 64);
    let ring = |mut ring: RingIn<'_>, bytes: &'a mut Vec<u8>| {
        let mut cons = ring.cons;
        *bytes = flip_bytes(ring.bytes, bit, &mut cons);
        ring.cons = cons;
        RingIn {
            prod: ring.prod,
            cons: ring.cons,
            bytes: bytes.as_slice(),
            ext: ring.ext,
        }
    };
    let record = match item.record {
        Record::Event(Event { port }) => Record::Event(Event {
            port: port ^ (1 << (bit % 6)),
        }),
        Record::Time(mut time) => {
            time.system_time ^= mask;
            Record::Time(time)
        }
        Record::Wallclock(Wallclock { sec, nsec }) => Record::Wallclock(Wallclock {
            sec: sec ^ mask,
            nsec,
        }),
        Record::Runstate(mut runstate) => {
            runstate.time_ns[0] ^= mask;
            Record::Runstate(runstate)
        }
        Record::ConsoleIn(r) => Record::ConsoleIn(ring(r, bytes)),
        Record::XenstoreIn(r) => Record::XenstoreIn(ring(r, bytes)),
        // The lower half, so that it stays a vector.
        Record::Interrupt(Interrupt { vector }) => Record::Interrupt(Interrupt {
            vector: vector ^ (1 << (bit % 4)),
        }),
        Record::Page(page) => {
            *bytes = flip_bytes(page.bytes, bit, &mut 0);
            Record::Page(Page { bytes, ..page })
        }
        // A frame of a small guest stays one.
        Record::Loan(loan) => Record::Loan(Loan {
            frame: loan.frame ^ (1 << (bit % 12)),
            ..loan
        }),
        Record::Start(Start {
            registers,
            memory,
            pages,
        }) => Record::Start(Start {
            registers,
            memory: memory ^ mask,
            pages,
        }),
        Record::End(mut end) => {
            end.memory ^= mask;
            Record::End(end)
        }
        Record::Tsc(Tsc { value }) => Record::Tsc(Tsc {
            value: value ^ mask,
        }),
        Record::Place(mut place) => {
            *match bit / 64 {
                0 => &mut place.registers,
                1 => &mut place.fpu,
                2 => &mut place.memory,
                _ => &mut place.all_memory,
            } ^= mask;
            Record::Place(place)
        }
        Record::Value(Value { kind, bytes: old }) => {
            *bytes = flip_bytes(old, bit, &mut 0);
            Record::Value(Value { kind, bytes })
        }
    };
    Item {
        sync: item.sync,
        witness: item.witness,
        record,
    }
}

fn set(header: &Header, key: &str, value: &str) -> Result<Header, Box<dyn Error>> {
    let mut json = serde_json::to_value(header)?;
    let object = json.as_object_mut().ok_or("the header is no object")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    object.insert(key.to_owned(), value);
    Ok(serde_json::from_value(json)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, what, rest @ ..] = args.as_slice() else {
        return Err("usage: alter IN OUT KIND [NTH [BIT]] | alter IN OUT header KEY VALUE".into());
    };
    let mut reader = LogReader::open(Path::new(input))?;
    let mut header = reader.header().clone();
    let (mut nth, mut bit, mut rip) = (0_u64, 0_u32, 0_u64);
    if what == "header" {
        let [key, value] = rest else {
            return Err("header: give KEY and VALUE".into());
        };
        header = set(&header, key, value)?;
    } else {
        nth = rest.first().map_or(Ok(0), |n| n.parse())?;
        if what == "rip" {
            let address = rest.get(1).ok_or("rip: give ADDRESS")?;
            rip = u64::from_str_radix(address.trim_start_matches("0x"), 16)?;
        } else {
            bit = rest.get(1).map_or(Ok(0), |n| n.parse())?;
        }
    }
    let mut images = Vec::new();
    for image in [Image::Kernel, Image::Ramdisk] {
        if let Some(bytes) = reader.image(image)? {
            images.push((image, bytes));
        }
    }
    let images: Vec<_> = images.iter().map(|(i, b)| (*i, b.as_slice())).collect();
    let mut writer = LogWriter::create(Path::new(output), &header, &images)?;
    let (mut decoder, mut encoder) = (Decoder::new(), Encoder::new());
    let (mut seen, mut hit, mut last_commit) = (0, None, None);
    while let Some(chunk) = reader.next_chunk()? {
        let mut rest = chunk.wire;
        let mut wire = Vec::new();
        while let Ok((length, item)) = decoder.decode(rest) {
            rest = rest.get(length..).unwrap_or_default();
            let is_meant = match what.as_str() {
                // Commits of one sync point share the first one's witness.
                "witness" => {
                    item.record.is_commit() && last_commit.replace(item.sync) != Some(item.sync)
                }
                "drop" => true,
                "rip" => matches!(item.record, Record::Place(_)),
                kind => kind == item.record.kind_name(),
            };
            seen += u64::from(is_meant);
            let is_it = is_meant && seen == nth + 1;
            let mut bytes = Vec::new();
            let item = match what.as_str() {
                _ if !is_it => item,
                "drop" => {
                    hit = Some(item.reached());
                    continue;
                }
                "witness" => Item {
                    witness: item.witness ^ (1 << (bit % 8)),
                    ..item
                },
                "rip" => match item.record {
                    Record::Place(place) => Item {
                        record: Record::Place(Place { rip, ..place }),
                        ..item
                    },
                    _ => item,
                },
                _ => altered(item, bit, &mut bytes),
            };
            if is_it {
                hit = Some(item.reached());
            }
            let mut out = [0; MAX_RECORD_BYTES];
            let used = encoder.encode(&item, &mut out);
            wire.extend_from_slice(out.get(..used).unwrap_or_default());
        }
        if !wire.is_empty() {
            writer.append(&wire)?;
        }
    }
    writer.sync()?;
    if let Some(trailer) = reader.trailer() {
        let closing: Closing = trailer.closing;
        writer.finish(closing)?;
    }
    match (what.as_str(), hit) {
        ("header", _) => Ok(()),
        (_, Some(sync)) => {
            println!("{sync}");
            Ok(())
        }
        (what, None) => Err(format!("there is no record {nth} of {what}").into()),
    }
}
