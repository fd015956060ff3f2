//! A log file as the place where records go.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use log_format::file::{Closing, LogWriter, Trailer};

use super::drain::Sink;
use crate::error::Error;

/// A log file that is being written, and what is known to be on the disk of it.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    /// `None` after a failure, until the file could be opened again.
    writer: Option<LogWriter>,
    /// Wire bytes and file bytes that are durable.
    durable_wire: u64,
    durable_file: u64,
    /// Records and sync points of a file that was finished.
    finished: (u64, u64),
}

impl FileSink {
    /// Takes over a writer whose file is durable as it stands.
    pub fn new(writer: LogWriter) -> Self {
        Self {
            path: writer.path().to_owned(),
            durable_wire: writer.wire_offset(),
            durable_file: writer.file_bytes(),
            writer: Some(writer),
            finished: (0, 0),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records in the file.
    pub fn records(&self) -> u64 {
        self.writer
            .as_ref()
            .map_or(self.finished.0, LogWriter::records)
    }

    /// The sync point that the guest had reached with the last record in the file.
    pub fn sync_points(&self) -> u64 {
        self.writer
            .as_ref()
            .map_or(self.finished.1, LogWriter::sync_points)
    }

    /// Whether the end record is in the file.
    pub fn is_ended(&self) -> bool {
        self.writer.as_ref().is_some_and(LogWriter::is_ended)
    }

    /// Writes the trailer. After an error it may be tried again.
    pub fn finish(&mut self, closing: Closing) -> Result<Trailer, Error> {
        self.open()?;
        let Some(writer) = self.writer.take() else {
            return Err(Error::Refused(format!(
                "{} was finished already",
                self.path.display()
            )));
        };
        self.finished = (writer.records(), writer.sync_points());
        writer.finish(closing).map_err(|e| {
            self.go_back();
            Error::from(e)
        })
    }

    /// Forgets what is not known to be on the disk. A failed `fdatasync` must not be repeated:
    /// Linux may have dropped the pages and would report success for nothing. Cutting the file
    /// and writing it again makes new pages.
    fn go_back(&mut self) {
        self.writer = None;
        let cut = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .and_then(|file| file.set_len(self.durable_file));
        if cut.is_ok() {
            // What fails here is tried again, and then reported, by the next use.
            let _ = self.open();
        }
    }

    /// Opens the file again after a failure.
    fn open(&mut self) -> Result<&mut LogWriter, Error> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let (writer, recovery) = LogWriter::reopen(&self.path)?;
                if recovery.wire_offset < self.durable_wire {
                    return Err(Error::UnusableLog {
                        file: self.path.clone(),
                        reason: format!(
                            "it holds {} bytes of the log and {} were durable: something else \
                             changed it",
                            recovery.wire_offset, self.durable_wire
                        ),
                    });
                }
                writer
            }
        };
        Ok(self.writer.insert(writer))
    }
}

impl Sink for FileSink {
    fn offset(&self) -> u64 {
        self.writer
            .as_ref()
            .map_or(self.durable_wire, LogWriter::wire_offset)
    }

    fn append(&mut self, wire: &[u8]) -> Result<(), Error> {
        let had_writer = self.writer.is_some();
        let expected = self.offset();
        let writer = self.open()?;
        if !had_writer && writer.wire_offset() != expected {
            // The file could not be cut when it failed and holds more than is durable: start
            // over from what it says now.
            return Err(Error::io(
                format!("continue {}", self.path.display()),
                std::io::ErrorKind::Interrupted.into(),
            ));
        }
        writer.append(wire)?;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        let writer = self.open()?;
        match writer.sync() {
            Ok(()) => {
                let (wire, file) = (writer.wire_offset(), writer.file_bytes());
                self.durable_wire = wire;
                self.durable_file = file;
                Ok(())
            }
            Err(e) => {
                self.go_back();
                Err(e.into())
            }
        }
    }
}
