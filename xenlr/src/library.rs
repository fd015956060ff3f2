//! The logs in a directory.

use std::fs;
use std::path::{Path, PathBuf};

use log_format::file::{Header, LogReader};

use crate::cli::{self, log_dir};
use crate::error::Error;
use crate::output::Output;

/// A log file whose header can be read.
#[derive(Debug)]
pub struct LogFile {
    /// The file.
    pub path: PathBuf,
    /// Its header.
    pub header: Header,
}

/// The logs in a directory, the latest first, and the files that look like logs and are none.
pub fn logs(dir: &Path) -> Result<(Vec<LogFile>, Vec<Error>), Error> {
    let failed = |e| Error::io(format!("read {}", dir.display()), e);
    let (mut logs, mut bad) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|ending| ending != "xlr") {
            continue;
        }
        match LogReader::open(&path) {
            Ok(reader) => logs.push(LogFile {
                header: reader.header().clone(),
                path,
            }),
            Err(e) => bad.push(e.into()),
        }
    }
    logs.sort_by(|a, b| {
        let key = |log: &LogFile| (log.header.started_unix_ns, log.path.clone());
        key(b).cmp(&key(a))
    });
    Ok((logs, bad))
}

impl cli::Log {
    /// The file that was named, or else the latest log.
    pub fn file(&self, output: Output) -> Result<PathBuf, Error> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let dir = log_dir();
        let (logs, _) = logs(&dir)?;
        let latest = logs.into_iter().next().ok_or_else(|| {
            Error::Usage(format!(
                "there is no log in {}: name the file",
                dir.display()
            ))
        })?;
        output.note(&format!("the latest log is {}", latest.path.display()));
        Ok(latest.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_format::file::LogWriter;

    #[test]
    fn the_latest_comes_first_and_what_is_no_log_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (name, started_unix_ns) in [("a.xlr", 5), ("b.xlr", 7), ("c.xlr", 6)] {
            let header = Header {
                started_unix_ns,
                ..Header::default()
            };
            LogWriter::create(dir.path().join(name), &header, &[]).unwrap();
        }
        fs::write(dir.path().join("d.xlr"), b"no log").unwrap();
        fs::write(dir.path().join("notes"), b"").unwrap();
        let (logs, bad) = logs(dir.path()).unwrap();
        let starts: Vec<u64> = logs.iter().map(|log| log.header.started_unix_ns).collect();
        assert_eq!(starts, [7, 6, 5]);
        assert_eq!(bad.len(), 1);
        assert!(bad[0].to_string().contains("d.xlr"), "{}", bad[0]);
    }
}
