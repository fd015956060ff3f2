//! The replayed domain: xl builds it from the log's header.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::plan::Plan;
use crate::domains;
use crate::error::Error;
use crate::lock::LOCK_DIR;
use crate::xen::{Uuid, Xen};
use crate::xenstore::Xenstore;

/// xl's exit codes of a domain that cannot be logged, and of a host that cannot log it now.
const XL_XENLR_UNSUPPORTED: i32 = 33;
const XL_XENLR_UNAVAILABLE: i32 = 34;
/// How often, and after which time, it is tried again to get the slice of the arena.
const ARENA_TRIES: u32 = 5;
const ARENA_PAUSE: Duration = Duration::from_millis(500);

/// The names of directories for replays that are being built; the process' number follows.
const SCRATCH_PREFIX: &str = "replay-";

/// A domain that was built for a replay. It is destroyed with this value, unless it is kept.
pub struct Built {
    /// Its number.
    pub domid: u16,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    is_kept: bool,
}

impl Built {
    /// Leaves the domain alone from now on.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Destroys the domain.
    pub fn destroy(mut self) -> Result<(), Error> {
        self.is_kept = true;
        destroy(self.domid)
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        if !self.is_kept {
            // An error on the way is being reported already.
            let _ = destroy(self.domid);
        }
    }
}

fn destroy(domid: u16) -> Result<(), Error> {
    xl(&["destroy", &domid.to_string()])?;
    Ok(())
}

/// Has xl create the domain, paused before its first instruction.
pub fn build(xen: &Xen, plan: &Plan) -> Result<Built, Error> {
    let dir = Scratch::new()?;
    dir.write("kernel", &plan.kernel)?;
    if let Some(ramdisk) = &plan.ramdisk {
        dir.write("ramdisk", ramdisk)?;
    }
    let config = dir.write("config", text(plan, &dir.0)?.as_bytes())?;
    let create = || xl(&["create", "-p", "-q", "-e", &config.to_string_lossy()]);
    let mut created = create();
    for _ in 0..ARENA_TRIES {
        // The recorded domain may just have been destroyed, and still hold its slice.
        match &created {
            Err(failure) if failure.code == Some(XL_XENLR_UNAVAILABLE) => {}
            _ => break,
        }
        std::thread::sleep(ARENA_PAUSE);
        created = create();
    }
    // Whatever xl says and whatever has become of it: a domain that is there goes with this value.
    let built = find(xen, plan)?;
    match (created, built) {
        (Ok(()), Some(built)) => Ok(built),
        (Ok(()), None) => Err(Error::Tool(format!(
            "xl create made no domain \"{}\", and said that it did",
            plan.name
        ))),
        (Err(failure), left) => {
            drop(left);
            Err(why_not(xen, plan, failure))
        }
    }
}

/// The domain of this replay, whole or not. Its UUID tells it from every other.
fn find(xen: &Xen, plan: &Plan) -> Result<Option<Built>, Error> {
    let domains = xen.domains()?;
    let info = domains
        .iter()
        .find(|info| !info.dying && info.uuid.to_string() == plan.uuid);
    Ok(info.map(|info| Built {
        domid: info.domid,
        uuid: info.uuid,
        name: plan.name.clone(),
        is_kept: false,
    }))
}

/// Why there is no domain. What libxl says of logged domains is the reason; other lines of it only
/// tell how it came to nothing.
fn why_not(xen: &Xen, plan: &Plan, failure: Failure) -> Error {
    let Some(XL_XENLR_UNSUPPORTED | XL_XENLR_UNAVAILABLE) = failure.code else {
        return failure.into();
    };
    let reason = match (failure.code, holder(xen, plan)) {
        (Some(XL_XENLR_UNAVAILABLE), Some(holder)) => holder,
        _ => failure.reason(),
    };
    Error::UnusableLog {
        file: plan.file.clone(),
        reason: format!("it cannot be replayed here: {reason}"),
    }
}

/// Who has frames of the slice that the log needs.
fn holder(xen: &Xen, plan: &Plan) -> Option<String> {
    let end = |first: u64, frames: u64| first.saturating_add(frames);
    let (first, frames) = (plan.header.arena_first_mfn, plan.header.arena_frames);
    let all = domains::list(xen, Xenstore::connect().ok().as_mut()).ok()?;
    all.into_iter().find_map(|named| {
        let raw = xen.domain(named.info.domid).status().ok()??.raw;
        let is_apart = end(first, frames) <= raw.arena_first_mfn
            || end(raw.arena_first_mfn, raw.arena_frames) <= first;
        (!is_apart).then(|| {
            format!(
                "domain \"{}\", number {}, has frames {:#x} to {:#x} of the arena, and the log needs \
                 {first:#x} to {:#x}: wait for its end, or end it with xl destroy {}",
                named.name,
                named.info.domid,
                raw.arena_first_mfn,
                end(raw.arena_first_mfn, raw.arena_frames).saturating_sub(1),
                end(first, frames).saturating_sub(1),
                named.info.domid
            )
        })
    })
}

