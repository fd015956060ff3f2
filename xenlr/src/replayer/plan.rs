//! Whether this host can replay a log, and with what.

use std::fs;
use std::path::{Path, PathBuf};

use log_format::Record;
use log_format::file::{Header, Image, Integrity, Setting};

use super::places::InLog;
use crate::cli::Replaying;
use crate::domains::{self, NamedDomain};
use crate::error::Error;
use crate::lock::{self, LOCK_DIR, Lock};
use crate::logfile::{self, Reader, Summary};
use crate::output::Output;
use crate::recorder::facts::{cpu_model, sha256};
use crate::xen::{Version, Xen};
use crate::xlcfg::Config;

/// Everything that a replay needs, checked.
pub struct Plan {
    /// The log.
    pub file: PathBuf,
    /// Its header.
    pub header: Header,
    /// What it holds.
    pub summary: Summary,
    /// Its places.
    pub places: InLog,
    /// The kernel, with the digest that the header wants.
    pub kernel: Vec<u8>,
    /// The ramdisk, likewise.
    pub ramdisk: Option<Vec<u8>>,
    /// The configuration from the header.
    pub config: Config,
    /// Name of the new domain.
    pub name: String,
    /// UUID of the new domain: the recorded one, because the guest can ask for it, unless another
    /// domain has it. No domain has it yet.
    pub uuid: String,
    /// Size of the ring.
    pub buffer_kb: u64,
    /// While it is there no other replay takes this name, or this UUID.
    _claims: [Option<Lock>; 2],
}

/// Reads the whole log once, and checks everything that can be checked before there is a domain.
pub fn make(xen: &Xen, file: &Path, args: &Replaying, output: Output) -> Result<Plan, Error> {
    let mut reader = logfile::open(file)?;
    let header = reader.header().clone();
    let unusable = |reason: String| Error::UnusableLog {
        file: file.to_owned(),
        reason,
    };
    Host::of(xen)?.check(&header).map_err(unusable)?;
    let config = Config::of(&header).map_err(unusable)?;
    if !args.buffer_kb.is_power_of_two() || !(16..=16_384).contains(&args.buffer_kb) {
        return Err(Error::Usage(format!(
            "--buffer-kb {}: give a power of two from 16 to 16384",
            args.buffer_kb
        )));
    }
    let kernel = image(&mut reader, Image::Kernel, args.kernel.as_deref())?
        .ok_or_else(|| unusable("its header names no kernel".to_owned()))?;
    let ramdisk = image(&mut reader, Image::Ramdisk, args.ramdisk.as_deref())?;
    let (summary, places) = check_records(&mut reader, output).map_err(unusable)?;
    let name = args
        .name
        .clone()
        .unwrap_or_else(|| format!("{}-replay", header.domain.name));
    let claims = [
        Some(claim_name(&name)?),
        lock::claim(LOCK_DIR.as_ref(), &header.domain.uuid)?,
    ];
    let all = domains::list(xen, crate::xenstore::Xenstore::connect().ok().as_mut())?;
    check_name(&name, &all)?;
    let is_taken = claims[1].is_none()
        || all
            .iter()
            .any(|d| d.info.uuid.to_string() == header.domain.uuid);
    if is_taken {
        output.warn(
            "the recorded domain, or another with its UUID, is running: the replayed one gets a \
             new UUID, and diverges if the guest asks for it",
        );
    }
    let uuid = if is_taken {
        random_uuid()?
    } else {
        header.domain.uuid.clone()
    };
    Ok(Plan {
        file: file.to_owned(),
        uuid,
        header,
        summary,
        places,
        kernel,
        ramdisk,
        config,
        name,
        buffer_kb: args.buffer_kb,
        _claims: claims,
    })
}

/// What a host is to a log.
#[derive(Debug)]
pub struct Host {
    xen: Version,
    cpu: String,
}

