//! Talks to the station that the guest's application `net` is:
//!
//! - `udp echo ADDRESS COUNT BYTES [WINDOW]` sends so many datagrams of so many bytes to port 7, at
//!   most WINDOW (1) ahead of what has come back, and compares what comes back.
//! - `udp flood ADDRESS COUNT` asks port 19 for so many frames and counts those that come whole.
//! - `udp end ADDRESS` ends the station through port 9.
//!
//! `echo` prints the digest that the station prints of the same datagrams: FNV-1a over the length
//! (u16) and the bytes of each. Exit status 1: something did not come, or came wrong.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// What takes longer is lost: an emulated machine is slow.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a frame of a flood.
const FLOOD_BYTES: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["echo", address, count, bytes] => echo(address, count.parse()?, bytes.parse()?, 1),
        ["echo", address, count, bytes, window] => {
            echo(address, count.parse()?, bytes.parse()?, window.parse()?)
        }
        ["flood", address, count] => flood(address, count.parse()?),
        ["end", address] => {
            connect(address, 9)?.send(b"end")?;
            Ok(())
        }
        _ => {
            Err("usage: udp echo ADDRESS COUNT BYTES [WINDOW] | flood ADDRESS COUNT | end ADDRESS")?
        }
    }
}

fn connect(address: &str, port: u16) -> Result<UdpSocket, Box<dyn Error>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((address.parse::<Ipv4Addr>()?, port))?;
    Ok(socket)
}

/// The next datagram's length, or nothing if none comes.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<usize>, Box<dyn Error>> {
    match socket.recv(buffer) {
        Ok(length) => Ok(Some(length)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The content of the datagram of this number (xorshift64*).
fn content(number: u64, bytes: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn echo(address: &str, count: u64, bytes: u16, window: u64) -> Result<(), Box<dyn Error>> {
    let socket = connect(address, 7)?;
    let mut buffer = vec![0; 65_536];
    let mut digest = 0xcbf2_9ce4_8422_2325;
    let mut sent = 0;
    for number in 0..count {
        while sent < count && sent < number + window {
            let data = content(sent, usize::from(bytes));
            digest = fnv(fnv(digest, &bytes.to_le_bytes()), &data);
            socket.send(&data)?;
            sent += 1;
        }
        let Some(length) = receive(&socket, &mut buffer)? else {
            Err(format!(
                "datagram {number} did not come back within {PATIENCE:?}"
            ))?
        };
        if buffer.get(..length) != Some(content(number, usize::from(bytes)).as_slice()) {
            Err(format!("datagram {number} came back as something else"))?;
        }
    }
    println!("udp: echoed {digest:016x}/{count}");
    Ok(())
}

fn flood(address: &str, count: u64) -> Result<(), Box<dyn Error>> {
    let socket = connect(address, 19)?;
    socket.send(count.to_string().as_bytes())?;
    let mut buffer = vec![0; 65_536];
    let mut numbers = BTreeSet::new();
    while (numbers.len() as u64) < count {
        let Some(length) = receive(&socket, &mut buffer)? else {
            break;
        };
        let frame = buffer.get(..length).unwrap_or_default();
        let Some((number, rest)) = frame.split_first_chunk::<8>() else {
            Err("a short frame")?
        };
        let number = u64::from_le_bytes(*number);
        let mut wanted = number.to_le_bytes()[0];
        let is_right = rest.iter().all(|byte| {
            let right = *byte == wanted;
            wanted = wanted.wrapping_add(1);
            right
        });
        if length != FLOOD_BYTES || !is_right || number >= count {
            Err(format!("frame {number} came as something else"))?;
        }
        numbers.insert(number);
    }
    println!("udp: {} of {count} frames", numbers.len());
    if (numbers.len() as u64) < count {
        Err("some did not come")?;
    }
    Ok(())
}
