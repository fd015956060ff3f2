//! The header of a recording: everything that a replay needs to build the domain again.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use log_format::file::{Domain as HeaderDomain, Header, Image, ImageFile};
use sha2::{Digest, Sha256};

use crate::domains::NamedDomain;
use crate::error::Error;
use crate::output::hex;
use crate::xen::{Status, Xen};
use crate::xlcfg::{self, FromJson};

/// Where libxl keeps what it knows of running domains.
const LIBXL_DIR: &str = "/var/lib/xen";

/// A header and the images that go into the file with it.
#[derive(Debug, Default)]
pub struct Facts {
    /// The header.
    pub header: Header,
    /// Images that are carried.
    pub images: Vec<(Image, Vec<u8>)>,
    /// What will stand in the way of a replay.
    pub warnings: Vec<String>,
}

/// This boot of dom0; together with domain number and UUID it names one run of one guest.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// What the CPU calls itself, and its family, model and stepping: a guest can ask for them.
pub fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == key)
            .map_or("?", |(_, value)| value.trim())
    };
    format!(
        "{} ({}/{}/{})",
        value("model name"),
        value("cpu family"),
        value("model"),
        value("stepping")
    )
}

/// The text that libxl keeps of a domain's configuration, once it has built it.
pub fn libxl_json(domain: &NamedDomain) -> Option<String> {
    let name = format!(
        "userdata-d.{}.{}.libxl-json",
        domain.info.domid, domain.info.uuid
    );
    fs::read_to_string(Path::new(LIBXL_DIR).join(name)).ok()
}

/// Gathers the header of a domain whose recording begins.
pub fn collect(
    xen: &Xen,
    domain: &NamedDomain,
    status: &Status,
    max_image_bytes: u64,
) -> Result<Facts, Error> {
    let version = xen.version()?;
    let mut facts = Facts::default();
    let from = match libxl_json(domain).map(|text| xlcfg::from_json(&text)) {
        Some(Ok(from)) => from,
        Some(Err(why)) => {
            facts.warnings.push(why);
            FromJson::default()
        }
        None => {
            facts.warnings.push(format!(
                "libxl keeps no configuration of domain \"{}\" in {LIBXL_DIR}: the log cannot \
                 be replayed",
                domain.name
            ));
            FromJson::default()
        }
    };
    facts.warnings.extend(from.warnings);
    let kernel = from.kernel.as_deref().unwrap_or_default();
    let kernel = facts.image(Image::Kernel, kernel, max_image_bytes);
    let ramdisk = from
        .ramdisk
        .as_deref()
        .map(|path| facts.image(Image::Ramdisk, path, max_image_bytes));
    // What xl cannot be given then is better known now.
    if let Err(why) = from.config.to_text() {
        facts.warnings.push(why);
    }
    let raw = &status.raw;
    facts.header = Header {
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        xen_version: version.version,
        xen_build_id: Some(version.build_id).filter(|id| !id.is_empty()),
        xen_changeset: version.changeset,
        arena_first_mfn: raw.arena_first_mfn,
        arena_frames: raw.arena_frames,
        cpu: (!status.cpuid_faults()).then_some(raw.cpu),
        apic_id: raw.apic_id,
        cpuid_faults: status.cpuid_faults(),
        domain: HeaderDomain {
            name: domain.name.clone(),
            uuid: domain.info.uuid.to_string(),
            domid: u32::from(domain.info.domid),
            memory_kib: from
                .config
                .number("memory")
                .map_or(domain.info.pages * 4, |mib| mib * 1024),
        },
        config: from.config.settings,
        xl_config: String::new(),
        kernel,
        ramdisk,
        started_unix_ns: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX)),
        tsc_khz: raw.tsc_khz,
        time_bound_us: raw.time_bound_us,
        trap_syscalls: status.traps_syscalls(),
        buffer_frames: u32::try_from(raw.ring_size / 4096).unwrap_or(0),
        extra: [
            ("boot_id".to_owned(), boot_id().into()),
            ("cpu_model".to_owned(), cpu_model().into()),
        ]
        .into(),
    };
    Ok(facts)
}

impl Facts {
    /// Digests one image and keeps its bytes when they are to be carried.
    fn image(&mut self, which: Image, path: &str, max_bytes: u64) -> ImageFile {
        match read_image(Path::new(path), max_bytes) {
            Ok((mut file, bytes)) => {
                file.path = path.to_owned();
                if let Some(bytes) = bytes {
                    self.images.push((which, bytes));
                }
                file
            }
            Err(e) => {
                self.warnings.push(format!(
                    "the {} \"{path}\" cannot be read ({e}): the log cannot be replayed",
                    which.name()
                ));
                ImageFile {
                    path: path.to_owned(),
                    ..ImageFile::default()
                }
            }
        }
    }
}

/// Length and digest of a file, and its bytes when it is not longer than `max_bytes`.
pub fn read_image(path: &Path, max_bytes: u64) -> io::Result<(ImageFile, Option<Vec<u8>>)> {
    let mut file = File::open(path)?;
    let mut kept = (file.metadata()?.len() <= max_bytes).then(Vec::new);
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut len = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let Some(bytes) = buffer.get(..count).filter(|b| !b.is_empty()) else {
            break;
        };
        digest.update(bytes);
        len += count as u64;
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(bytes);
        }
    }
    let image = ImageFile {
        path: path.to_string_lossy().into_owned(),
        len,
        sha256: hex(&digest.finalize()),
        inline: kept.is_some(),
    };
    Ok((image, kept))
}

/// The digest of bytes, as headers have it.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_images_are_digested_but_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel");
        fs::write(&path, b"abc").unwrap();
        let (small, kept) = read_image(&path, 3).unwrap();
        assert_eq!(kept.as_deref(), Some(&b"abc"[..]));
        assert_eq!(small.sha256, sha256(b"abc"));
        let (large, kept) = read_image(&path, 2).unwrap();
        assert_eq!(kept, None);
        assert_eq!((large.len, large.inline), (3, false));
        assert_eq!(large.sha256, small.sha256);
    }
}