impl Host {
    /// This one.
    pub fn of(xen: &Xen) -> Result<Self, Error> {
        Ok(Self {
            xen: xen.version()?,
            cpu: cpu_model(),
        })
    }

    /// Whether a log can be replayed here, as far as its header and the running Xen tell; whether its
    /// slice of the arena is free shows only when the domain is built.
    pub fn check(&self, header: &Header) -> Result<(), String> {
        check_host(header, &self.xen, &self.cpu)?;
        check_config(header, &Config::of(header)?)
    }
}

/// Compares what the guest was recorded on with what is here.
fn check_host(header: &Header, xen: &Version, cpu: &str) -> Result<(), String> {
    let recorded = header.xen_build_id.as_deref().unwrap_or_default();
    if recorded.is_empty() && xen.build_id.is_empty() {
        return Err(format!(
            "it was recorded under Xen {}, and this is Xen {}, both without a build id: whether they \
             are the same cannot be told; link Xen with one (the option --build-id of ld)",
            header.xen_version, xen.version
        ));
    }
    if recorded != xen.build_id {
        let id = |id: &str| {
            if id.is_empty() {
                "none".to_owned()
            } else {
                id.to_owned()
            }
        };
        return Err(format!(
            "it was recorded under Xen {} with build id {}, and this is Xen {} with build id {}: \
             boot the Xen that it was recorded under",
            header.xen_version,
            id(recorded),
            xen.version,
            id(&xen.build_id)
        ));
    }
    let recorded = header.extra.get("cpu_model").and_then(|m| m.as_str());
    if let Some(recorded) = recorded.filter(|m| *m != cpu) {
        return Err(format!(
            "it was recorded on a CPU \"{recorded}\", and this is \"{cpu}\": what the guest sees \
             of the CPU would differ"
        ));
    }
    Ok(())
}

fn check_config(header: &Header, config: &Config) -> Result<(), String> {
    let is_of = |kind: &str| config.settings.get("type") == Some(&Setting::Text(kind.to_owned()));
    if !(is_of("pv") || is_of("pvh")) || config.number("memory").is_none() {
        return Err(
            "its header has no configuration of a PV or PVH domain: libxl's was not there when the \
             recording began"
                .to_owned(),
        );
    }
    if is_of("pv") && header.arena_frames == 0 {
        return Err("its header names no arena".to_owned());
    }
    match config.number("vcpus") {
        None | Some(1) => Ok(()),
        Some(n) => Err(format!(
            "its domain has {n} vCPUs, and only one can be replayed"
        )),
    }
}

/// A UUID that no domain has. It is not left to xl, so that the domain can be found by it even when
/// xl was killed.
fn random_uuid() -> Result<String, Error> {
    const SOURCE: &str = "/proc/sys/kernel/random/uuid";
    let text = fs::read_to_string(SOURCE).map_err(|e| Error::io(format!("read {SOURCE}"), e))?;
    Ok(text.trim().to_owned())
}

/// Reads every record. A torn or unfinished log is replayed as far as it is whole; a damaged one
/// is not replayed at all.
fn check_records(reader: &mut Reader, output: Output) -> Result<(Summary, InLog), String> {
    let mut places = InLog::new();
    let summary = logfile::scan(reader, |item, _, _| {
        if let Record::Place(place) = item.record {
            places.insert(item.sync, place.registers);
        }
    })
    .map_err(|e| e.to_string())?;
    if let Some(trouble) = logfile::trouble(&summary.integrity) {
        if matches!(summary.integrity, Integrity::Damaged { .. }) {
            return Err(trouble);
        }
        output.warn(&format!(
            "{trouble}; it is replayed up to its last whole chunk, sync {}",
            summary.sync
        ));
    }
    if summary.records == 0 {
        return Err("it holds no records".to_owned());
    }
    Ok((summary, places))
}

