//! The part of a domain's configuration that its replay depends on.
//!
//! libxl keeps the configuration that a running domain was really created with as JSON. What
//! decides the guest's start state is taken from there into the log's header, and written as an xl
//! configuration file for its replay. Only the keys in [`KEYS`] are accepted: a log may come from
//! another host, and its header must not be able to name a program, a disk or a device that dom0
//! would then use.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use log_format::file::{Header, Setting};
use serde_json::Value as Json;

/// The settings of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Values by their keys.
    pub settings: BTreeMap<String, Setting>,
}

/// The keys that a log's header may hold: what reaches the guest, and nothing of the host.
pub const KEYS: [&str; 14] = [
    "type",
    "memory",
    "maxmem",
    "vcpus",
    "cmdline",
    "cpuid",
    "tsc_mode",
    "max_event_channels",
    "max_grant_frames",
    "max_maptrack_frames",
    "max_grant_version",
    "e820_host",
    "vpmu",
    "acpi",
];

/// What libxl's JSON says of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FromJson {
    /// The settings to keep.
    pub config: Config,
    /// Path of the kernel, as the toolstack was given it.
    pub kernel: Option<String>,
    /// Path of the initial ramdisk.
    pub ramdisk: Option<String>,
    /// What the domain has and a replay will not have.
    pub warnings: Vec<String>,
}

impl Config {
    /// Sets a key, replacing an earlier value.
    pub fn set(&mut self, key: &str, value: Setting) {
        self.settings.insert(key.to_owned(), value);
    }

    /// A number that is set.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.settings.get(key) {
            Some(Setting::Number(n)) => Some(*n),
            _ => None,
        }
    }

    /// The text of an xl configuration file.
    pub fn to_text(&self) -> Result<String, String> {
        let mut text = String::new();
        for (key, value) in &self.settings {
            let value = match value {
                Setting::Text(s) => quote(key, s)?,
                Setting::Number(n) => n.to_string(),
                Setting::List(all) => {
                    let quoted: Result<Vec<_>, _> = all.iter().map(|s| quote(key, s)).collect();
                    format!("[ {} ]", quoted?.join(", "))
                }
            };
            let _ = writeln!(text, "{key} = {value}");
        }
        Ok(text)
    }

    /// The configuration that a header holds; a key that no log needs is an
    /// error, and so is what xl cannot be given.
    pub fn of(header: &Header) -> Result<Self, String> {
        if header.config.is_empty() {
            return Self::parse(&header.xl_config);
        }
        match header
            .config
            .keys()
            .find(|key| !KEYS.contains(&key.as_str()))
        {
            Some(key) => Err(format!(
                "its configuration sets \"{key}\", which no log needs"
            )),
            None => {
                let settings = header.config.clone();
                let config = Self { settings };
                config.to_text().map(|_| config)
            }
        }
    }

    /// Reads what logs before version 3 have: the text that [`Self::to_text`] writes; any other key
    /// or form is an error.
    fn parse(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong =
                |what: &str| format!("line {} of the configuration {what}: {line}", number + 1);
            let (key, value) = line.split_once('=').ok_or_else(|| wrong("has no \"=\""))?;
            let (key, value) = (key.trim(), value.trim());
            if !KEYS.contains(&key) {
                return Err(wrong("sets a key that no log needs"));
            }
            let value =
                parse_value(value).ok_or_else(|| wrong("has a value that is not understood"))?;
            config.set(key, value);
        }
        Ok(config)
    }
}

/// Quotes a string for libxlu's parser, which knows backslash escapes but no way to write a
/// control character reliably.
fn quote(key: &str, text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err(format!(
            "the value of {key} holds a control character, which xl cannot be given"
        ));
    }
    Ok(format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}

