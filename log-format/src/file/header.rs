//! The self-describing header of a log file.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::{FORMAT_VERSION, MAGIC, OLDEST_VERSION};
use crate::numbered::numbered;

/// The longest header: it holds a domain's configuration, which is text.
pub(super) const MAX_HEADER_BYTES: usize = 4 << 20;

/// Bytes before the JSON text: magic, version, two zero bytes, length.
const PRELUDE_BYTES: usize = 16;

/// Everything that is needed to build the domain again, and where the log comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Name of the host.
    pub host: String,
    /// Xen's version, such as `4.20.3`.
    pub xen_version: String,
    /// Xen's build id in hex, if it has one.
    pub xen_build_id: Option<String>,
    /// Xen's changeset.
    pub xen_changeset: String,
    /// First machine frame of the domain's slice of the arena.
    pub arena_first_mfn: u64,
    /// Machine frames in the slice.
    pub arena_frames: u64,
    /// The physical CPU that the vCPU was pinned to, where CPUID does not fault.
    pub cpu: Option<u32>,
    /// APIC id of the CPU.
    pub apic_id: u32,
    /// Whether the CPU faults on CPUID, so that no pinning was needed.
    pub cpuid_faults: bool,
    /// The recorded domain.
    pub domain: Domain,
    /// What the domain was configured with, by the names of xl's configuration files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Setting>,
    /// The same as the text of such a file: logs before version 3 have this instead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub xl_config: String,
    /// The kernel.
    pub kernel: ImageFile,
    /// The ramdisk, if the domain had one.
    pub ramdisk: Option<ImageFile>,
    /// When the recording began, in nanoseconds of the epoch.
    pub started_unix_ns: u64,
    /// Frequency of the guest's TSC.
    pub tsc_khz: u32,
    /// By how many microseconds the TSC that the guest reads may be behind; 0 for exact values.
    #[serde(default, skip_serializing_if = "is_exact")]
    pub time_bound_us: u32,
    /// Whether the system calls of a PVH guest left to Xen, as sync points.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trap_syscalls: bool,
    /// Pages of the ring's data area.
    pub buffer_frames: u32,
    /// Whatever else the writer says or a newer writer said.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// Logs from before there were time policies do not say so.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_exact(bound_us: &u32) -> bool {
    *bound_us == 0
}

/// The recorded domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its number at the time.
    pub domid: u32,
    /// Its memory in KiB.
    pub memory_kib: u64,
}

/// The value of a setting in a domain's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A number.
    Number(u64),
    /// A string.
    Text(String),
    /// A list of strings.
    List(Vec<String>),
}

/// A file that the domain was built from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Where it was on the host.
    pub path: String,
    /// Its length in bytes.
    pub len: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// Whether the log carries it.
    pub inline: bool,
}

numbered! {
    /// Which image of a domain.
    Image: u8 {
        /// The kernel.
        Kernel = 1 "kernel",
        /// The ramdisk.
        Ramdisk = 2 "ramdisk",
    }
}

impl Header {
    /// What the header says about an image.
    pub fn image(&self, image: Image) -> Option<&ImageFile> {
        match image {
            Image::Kernel => Some(&self.kernel),
            Image::Ramdisk => self.ramdisk.as_ref(),
        }
    }
}

/// The header's bytes, and their checksum, which the frames' checksums build on.
pub(super) fn to_bytes(header: &Header) -> Result<(Vec<u8>, u32), usize> {
    // A map with string keys and no floats in known fields always serializes.
    let json = serde_json::to_vec(header).unwrap_or_default();
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    if json.len() > MAX_HEADER_BYTES {
        return Err(json.len());
    }
    let mut bytes = Vec::with_capacity(PRELUDE_BYTES + json.len() + 4);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&json);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Ok((bytes, crc))
}

/// Why a header cannot be read.
pub(super) enum BadHeader {
    Io(io::Error),
    Magic,
    Version(u16),
    Other(String),
}

/// A header read back.
pub(super) struct ReadHeader {
    pub(super) header: Header,
    pub(super) version: u16,
    pub(super) crc: u32,
    /// Length with prelude and checksum.
    pub(super) bytes: u64,
}

pub(super) fn read(input: &mut impl Read) -> Result<ReadHeader, BadHeader> {
    let mut start = Vec::new();
    take(input, PRELUDE_BYTES, &mut start)?;
    if start.get(..8) != Some(&MAGIC[..]) {
        return Err(BadHeader::Magic);
    }
    let &[.., v0, v1, z0, z1, l0, l1, l2, l3] = start.as_slice() else {
        return Err(torn());
    };
    if start.len() < PRELUDE_BYTES {
        return Err(torn());
    }
    let version = u16::from_le_bytes([v0, v1]);
    if !(OLDEST_VERSION..=FORMAT_VERSION).contains(&version) {
        return Err(BadHeader::Version(version));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if [z0, z1] != [0, 0] || length > MAX_HEADER_BYTES {
        return Err(BadHeader::Other(format!(
            "its length field says {length} bytes"
        )));
    }
    let mut bytes = start;
    take(input, length, &mut bytes)?;
    let mut sum = Vec::new();
    take(input, 4, &mut sum)?;
    let Ok(sum) = <[u8; 4]>::try_from(sum.as_slice()) else {
        return Err(torn());
    };
    let crc = crc32c::crc32c(&bytes);
    if crc != u32::from_le_bytes(sum) {
        return Err(BadHeader::Other("its checksum does not match".into()));
    }
    let json = bytes.get(PRELUDE_BYTES..).unwrap_or_default();
    let header = serde_json::from_slice(json)
        .map_err(|error| BadHeader::Other(format!("its text is not as expected: {error}")))?;
    Ok(ReadHeader {
        header,
        version,
        crc,
        bytes: (PRELUDE_BYTES + length + 4) as u64,
    })
}

fn torn() -> BadHeader {
    BadHeader::Other("the file ends inside it".into())
}

/// Appends up to `count` bytes to `to`, fewer at the end of the file.
fn take(input: &mut impl Read, count: usize, to: &mut Vec<u8>) -> Result<(), BadHeader> {
    input
        .take(count as u64)
        .read_to_end(to)
        .map(|_| ())
        .map_err(BadHeader::Io)
}
