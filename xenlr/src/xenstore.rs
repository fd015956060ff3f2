//! A small xenstore client over xenstored's socket: reading, and watching for domains.
//!
//! The protocol is `xen/include/public/io/xs_wire.h`: four little words, then the payload.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::poll;

const READ: u32 = 2;
const WATCH: u32 = 4;
const WATCH_EVENT: u32 = 15;
const ERROR: u32 = 16;

/// xenstored's limit for one payload.
const MAX_PAYLOAD_BYTES: usize = 4096;

/// The places that xenstored's socket has had.
const SOCKETS: [&str; 2] = ["/run/xenstored/socket", "/var/run/xenstored/socket"];

/// A connection to xenstored.
pub struct Xenstore {
    stream: UnixStream,
    next_request: u32,
    events: VecDeque<String>,
}

impl Xenstore {
    /// Connects to xenstored of this domain.
    pub fn connect() -> io::Result<Self> {
        let mut last = io::ErrorKind::NotFound.into();
        for path in SOCKETS {
            match UnixStream::connect(path) {
                Ok(stream) => return Self::over(stream),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn over(stream: UnixStream) -> io::Result<Self> {
        // An xenstored that hangs must not hold up the draining of rings for long.
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self {
            stream,
            next_request: 1,
            events: VecDeque::new(),
        })
    }

    /// The value of a node; `None` when there is no such node.
    pub fn read(&mut self, path: &str) -> io::Result<Option<String>> {
        match self.request(READ, &[path])? {
            Ok(value) => Ok(Some(value)),
            Err(error) if error == "ENOENT" => Ok(None),
            Err(error) => Err(io::Error::other(format!(
                "xenstored refuses to read {path}: {error}"
            ))),
        }
    }

    /// Asks for events of a path, such as `@introduceDomain`.
    pub fn watch(&mut self, path: &str) -> io::Result<()> {
        self.request(WATCH, &[path, path])?
            .map(drop)
            .map_err(|error| {
                io::Error::other(format!("xenstored refuses to watch {path}: {error}"))
            })
    }

    /// Whether something watched has happened since the last call. Does not block when
    /// [`Self::as_fd`] is not readable.
    pub fn take_events(&mut self) -> io::Result<bool> {
        let mut any = !self.events.is_empty();
        self.events.clear();
        while poll::readable(&self.stream)? {
            let (kind, _, payload) = self.message()?;
            any |= kind == WATCH_EVENT && !payload.is_empty();
        }
        Ok(any)
    }

    /// One request and its answer; an error of xenstored is the inner `Err`.
    fn request(&mut self, kind: u32, words: &[&str]) -> io::Result<Result<String, String>> {
        let id = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        let mut payload = Vec::new();
        for word in words {
            payload.extend_from_slice(word.as_bytes());
            payload.push(0);
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(16 + payload.len());
        for word in [kind, id, 0, length] {
            message.extend_from_slice(&word.to_le_bytes());
        }
        message.extend_from_slice(&payload);
        self.stream.write_all(&message)?;
        loop {
            let (answer, answer_id, text) = self.message()?;
            match answer {
                WATCH_EVENT => self.events.push_back(text),
                _ if answer_id != id => {}
                ERROR => return Ok(Err(text.trim_end_matches('\0').to_owned())),
                _ => return Ok(Ok(text)),
            }
        }
    }

    fn message(&mut self) -> io::Result<(u32, u32, String)> {
        let mut header = [0; 16];
        self.stream.read_exact(&mut header)?;
        let word =
            |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
        let length = word(12) as usize;
        if length > MAX_PAYLOAD_BYTES {
            return Err(io::Error::other(format!(
                "xenstored announces {length} bytes, more than its limit of {MAX_PAYLOAD_BYTES}"
            )));
        }
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok((
            word(0),
            word(4),
            String::from_utf8_lossy(&payload).into_owned(),
        ))
    }
}

impl AsFd for Xenstore {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: u32, id: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [kind, id, 0, payload.len() as u32] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn reads_past_watch_events_and_reports_missing_nodes() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut store = Xenstore::over(ours).unwrap();
        theirs
            .write_all(&answer(WATCH_EVENT, 0, b"@introduceDomain\0x\0"))
            .unwrap();
        theirs.write_all(&answer(READ, 1, b"guest")).unwrap();
        theirs.write_all(&answer(ERROR, 2, b"ENOENT\0")).unwrap();
        assert_eq!(
            store.read("/local/domain/1/name").unwrap().as_deref(),
            Some("guest")
        );
        assert_eq!(store.read("/local/domain/2/name").unwrap(), None);
        assert!(store.take_events().unwrap());
        assert!(!store.take_events().unwrap());
        let mut sent = [0; 16];
        theirs.read_exact(&mut sent).unwrap();
        assert_eq!(sent[0], READ as u8);
    }

    #[test]
    fn an_oversized_answer_is_refused() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut store = Xenstore::over(ours).unwrap();
        theirs.write_all(&answer(READ, 1, &[0; 5000])).unwrap();
        assert!(store.read("/x").is_err());
    }
}
