//! Finding a device's backend and agreeing with it, through xenstore (`io/xenbus.h`).

use crate::clock::{self, MILLISECOND, SECOND};
use crate::xenstore::{self, Error};
use crate::{cmdline, say};
use core::fmt::{self, Write};

/// `XenbusState`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// There is nothing.
    Unknown = 0,
    /// At first.
    Initialising = 1,
    /// The backend waits for what the front end writes.
    InitWait = 2,
    /// The front end has written it.
    Initialised = 3,
    /// Both may use what was agreed.
    Connected = 4,
    /// No longer.
    Closing = 5,
    /// Nothing is shared any more.
    Closed = 6,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Initialising,
        Self::InitWait,
        Self::Initialised,
        Self::Connected,
        Self::Closing,
        Self::Closed,
    ];
}

/// A short text, such as a path; what is too long is cut off.
#[derive(Clone)]
pub struct Text {
    bytes: [u8; 96],
    length: usize,
}

impl Text {
    /// The formatted text.
    pub fn new(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self { bytes: [0; 96], length: 0 };
        // It never fails.
        let _ = text.write_fmt(arguments);
        text
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let count = room.len().min(text.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        Ok(())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(self.bytes()).unwrap_or("?"))
    }
}

/// A device of this domain, and where its backend is.
pub struct Device {
    /// Path of the front end, relative to this domain's.
    path: Text,
    /// Path of the backend.
    backend: Text,
    /// The backend's domain.
    pub domain: u16,
}

impl Device {
    /// The first device of this kind (`vbd`, `vif`), if there is one.
    pub fn find(kind: &str) -> Option<Self> {
        let mut names = [0; 96];
        let base = Text::new(format_args!("device/{kind}"));
        let length = xenstore::list(base.bytes(), &mut names).ok()?;
        let name = names[..length].split(|byte| *byte == 0).next()?;
        let name = core::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
        let path = Text::new(format_args!("{base}/{name}"));
        let backend = read(&path, "backend")?;
        let domain = number(read(&path, "backend-id")?.bytes())?;
        let device = Self { path, backend, domain: u16::try_from(domain).ok()? };
        // Whether it succeeds does not matter: it may be watched already.
        let _ = xenstore::watch(device.state_of_backend().bytes(), &mut names);
        Some(device)
    }

    fn state_of_backend(&self) -> Text {
        Text::new(format_args!("{}/state", self.backend))
    }

    /// Forgets the device.
    pub fn forget(self) {
        let _ = xenstore::unwatch(self.state_of_backend().bytes(), &mut [0; 16]);
    }

    /// The path of the front end's keys.
    pub fn path(&self) -> &Text {
        &self.path
    }

    /// What stands under a key of the front end's.
    pub fn text(&self, key: &str) -> Option<Text> {
        read(&self.path, key)
    }

    /// A number there.
    pub fn number(&self, key: &str) -> Option<u64> {
        number(self.text(key)?.bytes())
    }

    /// A number under a key of the backend's.
    pub fn offered(&self, key: &str) -> Option<u64> {
        number(read(&self.backend, key)?.bytes())
    }

    /// Writes a key of the front end's.
    pub fn set(&self, key: &str, value: fmt::Arguments<'_>) {
        let path = Text::new(format_args!("{}/{key}", self.path));
        // A front end that may not write to its own folder is told so by the backend, which does not find it.
        let _ = xenstore::write(path.bytes(), Text::new(value).bytes(), &mut [0; 16]);
    }

    /// Says in which state the front end is.
    pub fn enter(&self, state: State) {
        self.set("state", format_args!("{}", state as u8));
    }

    /// The state in which the backend is.
    pub fn backend_state(&self) -> State {
        let state = self.offered("state").unwrap_or(0);
        State::ALL.get(state as usize).copied().unwrap_or(State::Unknown)
    }

    /// Waits until the backend is in one of these states, or there is none; in which it is.
    pub fn wait(&self, wanted: &[State]) -> State {
        loop {
            let state = self.backend_state();
            if state == State::Unknown || wanted.contains(&state) {
                return state;
            }
            xenstore::wait_for_news();
        }
    }

    /// Whether the backend has gone, or wants to; asked when [`xenstore::has_news`].
    pub fn is_leaving(&self) -> bool {
        matches!(self.backend_state(), State::Closing | State::Closed | State::Unknown)
    }

    /// Ends what was agreed: when this returns the backend uses nothing any more.
    pub fn close(&self) {
        self.enter(State::Closing);
        self.wait(&[State::Closing, State::Closed]);
        self.enter(State::Closed);
        self.wait(&[State::Closed]);
    }

    /// Waits for a backend that is ready to agree on something; whether there is one.
    pub fn begin(&self) -> bool {
        self.enter(State::Initialising);
        self.wait(&[State::InitWait]) == State::InitWait
    }

    /// Says that all was written, and waits for the backend; whether it is connected.
    pub fn agree(&self, written: State) -> bool {
        self.enter(written);
        self.wait(&[State::Connected, State::Closing, State::Closed]) == State::Connected
    }
}

/// What `open` finds, now or within the seconds of `wait=`, for a device that is attached later.
pub fn opened<T>(application: &str, open: impl Fn() -> Option<T>) -> Option<T> {
    if let found @ Some(_) = open() {
        return found;
    }
    let seconds = cmdline::number("wait")?;
    say!("{application}: waits for its device");
    let end = clock::now() + seconds * SECOND;
    while clock::now() < end {
        clock::sleep(100 * MILLISECOND);
        if let found @ Some(_) = open() {
            return found;
        }
    }
    None
}

fn read(path: &Text, key: &str) -> Option<Text> {
    let path = Text::new(format_args!("{path}/{key}"));
    let mut text = Text::new(format_args!(""));
    match xenstore::read(path.bytes(), &mut text.bytes) {
        Ok(length) => text.length = length,
        Err(Error::Refused(_) | Error::Protocol) => return None,
    }
    Some(text)
}

fn number(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}
