//! The replayed domain: xl builds it from the log's header.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::plan::Plan;
use crate::domains;
use crate::error::Error;
use crate::lock::LOCK_DIR;
use crate::xen::Xen;

/// xl's exit codes of a domain that cannot be logged, and of a host that cannot log it now.
const XL_XENLR_UNSUPPORTED: i32 = 33;
const XL_XENLR_UNAVAILABLE: i32 = 34;
/// How often, and after which time, it is tried again to get the slice of the arena.
const ARENA_TRIES: u32 = 5;
const ARENA_PAUSE: Duration = Duration::from_millis(500);

/// A domain that was built for a replay. It is destroyed with this value, unless it is kept.
pub struct Built {
    /// Its number.
    pub domid: u16,
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
    if let Err(failure) = created {
        return Err(match failure.code {
            Some(XL_XENLR_UNSUPPORTED | XL_XENLR_UNAVAILABLE) => Error::UnusableLog {
                file: plan.file.clone(),
                reason: format!("it cannot be replayed here: {}", failure.said),
            },
            _ => failure.into(),
        });
    }
    let domid = domains::find(xen, &plan.name)?.info.domid;
    Ok(Built {
        domid,
        name: plan.name.clone(),
        is_kept: false,
    })
}

/// The configuration of the replayed domain: the recorded one, with what differs at the end,
/// where it wins.
fn text(plan: &Plan, dir: &Path) -> Result<String, Error> {
    use crate::xlcfg::Value;
    let mut config = plan.config.clone();
    let path = |name: &str| Value::Text(dir.join(name).to_string_lossy().into_owned());
    config.set("name", Value::Text(plan.name.clone()));
    if let Some(uuid) = &plan.uuid {
        config.set("uuid", Value::Text(uuid.clone()));
    }
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
        config.set(event, Value::Text("preserve".to_owned()));
    }
    let header = &plan.header;
    let mut xenlr = format!(
        "replay,arena_mfn={:#x},arena_frames={},buffer_kb={}",
        header.arena_first_mfn, header.arena_frames, plan.buffer_kb
    );
    if header.time_bound_us != 0 {
        xenlr.push_str(&format!(",time={}us", header.time_bound_us));
    }
    if let Some(cpu) = header.cpu {
        xenlr.push_str(&format!(",cpu={cpu}"));
    }
    config.set("xenlr", Value::Text(xenlr));
    config.to_text().map_err(Error::Usage)
}

/// What a failed xl left behind.
struct Failure {
    code: Option<i32>,
    said: String,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Tool(failure.said)
    }
}

fn xl(args: &[&str]) -> Result<String, Failure> {
    let verb = args.first().copied().unwrap_or_default();
    let output = Command::new("xl")
        .args(args)
        .output()
        .map_err(|e| Failure {
            code: None,
            said: format!("xl {verb} cannot be run: {e}"),
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    if output.status.success() {
        return Ok(said.join("; "));
    }
    Err(Failure {
        code: output.status.code(),
        said: format!("xl {verb} failed ({}): {}", output.status, said.join("; ")),
    })
}

/// A directory that only root reads, gone with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Error> {
        let parent = Path::new(LOCK_DIR);
        let path = parent.join(format!("replay-{}", std::process::id()));
        let make = |path: &Path, recursive| {
            fs::DirBuilder::new()
                .recursive(recursive)
                .mode(0o700)
                .create(path)
                .map_err(|e| Error::io(format!("make {}", path.display()), e))
        };
        make(parent, true)?;
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