/// An image: the one that the user gave, else the log's, else the file that the header names.
/// Its digest must be the header's.
fn image(
    reader: &mut Reader,
    which: Image,
    given: Option<&Path>,
) -> Result<Option<Vec<u8>>, Error> {
    let file = reader.path().to_owned();
    let Some(wanted) = reader.header().image(which).cloned() else {
        return Ok(None);
    };
    let name = which.name();
    let carried = match given {
        Some(_) => None,
        None => reader.image(which)?,
    };
    let (bytes, source) = match carried {
        Some(bytes) => (bytes, format!("the {name} in the log")),
        None => {
            let path = given.unwrap_or(Path::new(&wanted.path));
            let bytes = fs::read(path).map_err(|e| Error::UnusableLog {
                file: file.clone(),
                reason: format!(
                    "it does not carry its {name}, and {} cannot be read ({e}): give the file \
                     with --{name}",
                    path.display()
                ),
            })?;
            (bytes, format!("the {name} {}", path.display()))
        }
    };
    let found = sha256(&bytes);
    if found != wanted.sha256 {
        return Err(Error::UnusableLog {
            file,
            reason: format!(
                "{source} is not the recorded one: its SHA-256 is {found}, and the header has {}",
                wanted.sha256
            ),
        });
    }
    Ok(Some(bytes))
}

fn claim_name(name: &str) -> Result<Lock, Error> {
    lock::claim(LOCK_DIR.as_ref(), name)?.ok_or_else(|| {
        Error::Refused(format!(
            "another xenlr is about to make a domain \"{name}\": wait for its end, or give another \
             name with --name"
        ))
    })
}

fn check_name(name: &str, all: &[NamedDomain]) -> Result<(), Error> {
    match all.iter().find(|d| d.name == name) {
        None => Ok(()),
        Some(other) => Err(Error::Refused(format!(
            "there is a domain \"{name}\" already, number {}: destroy it with xl destroy {}, or \
             give another name with --name",
            other.info.domid, other.info.domid
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            xen_build_id: Some("abcd".into()),
            arena_frames: 10,
            extra: [("cpu_model".to_owned(), "m".into())].into(),
            ..Header::default()
        }
    }

    fn xen(build_id: &str) -> Version {
        Version {
            version: "4.20".into(),
            build_id: build_id.into(),
            changeset: String::new(),
        }
    }

    #[test]
    fn another_xen_or_cpu_is_refused_with_the_reason() {
        assert_eq!(check_host(&header(), &xen("abcd"), "m"), Ok(()));
        let other = check_host(&header(), &xen("ffff"), "m").unwrap_err();
        assert!(other.contains("abcd") && other.contains("ffff"), "{other}");
        assert!(check_host(&header(), &xen(""), "m").is_err());
        // Nothing is known of two that both have none.
        let nameless = Header {
            xen_build_id: None,
            ..header()
        };
        let unknown = check_host(&nameless, &xen(""), "m").unwrap_err();
        assert!(unknown.contains("without a build id"), "{unknown}");
        let cpu = check_host(&header(), &xen("abcd"), "n").unwrap_err();
        assert!(cpu.contains("\"m\"") && cpu.contains("\"n\""), "{cpu}");
    }

    #[test]
    fn only_pv_and_pvh_domains_with_one_vcpu_are_replayed() {
        let check = |text: &str, arena_frames| {
            let header = Header {
                xl_config: text.to_owned(),
                arena_frames,
                ..header()
            };
            check_config(&header, &Config::of(&header).unwrap())
        };
        assert!(check("type = \"pv\"\nmemory = 32\nvcpus = 1\n", 10).is_ok());
        assert!(check("type = \"pvh\"\nmemory = 32\nvcpus = 1\n", 0).is_ok());
        assert!(check("type = \"pv\"\nmemory = 32\nvcpus = 1\n", 0).is_err());
        assert!(check("type = \"pv\"\nmemory = 32\nvcpus = 2\n", 10).is_err());
        assert!(check("type = \"hvm\"\nmemory = 32\n", 10).is_err());
        assert!(check("", 10).is_err());
    }
}