fn parse_value(text: &str) -> Option<Setting> {
    if let Some(inner) = text.strip_prefix('[') {
        let mut rest = inner.trim_start();
        let mut all = Vec::new();
        loop {
            if rest == "]" {
                return Some(Setting::List(all));
            }
            let (item, after) = unquote(rest)?;
            all.push(item);
            rest = after.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(more) => more.trim_start(),
                None => rest,
            };
        }
    }
    if text.starts_with('"') {
        let (item, rest) = unquote(text)?;
        return rest.is_empty().then_some(Setting::Text(item));
    }
    text.parse().ok().map(Setting::Number)
}

/// The string at the start of `text` and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, text.get(at + 2..)?)),
            '\\' => out.push(
                chars
                    .next()
                    .map(|(_, c)| c)
                    .filter(|c| "\\\"".contains(*c))?,
            ),
            c if c.is_control() => return None,
            c => out.push(c),
        }
    }
    None
}

/// Takes from libxl's JSON what [`KEYS`] lists.
pub fn from_json(text: &str) -> Result<FromJson, String> {
    // libxl writes the text with its terminating zero.
    let json: Json = serde_json::from_str(text.trim_end_matches('\0'))
        .map_err(|e| format!("libxl's configuration is no JSON: {e}"))?;
    let build = json
        .get("b_info")
        .ok_or("libxl's configuration has no b_info")?;
    let mut from = FromJson::default();
    let kind = json
        .pointer("/c_info/type")
        .and_then(Json::as_str)
        .unwrap_or("pv");
    from.config.set("type", Setting::Text(kind.to_owned()));
    let number = |key: &str| build.get(key).and_then(Json::as_u64);
    if let Some(kib) = number("target_memkb").or(number("max_memkb")) {
        from.config.set("memory", Setting::Number(kib / 1024));
    }
    if let Some(kib) = number("max_memkb") {
        from.config.set("maxmem", Setting::Number(kib / 1024));
    }
    from.config
        .set("vcpus", Setting::Number(number("max_vcpus").unwrap_or(1)));
    for (theirs, ours) in [
        ("event_channels", "max_event_channels"),
        ("max_grant_frames", "max_grant_frames"),
        ("max_maptrack_frames", "max_maptrack_frames"),
        ("max_grant_version", "max_grant_version"),
    ] {
        // The default of the grant limits is written as a negative number or all ones.
        if let Some(n) = number(theirs).filter(|&n| n < u64::from(u32::MAX)) {
            from.config.set(ours, Setting::Number(n));
        }
    }
    if let Some(mode) = build.get("tsc_mode").and_then(Json::as_str) {
        from.config.set("tsc_mode", Setting::Text(mode.to_owned()));
    }
    for (pointer, key) in [
        ("/type.pv/e820_host", "e820_host"),
        ("/vpmu", "vpmu"),
        ("/acpi", "acpi"),
    ] {
        match build.pointer(pointer).and_then(Json::as_str) {
            Some("True") => from.config.set(key, Setting::Number(1)),
            Some("False") => from.config.set(key, Setting::Number(0)),
            _ => {}
        }
    }
    let text = |key: &str| {
        build
            .get(key)
            .and_then(Json::as_str)
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
    };
    if let Some(cmdline) = text("cmdline") {
        from.config.set("cmdline", Setting::Text(cmdline));
    }
    from.kernel = text("kernel");
    from.ramdisk = text("ramdisk");
    if let Some(leaves) = cpuid(build)? {
        from.config.set("cpuid", Setting::List(leaves));
    }
    for device in [
        "disks", "nics", "pcidevs", "vtpms", "p9s", "vkbs", "vfbs", "vsnds",
    ] {
        let count = json
            .get(device)
            .and_then(Json::as_array)
            .map_or(0, Vec::len);
        if count > 0 {
            from.warnings.push(format!(
                "the domain has {count} of \"{device}\", whose data are not in the log: it will \
                 not replay past their first use"
            ));
        }
    }
    Ok(from)
}

