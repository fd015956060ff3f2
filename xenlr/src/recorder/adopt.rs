//! Which file a log belongs to.
//!
//! A log has one file. Its header names the run of the guest by UUID, domain number and the boot
//! of dom0, so that a reader that starts anew finds the file of the one before it; and what both
//! the file and the ring still hold must be the same bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use log_format::file::{Header, Integrity, LogReader, LogWriter};

use super::facts::boot_id;
use crate::domains::NamedDomain;
use crate::error::Error;
use crate::logfile::{self, Reader};
use crate::ringio::{RingMemory, indices};
use crate::show::Utc;

/// Where a recording is to be written.
#[derive(Clone, Debug)]
pub enum Target {
    /// A directory in which files are named after domain and time.
    Directory(PathBuf),
    /// This file.
    File(PathBuf),
}

/// What was found for a log.
#[derive(Debug)]
pub enum Adopted {
    /// The unfinished file of this log.
    Continue(Box<LogWriter>),
    /// The finished file of this log.
    Finished(PathBuf),
    /// Nothing was read of this log yet, and it has no file.
    New,
}

/// Finds the file of a domain's log and checks that it continues what the ring holds.
pub fn adopt(
    target: &Target,
    domain: &NamedDomain,
    ring: &impl RingMemory,
) -> Result<Adopted, Error> {
    let (prod, cons) = indices(ring).map_err(|e| Error::Refused(e.to_string()))?;
    let found = match target {
        Target::Directory(dir) => search(dir, domain)?,
        Target::File(path) => named(path, domain)?,
    };
    let Some(path) = found else {
        return match cons {
            0 => Ok(Adopted::New),
            _ => Err(Error::Refused(format!(
                "the log of domain \"{}\" was read up to byte {cons} into a file that is not {}: \
                 continue that file with xenlr extract -o FILE",
                domain.name,
                match target {
                    Target::Directory(dir) => format!("in {}", dir.display()),
                    Target::File(path) => path.display().to_string(),
                }
            ))),
        };
    };
    let mut reader = logfile::open(&path)?;
    let tail = wire_from(&mut reader, cons)?;
    let file = reader.wire_offset();
    if reader.integrity() == Integrity::Complete {
        return Ok(Adopted::Finished(path));
    }
    if file == 0 && cons == 0 {
        // Its writer died before the first chunk, perhaps within the images: begin anew.
        drop(reader);
        fs::remove_file(&path).map_err(|e| Error::io(format!("remove {}", path.display()), e))?;
        return Ok(Adopted::New);
    }
    let (writer, recovery) = LogWriter::reopen(&path)?;
    let file = file.min(recovery.wire_offset);
    if file < cons || file > prod || !is_in_ring(ring, cons, &tail) {
        return Err(Error::Refused(format!(
            "{} ends at byte {file} of its log and the ring of domain \"{}\" holds bytes {cons} \
             to {prod}{}: move the file away, and read the domain into the file that has the log \
             up to byte {cons}",
            path.display(),
            domain.name,
            if file >= cons && file <= prod {
                " of another log"
            } else {
                ""
            }
        )));
    }
    Ok(Adopted::Continue(Box::new(writer)))
}

/// The newest file in a directory that belongs to this run of the domain.
fn search(dir: &Path, domain: &NamedDomain) -> Result<Option<PathBuf>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| Error::io(format!("read {}", dir.display()), e))?,
    };
    let uuid = domain.info.uuid.to_string();
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.ends_with(".xlr") || !name.contains(&uuid) {
            continue;
        }
        // A file whose header cannot be read is no file of ours to continue.
        let Ok(reader) = LogReader::open(entry.path()) else {
            continue;
        };
        let started = reader.header().started_unix_ns;
        if is_of(reader.header(), domain) && newest.as_ref().is_none_or(|(t, _)| *t < started) {
            newest = Some((started, entry.path()));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// The file that the user named, if it is there.
fn named(path: &Path, domain: &NamedDomain) -> Result<Option<PathBuf>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    let reader = logfile::open(path)?;
    if !is_of(reader.header(), domain) {
        return Err(Error::Refused(format!(
            "{} holds another log, of domain \"{}\" ({}, number {}): name another file",
            path.display(),
            reader.header().domain.name,
            reader.header().domain.uuid,
            reader.header().domain.domid
        )));
    }
    Ok(Some(path.to_owned()))
}

fn is_of(header: &Header, domain: &NamedDomain) -> bool {
    header.domain.uuid == domain.info.uuid.to_string()
        && header.domain.domid == u32::from(domain.info.domid)
        && header.extra.get("boot_id").and_then(|id| id.as_str()) == Some(&boot_id())
}