/// The configuration of the replayed domain: the recorded one, with what differs at the end,
/// where it wins.
fn text(plan: &Plan, dir: &Path) -> Result<String, Error> {
    use log_format::file::Setting;
    let mut config = plan.config.clone();
    let path = |name: &str| Setting::Text(dir.join(name).to_string_lossy().into_owned());
    config.set("name", Setting::Text(plan.name.clone()));
    config.set("uuid", Setting::Text(plan.uuid.clone()));
    config.set("kernel", path("kernel"));
    if plan.ramdisk.is_some() {
        config.set("ramdisk", path("ramdisk"));
    }
    for event in [
        "on_poweroff",
        "on_reboot",
        "on_crash",
        "on_watchdog",
        "on_soft_reset",
    ] {
        config.set(event, Setting::Text("preserve".to_owned()));
    }
    let header = &plan.header;
    let mut xenlr = format!("replay,buffer_kb={}", plan.buffer_kb);
    if header.arena_frames != 0 {
        xenlr.push_str(&format!(
            ",arena_mfn={:#x},arena_frames={}",
            header.arena_first_mfn, header.arena_frames
        ));
    }
    if header.time_bound_us != 0 {
        xenlr.push_str(&format!(",time={}us", header.time_bound_us));
    }
    if header.trap_syscalls {
        xenlr.push_str(",syscalls=trap");
    }
    if let Some(cpu) = header.cpu {
        xenlr.push_str(&format!(",cpu={cpu}"));
    }
    config.set("xenlr", Setting::Text(xenlr));
    config.to_text().map_err(Error::Usage)
}

/// What a failed xl left behind.
#[derive(Debug)]
struct Failure {
    /// What failed, and how.
    what: String,
    code: Option<i32>,
    /// Its lines on stderr.
    said: Vec<String>,
}

impl Failure {
    /// The one line that says why, where there is one, without the place in libxl's source that said
    /// it; else all that are no mere information, one below the other.
    fn reason(&self) -> String {
        let lines = || self.said.iter().map(String::as_str);
        let why = lines()
            .filter(|line| line.contains("error: "))
            .filter_map(|line| Some(line.split_once("xenlr: ")?.1))
            .next_back();
        match why {
            Some(reason) => reason.to_owned(),
            None => lines()
                .filter(|line| !line.starts_with("libxl: info: "))
                .collect::<Vec<_>>()
                .join("\n  "),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let reason = failure.reason();
        let place = if reason.contains('\n') { ":\n  " } else { ": " };
        Self::Tool(format!("{}{place}{reason}", failure.what))
    }
}

/// Runs xl in a process group of its own: what interrupts us at the terminal must not end it in the
/// middle of its work.
fn xl(args: &[&str]) -> Result<(), Failure> {
    let verb = args.first().copied().unwrap_or_default();
    let output = Command::new("xl")
        .args(args)
        .process_group(0)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Failure {
            what: format!("xl {verb} cannot be run"),
            code: None,
            said: vec![e.to_string()],
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure {
        what: format!("xl {verb} failed ({})", output.status),
        code: output.status.code(),
        said: said
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

/// Removes what replays left that were killed.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(SCRATCH_PREFIX));
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A directory that only root reads, gone with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Error> {
        let parent = Path::new(LOCK_DIR);
        let path = parent.join(format!("{SCRATCH_PREFIX}{}", std::process::id()));
        let make = |path: &Path, recursive| {
            fs::DirBuilder::new()
                .recursive(recursive)
                .mode(0o700)
                .create(path)
                .map_err(|e| Error::io(format!("make {}", path.display()), e))
        };
        make(parent, true)?;
        sweep(parent);
        // A process of this number that was killed may have left one.
        let _ = fs::remove_dir_all(&path);
        make(&path, false)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let path = self.0.join(name);
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|e| Error::io(format!("write {}", path.display()), e))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(said: &[&str]) -> Failure {
        Failure {
            what: "xl create failed (exit status: 34)".to_owned(),
            code: Some(XL_XENLR_UNAVAILABLE),
            said: said.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    #[test]
    fn of_libxl_s_lines_the_reason_is_shown() {
        let taken = failure(&[
            "libxl: error: libxl_xenlr.c:292:libxl__xenlr_create_failed: Domain 4:xenlr: frames 0x20000 \
             to 0x2227f are in use or not in the arena: destroy the domain that has them",
            "libxl: error: libxl_create.c:706:libxl__domain_make: domain creation fail: No space left",
            "libxl: error: libxl_create.c:1411:initiate_domain_create: cannot make domain: -34",
        ]);
        assert_eq!(
            taken.reason(),
            "frames 0x20000 to 0x2227f are in use or not in the arena: destroy the domain that has \
             them"
        );
    }

    #[test]
    fn what_killed_replays_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let of = |id: &str| dir.path().join(format!("{SCRATCH_PREFIX}{id}"));
        let own = of(&std::process::id().to_string());
        // No process has this number: it is above the kernel's limit.
        let other = of("4194305");
        for path in [&own, &other] {
            fs::create_dir(path).unwrap();
        }
        sweep(dir.path());
        assert!(own.exists() && !other.exists());
    }

    #[test]
    fn without_one_its_lines_stay_lines() {
        let other = Error::from(failure(&[
            "libxl: info: libxl_xenlr.c:412:libxl__xenlr_pin: Domain 4:xenlr: vCPU pinned to CPU 1",
            "libxl: error: a",
            "libxl: error: b",
        ]));
        assert_eq!(
            other.to_string(),
            "xl create failed (exit status: 34):\n  libxl: error: a\n  libxl: error: b"
        );
        let one = Error::from(failure(&["libxl: error: a"]));
        assert_eq!(
            one.to_string(),
            "xl create failed (exit status: 34): libxl: error: a"
        );
    }
}