/// CPUID leaves in the form `LEAF[,SUBLEAF]:eax=BITS,…` that xl's configuration takes.
fn cpuid(build: &Json) -> Result<Option<Vec<String>>, String> {
    let Some(policy) = build.get("cpuid").filter(|p| !p.is_null()) else {
        return Ok(None);
    };
    // Up to Xen 4.17 the policy was the array itself.
    let leaves = policy
        .get("cpuid")
        .unwrap_or(policy)
        .as_array()
        .ok_or("libxl's cpuid policy has an unknown form")?;
    let mut all = Vec::new();
    for leaf in leaves {
        let input = leaf
            .get("leaf")
            .and_then(Json::as_u64)
            .ok_or("a cpuid entry has no leaf")?;
        let mut text = format!("0x{input:x}");
        if let Some(subleaf) = leaf.get("subleaf").and_then(Json::as_u64) {
            let _ = write!(text, ",0x{subleaf:x}");
        }
        let registers: Vec<String> = ["eax", "ebx", "ecx", "edx"]
            .iter()
            .filter_map(|r| Some(format!("{r}={}", leaf.get(r)?.as_str()?)))
            .collect();
        if !registers.is_empty() {
            all.push(format!("{text}:{}", registers.join(",")));
        }
    }
    Ok((!all.is_empty()).then_some(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{
        "c_info": {"type": "pv", "name": "g", "uuid": "0123"},
        "b_info": {
            "max_vcpus": 1, "max_memkb": 65536, "target_memkb": 32768, "tsc_mode": "default",
            "kernel": "/guests/minios", "cmdline": "daytime \"x\" c:\\",
            "cpuid": {"cpuid": [
                {"leaf": 7, "subleaf": 0, "ebx": "xxxxxxxxxxxxx0xxxxxxxxxxxxxxxxxx"},
                {"leaf": 1, "ecx": "x0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}], "msr": []},
            "type.pv": {"e820_host": "False"}
        },
        "disks": [{"pdev_path": "/x"}]
    }"#;

    #[test]
    fn json_becomes_a_configuration_and_reads_back() {
        let from = from_json(&format!("{JSON}\n\0")).unwrap();
        let text = from.config.to_text().unwrap();
        assert_eq!(Config::parse(&text).unwrap(), from.config);
        assert!(text.contains("memory = 32\n"), "{text}");
        assert!(text.contains("maxmem = 64\n"));
        assert!(text.contains(r#"cmdline = "daytime \"x\" c:\\""#));
        assert!(text.contains(r#""0x7,0x0:ebx=xxxxxxxxxxxxx0xxxxxxxxxxxxxxxxxx""#));
        assert_eq!(from.kernel.as_deref(), Some("/guests/minios"));
        assert_eq!(from.ramdisk, None);
        assert_eq!(from.warnings.len(), 1);
    }

    #[test]
    fn a_header_cannot_name_programs_or_devices() {
        for text in [
            "bootloader = \"/bin/sh\"",
            "disk = [ \"phy:/dev/sda,xvda,w\" ]",
            "memory = 32\nkernel = \"/etc/shadow\"",
            "cmdline = \"a\"; bootloader = \"/bin/sh\"",
            "cmdline = \"a",
            "memory",
            "memory = many",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_header_holds_the_settings_or_their_text() {
        let config = from_json(JSON).unwrap().config;
        let old = Header {
            xl_config: config.to_text().unwrap(),
            ..Header::default()
        };
        let mut new = Header {
            config: config.settings.clone(),
            ..Header::default()
        };
        assert_eq!(Config::of(&old).as_ref(), Ok(&config));
        assert_eq!(Config::of(&new).as_ref(), Ok(&config));
        assert_eq!(Config::of(&Header::default()), Ok(Config::default()));
        let program = Setting::Text("/bin/sh".to_owned());
        new.config.insert("bootloader".to_owned(), program);
        assert!(Config::of(&new).unwrap_err().contains("bootloader"));
        new.config = [("cmdline".to_owned(), Setting::Text("a\nb".to_owned()))].into();
        assert!(Config::of(&new).unwrap_err().contains("control character"));
    }

    #[test]
    fn control_characters_are_refused() {
        let mut config = Config::default();
        config.set("cmdline", Setting::Text("a\nbootloader=\"x\"".to_owned()));
        assert!(config.to_text().is_err());
    }
}
