//! `--record`: a log of the replayed run, in the same format.
//!
//! Xen answers the replayed guest with the records of the log and checks each against what the
//! guest does, so what the guest consumed is known by its number of records. The end record is not
//! copied: it is made from the state that this run ended in.

use std::fs;
use std::path::{Path, PathBuf};

use log_format::file::{Closing, LogWriter};
use log_format::{Decoder, Encoder, End, EndReason, Item, MAX_RECORD_BYTES, Record};
use rustix::io::Errno;

use super::build::Built;
use super::plan::Plan;
use super::run::{Ending, Outcome};
use crate::error::Error;
use crate::logfile;
use crate::xen::Status;

/// Wire bytes that are collected before they are written.
const BATCH_BYTES: usize = 1 << 18;

/// Refuses a file that is there, before anything is done for it.
pub fn check_free(path: &Path) -> Result<(), Error> {
    // A link that leads nowhere is in the way as well.
    match path.symlink_metadata() {
        Ok(_) => Err(Error::io(
            format!(
                "create {} (name another file with --record)",
                path.display()
            ),
            Errno::EXIST.into(),
        )),
        Err(_) => Ok(()),
    }
}

/// The log of the replayed run. Its file is there before the guest runs, so that one that cannot be
/// written is no surprise at the end, and goes when the replay comes to nothing.
pub struct OwnLog {
    path: PathBuf,
    /// `None` once the log is being written.
    writer: Option<LogWriter>,
}

impl Drop for OwnLog {
    fn drop(&mut self) {
        if self.writer.is_some() {
            // An error on the way is being reported already.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl OwnLog {
    /// Creates the file, with its header.
    pub fn create(path: &Path, plan: &Plan, built: &Built) -> Result<Self, Error> {
        let mut header = plan.header.clone();
        header.domain.domid = u32::from(built.domid);
        header.domain.name = built.name.clone();
        header.kernel.inline = false;
        if let Some(ramdisk) = &mut header.ramdisk {
            ramdisk.inline = false;
        }
        let source = plan.file.display().to_string();
        header.extra.insert("replay_of".to_owned(), source.into());
        Ok(Self {
            path: path.to_owned(),
            writer: Some(LogWriter::create(path, &header, &[])?),
        })
    }

    /// Writes the records of a replay that has ended.
    pub fn write(mut self, plan: &Plan, ending: &Ending) -> Result<(), Error> {
        match self.writer.take() {
            Some(writer) => write(writer, plan, ending),
            None => Ok(()),
        }
    }
}

fn write(mut writer: LogWriter, plan: &Plan, ending: &Ending) -> Result<(), Error> {
    let mut reader = logfile::open(&plan.file)?;
    let mut decoder = Decoder::new();
    let mut encoder = Encoder::new();
    let mut batch = Vec::with_capacity(BATCH_BYTES + MAX_RECORD_BYTES);
    let mut left = ending.status.raw.records;
    'log: while let Some(chunk) = reader.next_chunk()? {
        let mut rest = chunk.wire;
        while let Ok((length, item)) = decoder.decode(rest) {
            if left == 0 {
                break 'log;
            }
            left -= 1;
            let mut out = [0; MAX_RECORD_BYTES];
            let used = encoder.encode(&own(item, ending), &mut out);
            batch.extend_from_slice(out.get(..used).unwrap_or_default());
            if batch.len() >= BATCH_BYTES {
                writer.append(&batch)?;
                batch.clear();
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    if !batch.is_empty() {
        writer.append(&batch)?;
    }
    let closing = if writer.is_ended() {
        Closing::Ended
    } else {
        Closing::Abandoned
    };
    writer.finish(closing)?;
    Ok(())
}

/// The record of this run in the place of the recorded one.
fn own<'a>(item: Item<'a>, ending: &Ending) -> Item<'a> {
    match item.record {
        Record::End(recorded) if ending.outcome == Outcome::Equal => Item {
            record: Record::End(end_of(&ending.status, recorded)),
            ..item
        },
        _ => item,
    }
}

fn end_of(status: &Status, recorded: End) -> End {
    let raw = &status.raw;
    End {
        reason: u8::try_from(raw.end_reason)
            .ok()
            .and_then(EndReason::from_number)
            .unwrap_or(recorded.reason),
        code: raw.end_code,
        rip: raw.end_rip,
        registers: raw.end_registers,
        memory: raw.end_memory,
        pages: raw.end_pages,
    }
}
