//! `shell`: reads lines from the console, with echo, and runs commands.

use crate::clock::{self, Date, SECOND};
use crate::{console, event, hypercall, say, witness, xenstore};
use core::sync::atomic::Ordering::Relaxed;

const LINE_BYTES: usize = 256;

/// Runs the application until `quit`.
pub fn run() {
    say!("shell: type help");
    let mut line = [0; LINE_BYTES];
    loop {
        console::print(format_args!("> "));
        let length = read_line(&mut line);
        let text = core::str::from_utf8(&line[..length]).unwrap_or("?");
        if !command(text.trim()) {
            return;
        }
    }
}

/// Reads one line with echo; backspace takes a byte back.
fn read_line(line: &mut [u8; LINE_BYTES]) -> usize {
    let mut length = 0;
    loop {
        let since = event::total();
        let Some(byte) = console::take() else {
            console::kick();
            event::wait_any(since);
            continue;
        };
        match byte {
            b'\r' | b'\n' => {
                console::put(b"\r\n");
                console::kick();
                return length;
            }
            8 | 127 if length > 0 => {
                length -= 1;
                console::put(b"\x08 \x08");
            }
            b' '..=b'~' if length < LINE_BYTES => {
                line[length] = byte;
                length += 1;
                console::put(&[byte]);
            }
            _ => {}
        }
    }
}

/// Runs one command; false: end the shell.
fn command(line: &str) -> bool {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    match name {
        "" => {}
        "help" => help(),
        "echo" => say!("{rest}"),
        "time" => time(),
        "sum" => match rest.parse() {
            Ok(n) => say!("sum 1..{n} = {}", sum(n)),
            Err(_) => say!("sum: not a number: {rest}"),
        },
        "run" => match rest.parse() {
            Ok(n) => say!("run {n}: {:016x}", super::compute::work(n)),
            Err(_) => say!("run: not a number: {rest}"),
        },
        "sleep" => match rest.parse::<u64>() {
            Ok(n) => clock::sleep(n.saturating_mul(clock::MILLISECOND)),
            Err(_) => say!("sleep: not a number of milliseconds: {rest}"),
        },
        "events" => events(),
        "xs" => xenstore_read(rest),
        "ls" => xenstore_list(rest),
        "crash" => super::crash::page_fault(),
        "panic" => panic!("as asked"),
        "reboot" => {
            console::flush();
            hypercall::shutdown(1)
        }
        "quit" | "exit" | "poweroff" => {
            say!("bye");
            return false;
        }
        _ => say!("no command {name}: try help"),
    }
    true
}

fn help() {
    say!("echo TEXT   sum N   run N   time   sleep MS   events");
    say!("xs PATH     ls PATH");
    say!("crash       panic   reboot   quit");
}

fn time() {
    let now = clock::now();
    let unix_seconds = (clock::boot_time() + now) / SECOND;
    say!(
        "{} UTC, system time {}.{:03} s",
        Date { unix_seconds },
        now / SECOND,
        now / clock::MILLISECOND % 1000
    );
}

/// The sum of 1..=n, added up one by one. The loop must not become a formula.
fn sum(n: u64) -> u64 {
    (1..=n).fold(0, |sum: u64, i| core::hint::black_box(sum.wrapping_add(i)))
}

fn events() {
    say!("upcalls {}, exits {}", witness::UPCALLS.load(Relaxed), witness::EXITS.load(Relaxed));
    for port in 0..event::PORTS as u32 {
        let count = event::latched(port);
        let name = match port {
            _ if port == console::port() => "console",
            _ if port == xenstore::port() => "xenstore",
            _ if port == clock::timer_port() => "timer",
            _ => "other",
        };
        if count > 0 {
            say!("port {port} ({name}): {count}");
        }
    }
}

fn xenstore_read(path: &str) {
    let mut buffer = [0; 1024];
    match xenstore::read(path.as_bytes(), &mut buffer) {
        Ok(length) => say!("{path} = {}", text(&buffer[..length])),
        Err(xenstore::Error::Refused(length)) => say!("{path}: {}", text(&buffer[..length])),
        Err(xenstore::Error::Protocol) => say!("{path}: protocol error"),
    }
}

fn xenstore_list(path: &str) {
    let mut buffer = [0; 1024];
    match xenstore::list(path.as_bytes(), &mut buffer) {
        Ok(length) => buffer[..length]
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .for_each(|name| say!("{}", text(name))),
        Err(xenstore::Error::Refused(length)) => say!("{path}: {}", text(&buffer[..length])),
        Err(xenstore::Error::Protocol) => say!("{path}: protocol error"),
    }
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or("(not text)")
}