/// Reads a file to its end and returns its wire bytes from an offset on.
fn wire_from(reader: &mut Reader, offset: u64) -> Result<Vec<u8>, Error> {
    let mut tail = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        let skip = usize::try_from(offset.saturating_sub(chunk.wire_offset)).unwrap_or(usize::MAX);
        tail.extend_from_slice(chunk.wire.get(skip..).unwrap_or_default());
    }
    Ok(tail)
}

fn is_in_ring(ring: &impl RingMemory, cons: u64, tail: &[u8]) -> bool {
    if tail.len() as u64 > ring.size_bytes() {
        return false;
    }
    let mut held = vec![0; tail.len()];
    ring.read(cons, &mut held);
    held == tail
}

/// `NAME-UUID-START.xlr`, with only harmless characters of the name.
pub fn file_name(header: &Header) -> String {
    let name: String = header
        .domain
        .name
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '_',
        })
        .collect();
    let name = name.trim_start_matches('.');
    format!(
        "{name}-{}-{}.xlr",
        header.domain.uuid,
        utc(header.started_unix_ns / 1_000_000_000)
    )
}

/// `20080928T120000Z` for seconds of the epoch.
fn utc(seconds: u64) -> String {
    let Utc {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = Utc::of(seconds);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::drain::drain;
    use crate::recorder::sink::FileSink;
    use crate::ringio::fake::FakeRing;
    use crate::xen::{DomainInfo, Uuid};
    use log_format::file::Domain;
    use log_format::{Encoder, Item, MAX_RECORD_BYTES, Record, Tsc};

    fn domain() -> NamedDomain {
        let info = DomainInfo {
            domid: 5,
            uuid: Uuid([7; 16]),
            dying: false,
            shutdown: false,
            paused: false,
            pages: 1,
        };
        NamedDomain {
            info,
            name: "g".into(),
        }
    }

    fn header() -> Header {
        Header {
            domain: Domain {
                name: "g/x".into(),
                uuid: Uuid([7; 16]).to_string(),
                domid: 5,
                memory_kib: 1,
            },
            extra: [("boot_id".to_owned(), boot_id().into())].into(),
            ..Header::default()
        }
    }

    /// A stream of records and the place behind each.
    fn records(count: u64) -> Vec<u8> {
        let mut encoder = Encoder::new();
        let mut wire = Vec::new();
        for sync in 1..=count {
            let item = Item {
                sync,
                witness: 0,
                record: Record::Tsc(Tsc { value: sync * 999 }),
            };
            let mut out = [0; MAX_RECORD_BYTES];
            let length = encoder.encode(&item, &mut out);
            wire.extend_from_slice(&out[..length]);
        }
        wire
    }

    #[test]
    fn a_reader_that_starts_anew_continues_the_file_without_loss_or_repetition() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::Directory(dir.path().to_owned());
        let ring = FakeRing::new(4096);
        assert!(matches!(adopt(&target, &domain(), &ring), Ok(Adopted::New)));
        let path = dir.path().join(file_name(&header()));
        let mut sink = FileSink::new(LogWriter::create(&path, &header(), &[]).unwrap());
        let all = records(300);
        let half = records(150).len();
        assert!(ring.produce(&all[..half]));
        drain(&ring, &mut sink).unwrap();
        drop(sink);
        // As if killed between the sync and the move of cons.
        ring.set_cons(0);
        assert!(ring.produce(&all[half..]));
        let Ok(Adopted::Continue(writer)) = adopt(&target, &domain(), &ring) else {
            panic!("the file is not continued");
        };
        drain(&ring, &mut FileSink::new(*writer)).unwrap();
        let mut reader = logfile::open(&path).unwrap();
        assert_eq!(wire_from(&mut reader, 0).unwrap(), all);
    }

    #[test]
    fn the_file_of_another_log_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::Directory(dir.path().to_owned());
        let path = dir.path().join(file_name(&header()));
        let mut writer = LogWriter::create(&path, &header(), &[]).unwrap();
        writer.append(&records(20)).unwrap();
        writer.sync().unwrap();
        let ring = FakeRing::new(4096);
        // Behind the file, other bytes than the file's, and nothing of the file left.
        for (bytes, cons) in [(0, 0), (60, 0), (600, 500)] {
            assert!(ring.produce(&vec![0xee; bytes]));
            ring.set_cons(cons);
            let result = adopt(&target, &domain(), &ring);
            assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
        }
        let elsewhere = Target::File(dir.path().join("other.xlr"));
        let result = adopt(&elsewhere, &domain(), &ring);
        assert!(result.unwrap_err().to_string().contains("byte 500"));
    }

    #[test]
    fn names_are_harmless_and_dated() {
        let mut header = header();
        header.started_unix_ns = 1_222_603_200_000_000_000;
        assert_eq!(
            file_name(&header),
            "g_x-07070707-0707-0707-0707-070707070707-20080928T120000Z.xlr"
        );
        assert_eq!(utc(951_782_400), "20000229T000000Z");
        assert_eq!(utc(1_798_761_599), "20261231T235959Z");
    }
}
