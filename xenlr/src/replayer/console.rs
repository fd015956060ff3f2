//! `--console`: what the guest prints, while it is replayed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::termios::OptionalActions;

use crate::error::Error;
use crate::poll;
use crate::xenstore::Xenstore;

/// How long the console must be silent after the end, until it is taken to be empty.
const SILENCE: Duration = Duration::from_millis(300);

/// Copies a domain's console until it is dropped.
pub struct Console {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Console {
    /// Opens the pty that xenconsoled has for the domain, and begins to copy.
    pub fn open(domid: u16, to_stderr: bool) -> Result<Self, Error> {
        let path = format!("/local/domain/{domid}/console/tty");
        let failed = |e| Error::io(format!("find the console of domain {domid}"), e);
        let mut store = Xenstore::connect().map_err(failed)?;
        // xenconsoled writes the node a moment after the domain is introduced.
        let mut tty = None;
        for _ in 0..50 {
            tty = store.read(&path).map_err(failed)?.filter(|t| !t.is_empty());
            if tty.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let tty = tty.ok_or_else(|| {
            Error::Refused(format!("{path} is not there: is xenconsoled running?"))
        })?;
        let file = open_raw(&tty).map_err(|e| Error::io(format!("open {tty}"), e))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || copy(file, to_stderr, &flag));
        Ok(Self {
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Relaxed: the flag carries nothing but itself.
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A pty is opened without becoming our terminal, and raw: its line discipline would echo.
fn open_raw(tty: &str) -> io::Result<File> {
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(tty)?;
    let mut termios = rustix::termios::tcgetattr(&file)?;
    termios.make_raw();
    rustix::termios::tcsetattr(&file, OptionalActions::Now, &termios)?;
    Ok(file)
}

fn copy(mut from: File, to_stderr: bool, is_over: &AtomicBool) {
    let mut buffer = [0; 4096];
    loop {
        let ending = is_over.load(Ordering::Relaxed);
        match poll::wait(&[std::os::fd::AsFd::as_fd(&from)], SILENCE) {
            Ok(0) if ending => return,
            Ok(0) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        let count = match from.read(&mut buffer) {
            Ok(count) if count > 0 => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            // The domain, and the pty with it, is gone.
            _ => return,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        let written = if to_stderr {
            io::stderr().write_all(bytes)
        } else {
            io::stdout()
                .write_all(bytes)
                .and_then(|()| io::stdout().flush())
        };
        if written.is_err() {
            return;
        }
    }
}
