//! `LOG.places`: how many hits it took to find the places of forced commits, kept beside the log.
//!
//! Finding a place means to stop the guest each time it comes to an address, and to compare its state
//! with the log's. A replay that knows how many of these hits come before counts them instead, and
//! compares from there on. What the file says is a lower bound, since a hit may have been counted
//! twice, so that no place is passed by. A file that is wrong all the same can only have Xen miss a
//! place: then it is removed, and the log is replayed without it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use log_format::file::Header;
use serde_json::{Value as Json, json};

use crate::output::Output;
use crate::recorder::facts::sha256;
use crate::show::address;

/// What stands behind the log's name.
const ENDING: &str = ".places";
const VERSION: u64 = 1;
/// No log has so many places that their file is larger.
const MAX_BYTES: u64 = 1 << 26;

/// The places of a log: the digest of the registers at each, by the sync number before it.
pub type InLog = BTreeMap<u64, u64>;
/// Hits, by the sync number before the place.
pub type Hits = BTreeMap<u64, u64>;

/// The file, and what it says that fits the log.
#[derive(Debug)]
pub struct Places {
    path: PathBuf,
    /// Which log it is of.
    log: String,
    in_log: InLog,
    /// What earlier replays found.
    pub known: Hits,
}

impl Places {
    /// Reads the file beside `log`, if it is there. One that cannot be used is not, with a warning.
    pub fn open(log: &Path, header: &Header, in_log: &InLog, output: Output) -> Self {
        let mut path = log.as_os_str().to_owned();
        path.push(ENDING);
        let mut places = Self {
            path: path.into(),
            log: sha256(&serde_json::to_vec(header).unwrap_or_default()),
            in_log: in_log.clone(),
            known: Hits::new(),
        };
        match places.read() {
            Ok(known) => places.known = known,
            Err(reason) => output.warn(&format!(
                "{} is not used: {reason}; every hit is compared",
                places.path.display()
            )),
        }
        places
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<Hits, String> {
        let mut text = Vec::new();
        match fs::File::open(&self.path) {
            Ok(file) => file.take(MAX_BYTES).read_to_end(&mut text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Hits::new()),
            Err(e) => Err(e),
        }
        .map_err(|e| e.to_string())?;
        let file: Json = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        if file.get("version").and_then(Json::as_u64) != Some(VERSION) {
            return Err("its version is not known".to_owned());
        }
        if file.get("log").and_then(Json::as_str) != Some(&self.log) {
            return Err("it belongs to another log".to_owned());
        }
        let places = file.get("places").unwrap_or(&Json::Null);
        if file.get("seal").and_then(Json::as_str) != Some(&self.seal(places)) {
            return Err("it is damaged".to_owned());
        }
        let entries = places.as_array().ok_or("it has no list of places")?;
        Ok(entries
            .iter()
            .filter_map(|entry| self.entry(entry))
            .collect())
    }

    /// Finds accidents, not forgery.
    fn seal(&self, places: &Json) -> String {
        sha256(format!("{}{places}", self.log).as_bytes())
    }

    /// The entry of a place that the log has.
    fn entry(&self, entry: &Json) -> Option<(u64, u64)> {
        let sync = entry.get("sync")?.as_u64()?;
        let hits = entry.get("hits")?.as_u64()?;
        let registers = entry.get("registers")?;
        (address(*self.in_log.get(&sync)?) == *registers).then_some((sync, hits))
    }

    /// Writes the file anew if more is known now. One that cannot be written is no more than a warning.
    pub fn keep(&self, found: &Hits, output: Output) {
        let mut all = self.known.clone();
        all.extend(found.iter().map(|(&sync, &hits)| (sync, hits)));
        if all == self.known {
            return;
        }
        let places = all.iter().filter_map(|(sync, hits)| {
            let registers = address(*self.in_log.get(sync)?);
            Some(json!({ "sync": sync, "registers": registers, "hits": hits }))
        });
        let places = Json::Array(places.collect());
        let file = json!({
            "version": VERSION,
            "log": self.log,
            "seal": self.seal(&places),
            "places": places,
        });
        if let Err(e) = self.write(&format!("{file}\n")) {
            output.warn(&format!(
                "cannot write {}: {e}; the next replay compares every hit",
                self.path.display()
            ));
        }
    }

    /// There is one whole file at any time. Only root may read it, as the log.
    fn write(&self, text: &str) -> io::Result<()> {
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?
            .write_all(text.as_bytes())?;
        fs::rename(&new, &self.path)
    }

    /// It was wrong: it goes, and nothing is known.
    pub fn forget(&mut self, output: Output) {
        self.known.clear();
        output.warn(&format!(
            "this may be because of {}: it is removed, and the log replayed again without it",
            self.path.display()
        ));
        if let Err(e) = fs::remove_file(&self.path) {
            output.warn(&format!("cannot remove {}: {e}", self.path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Output = Output {
        json: false,
        quiet: true,
    };

    fn in_log() -> InLog {
        [(5, 0xabc), (9, 0xdef)].into()
    }

    fn header(name: &str) -> Header {
        let mut header = Header::default();
        header.domain.name = name.to_owned();
        header
    }

    fn known(log: &Path, name: &str, in_log: &InLog) -> Hits {
        Places::open(log, &header(name), in_log, QUIET).known
    }

    #[test]
    fn what_was_found_is_known_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("l.xlr");
        let places = Places::open(&log, &header("a"), &in_log(), QUIET);
        assert!(places.known.is_empty());
        places.keep(&[(5, 1000)].into(), QUIET);
        assert!(dir.path().join("l.xlr.places").exists());
        assert!(!dir.path().join("l.xlr.places.new").exists());
        let places = Places::open(&log, &header("a"), &in_log(), QUIET);
        assert_eq!(places.known, [(5, 1000)].into());
        // What is found anew wins, and what is not stays.
        places.keep(&[(9, 70)].into(), QUIET);
        assert_eq!(known(&log, "a", &in_log()), [(5, 1000), (9, 70)].into());
    }

    #[test]
    fn the_file_of_another_log_or_place_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("l.xlr");
        let places = Places::open(&log, &header("a"), &in_log(), QUIET);
        places.keep(&[(5, 1000), (9, 70)].into(), QUIET);
        assert!(known(&log, "b", &in_log()).is_empty());
        // One place of the log is another one now, one is no more.
        assert!(known(&log, "a", &[(5, 0xabd)].into()).is_empty());
        assert_eq!(known(&log, "a", &in_log()).len(), 2);
    }

    #[test]
    fn what_is_no_such_file_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("l.xlr");
        for text in ["", "{", "{}", "[1]", "{\"version\":2}", "\u{0}\u{1}"] {
            fs::write(dir.path().join("l.xlr.places"), text).unwrap();
            assert!(known(&log, "a", &in_log()).is_empty(), "{text}");
        }
        let places = Places::open(&log, &header("a"), &in_log(), QUIET);
        let odd = json!([
            { "sync": -5, "registers": "0xabc", "hits": 3 },
            { "sync": 5, "registers": "abc", "hits": 3 },
            { "sync": 5, "registers": address(0xabc) },
            7,
            { "sync": 9, "registers": address(0xdef), "hits": u64::MAX },
        ]);
        let write = |seal: &str| {
            let file = json!({ "version": 1, "log": places.log, "seal": seal, "places": odd });
            fs::write(places.path(), file.to_string()).unwrap();
            known(&log, "a", &in_log())
        };
        assert_eq!(write(&places.seal(&odd)), [(9, u64::MAX)].into());
        assert!(write(&places.seal(&json!([]))).is_empty());
    }

    #[test]
    fn a_file_that_was_wrong_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("l.xlr");
        let mut places = Places::open(&log, &header("a"), &in_log(), QUIET);
        places.keep(&[(5, 1000)].into(), QUIET);
        places.forget(QUIET);
        assert!(places.known.is_empty() && !places.path().exists());
    }
}
