//! The daemon's unit confines it to what the sources say that it opens.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Devices named by string literals below `dir`.
fn devices_opened(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("the sources are there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            devices_opened(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        // A literal that is nothing but the path is what gets opened; messages say more.
        found.extend(
            text.split('"')
                .filter(|part| part.starts_with("/dev/") && !part.contains(' '))
                .map(str::to_owned),
        );
    }
}

/// The values of a directive, in order.
fn values<'a>(unit: &'a str, directive: &str) -> Vec<&'a str> {
    unit.lines()
        .filter_map(|line| line.strip_prefix(directive)?.strip_prefix('='))
        .collect()
}

#[test]
fn the_unit_allows_the_devices_that_are_opened_and_no_others() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = fs::read_to_string(here.join("xenlr-daemon.service")).expect("the unit");
    let mut opened = BTreeSet::new();
    devices_opened(&here.join("src"), &mut opened);
    let allowed: BTreeSet<String> = values(&unit, "DeviceAllow")
        .iter()
        .map(|value| {
            let (device, access) = value.split_once(' ').expect("a device and its access");
            assert_eq!(access, "rw", "{device}");
            device.to_owned()
        })
        .collect();
    assert!(!opened.is_empty());
    assert_eq!(allowed, opened);
    for (directive, value) in [
        ("DevicePolicy", "closed"),
        ("UMask", "0077"),
        ("LogsDirectoryMode", "0700"),
        ("RuntimeDirectoryMode", "0700"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("PrivateNetwork", "yes"),
    ] {
        assert_eq!(values(&unit, directive), [value], "{directive}");
    }
}
