//! The raw structures against Xen's own headers: compiles the public headers with `cc` and
//! compares every size, offset and number that `xen/abi.rs` uses.
//!
//! The headers are those of the patched Xen tree that `XENLR_XEN_TREE` names. The test is ignored
//! unless it is asked for (`cargo test -p xenlr --test abi -- --ignored`), so that a machine
//! without a tree does not count it as passed.

use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::PathBuf;
use std::process::Command;

use log_format::{ValueKind, control, ring};
use xenlr::xen::abi::*;

/// Collects (C expression, Rust number) pairs.
#[derive(Default)]
struct Table(Vec<(String, u64)>);

impl Table {
    fn number(&mut self, c: &str, rust: impl Into<u64>) {
        self.0
            .push((format!("(unsigned long long)({c})"), rust.into()));
    }

    /// Every variant of an enumeration, with the name behind `prefix` and the number that `of` gives.
    fn numbered<T: Copy>(&mut self, prefix: &str, all: &[T], of: impl Fn(T) -> (String, u32)) {
        for &variant in all {
            let (name, number) = of(variant);
            self.number(&format!("{prefix}{}", name.to_uppercase()), number);
        }
    }

    fn size(&mut self, c: &str, rust: usize) {
        self.number(&format!("sizeof({c})"), rust as u64);
    }

    fn offset(&mut self, c: &str, field: &str, rust: usize) {
        self.number(&format!("offsetof({c}, {field})"), rust as u64);
    }
}

/// `fields!(table, "struct x", Rust { a, b = c_name })`
macro_rules! fields {
    ($table:ident, $c:literal, $rust:ty { $($field:ident $(= $name:literal)?),* $(,)? }) => {
        $( {
            #[allow(unused_mut, unused_assignments)]
            let mut name = stringify!($field);
            $( name = $name; )?
            $table.offset($c, name, offset_of!($rust, $field));
        } )*
    };
}

fn table() -> Table {
    let mut t = Table::default();
    t.size("struct xen_domctl", size_of::<Domctl>());
    fields!(
        t,
        "struct xen_domctl",
        Domctl {
            cmd,
            interface_version,
            domain,
            u
        }
    );
    t.size("struct xen_domctl_xenlr_op", size_of::<XenlrOp>());
    fields!(
        t,
        "struct xen_domctl_xenlr_op",
        XenlrOp {
            cmd,
            port,
            sync,
            status
        }
    );
    t.size("struct xenlr_status", size_of::<XenlrStatus>());
    fields!(
        t,
        "struct xenlr_status",
        XenlrStatus {
            mode,
            state,
            flags,
            cpu,
            apic_id,
            tsc_khz,
            time_bound_us,
            sync,
            records,
            bytes,
            events,
            ring_size,
            ring_used,
            max_delay_ns,
            paused_ns,
            pauses,
            arena_first_mfn,
            arena_frames,
            arena_used,
            loans,
            rings,
            loan_pages,
            max_loan_pages,
            all_loan_pages,
            loan_waits,
            loan_max_delay_ns,
            end_sync,
            end_rip,
            end_registers,
            end_memory,
            end_reason,
            end_code,
            end_pages,
            error,
            diverge_sync,
            diverge_rip,
            expected,
            actual,
            diverge_kind,
            want_kind,
        }
    );
    t.size(
        "struct xen_domctl_getdomaininfo",
        size_of::<GetDomainInfo>(),
    );
    fields!(t, "struct xen_domctl_getdomaininfo", GetDomainInfo {
        domain, flags, tot_pages, cpu_time, handle, cpupool, gpaddr_bits,
        arch_emulation_flags = "arch_config.emulation_flags",
        arch_misc_flags = "arch_config.misc_flags",
    });
    t.size("struct xen_sysctl", size_of::<Sysctl>());
    fields!(
        t,
        "struct xen_sysctl",
        Sysctl {
            cmd,
            interface_version,
            u
        }
    );
    fields!(
        t,
        "struct xen_sysctl_getdomaininfolist",
        GetDomainInfoList {
            first_domain,
            max_domains,
            buffer,
            num_domains,
        }
    );
    fields!(
        t,
        "struct xen_sysctl_physinfo",
        PhysInfo {
            cpu_khz,
            capabilities
        }
    );
    t.size(
        "struct xen_mem_acquire_resource",
        size_of::<MemAcquireResource>(),
    );
    fields!(
        t,
        "struct xen_mem_acquire_resource",
        MemAcquireResource {
            domid,
            kind = "type",
            id,
            nr_frames,
            pad,
            frame,
            frame_list,
        }
    );
    fields!(
        t,
        "struct xenlr_ring",
        RingHead {
            magic,
            version,
            size_bytes,
            mode,
            prod,
            cons,
            found,
            place
        }
    );
    t.size("struct xenlr_ring", ring::HEADER_BYTES);
    numbers(&mut t);
    t
}

/// Where `log-format` says that the fields are, as a structure.
#[repr(C, align(64))]
struct RingHead {
    magic: u32,
    version: u32,
    size_bytes: u32,
    mode: u32,
    pad0: [u8; 48],
    prod: u64,
    pad1: [u8; 56],
    cons: u64,
    pad2: [u8; 56],
    found: u64,
    pad3: [u8; 56],
    place: [[u64; 2]; ring::FOUND_ENTRIES as usize],
}

fn numbers(t: &mut Table) {
    t.number("XEN_DOMCTL_INTERFACE_VERSION", DOMCTL_INTERFACE_VERSION);
    t.number("XEN_SYSCTL_INTERFACE_VERSION", SYSCTL_INTERFACE_VERSION);
    t.number("__HYPERVISOR_memory_op", HYPERVISOR_MEMORY_OP);
    t.number("XENMEM_acquire_resource", XENMEM_ACQUIRE_RESOURCE);
    t.number("__HYPERVISOR_xen_version", HYPERVISOR_XEN_VERSION);
    t.number("__HYPERVISOR_sysctl", HYPERVISOR_SYSCTL);
    t.number("__HYPERVISOR_domctl", HYPERVISOR_DOMCTL);
    t.number("XEN_DOMCTL_destroydomain", DOMCTL_DESTROYDOMAIN);
    t.number("XEN_DOMCTL_pausedomain", DOMCTL_PAUSEDOMAIN);
    t.number("XEN_DOMCTL_unpausedomain", DOMCTL_UNPAUSEDOMAIN);
    t.number("XEN_DOMCTL_xenlr_op", DOMCTL_XENLR_OP);
    t.number("XEN_DOMCTL_XENLR_status", XENLR_OP_STATUS);
    t.number("XEN_DOMCTL_XENLR_stop", XENLR_OP_STOP);
    t.number("XEN_DOMCTL_XENLR_bind", XENLR_OP_BIND);
    t.number("XEN_DOMCTL_XENLR_kick", XENLR_OP_KICK);
    t.number("XEN_DOMCTL_XENLR_until", XENLR_OP_UNTIL);
    t.number("XEN_DOMCTL_XENLR_release", XENLR_OP_RELEASE);
    t.number("XEN_SYSCTL_physinfo", SYSCTL_PHYSINFO);
    t.number("XEN_SYSCTL_getdomaininfolist", SYSCTL_GETDOMAININFOLIST);
    t.number("XEN_SYSCTL_PHYSCAP_xenlr", PHYSCAP_XENLR);
    t.number("XENVER_version", XENVER_VERSION);
    t.number("XENVER_extraversion", XENVER_EXTRAVERSION);
    t.number("XENVER_changeset", XENVER_CHANGESET);
    t.number("XENVER_build_id", XENVER_BUILD_ID);
    t.number("XEN_DOMINF_dying", DomainFlags::DYING.bits());
    t.number("XEN_DOMINF_shutdown", DomainFlags::SHUTDOWN.bits());
    t.number("XEN_DOMINF_paused", DomainFlags::PAUSED.bits());
    t.number("XENMEM_resource_xenlr_ring", RESOURCE_XENLR_RING);
    t.number("DOMID_SELF", DOMID_SELF);
    t.numbered("XENLR_MODE_", control::Mode::ALL, |mode| {
        (mode.name().to_owned(), mode.number())
    });
    t.numbered("XENLR_STATE_", control::State::ALL, |state| {
        (state.name().to_owned(), state.number())
    });
    t.number("XENLR_FLAG_on_full_stop", StatusFlags::ON_FULL_STOP.bits());
    t.number("XENLR_FLAG_cpuid_faults", StatusFlags::CPUID_FAULTS.bits());
    t.number("XENLR_FLAG_bound", StatusFlags::BOUND.bits());
    t.number(
        "XENLR_FLAG_trap_syscalls",
        StatusFlags::TRAP_SYSCALLS.bits(),
    );
    t.number("XENLR_ERR_NONE", 0_u32);
    t.numbered("XENLR_ERR_", control::Failure::ALL, |failure| {
        let name = match failure {
            control::Failure::RingIndex => "RING_INDEX",
            control::Failure::Log => "LOG",
            control::Failure::Full => "FULL",
        };
        (name.to_owned(), failure.number())
    });
    t.numbered("XENLR_DIVERGE_", control::Divergence::ALL, |divergence| {
        let name = match divergence {
            control::Divergence::SyncNumber => "SYNC".to_owned(),
            control::Divergence::StartState => "START".to_owned(),
            control::Divergence::PlaceMemory => "PLACE_MEMORY".to_owned(),
            other => other.name().replace(' ', "_"),
        };
        (name, divergence.number())
    });
    t.number("XENLR_NO_PORT", XENLR_NO_PORT);
    t.number("XENLR_RING_MAGIC", ring::MAGIC);
    t.number("XENLR_RING_VERSION", ring::VERSION);
    t.number("XENLR_BUF_FRAMES_MIN", ring::MIN_DATA_PAGES);
    t.number("XENLR_BUF_FRAMES_MAX", ring::MAX_DATA_PAGES);
    t.offset("struct xenlr_ring", "prod", ring::PROD_OFFSET);
    t.offset("struct xenlr_ring", "cons", ring::CONS_OFFSET);
    t.offset("struct xenlr_ring", "found", ring::FOUND_OFFSET);
    t.offset("struct xenlr_ring", "place", ring::FOUND_ENTRIES_OFFSET);
    t.number("XENLR_RING_PLACES", ring::FOUND_ENTRIES);
}

/// Names of the interface that xenlr does not use: they are for libxl, which creates domains.
const NOT_NUMBERS: [&str; 6] = [
    "XENLR_CREATE_trap_syscalls",
    "XENLR_FORCE_US_MIN",
    "XENLR_FORCE_US_MAX",
    "XENLR_ON_FULL_PAUSE",
    "XENLR_ON_FULL_STOP",
    "XENLR_ARENA_MFN_ANY",
];

/// Everything that the header defines is compared, so that what is added to it is not forgotten here.
fn check_complete(tree: &std::path::Path, table: &Table) {
    let header = std::fs::read_to_string(tree.join("xen/include/public/xenlr.h"))
        .expect("the public header");
    let forgotten: Vec<&str> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define "))
        .filter_map(|rest| rest.split(|c: char| c.is_whitespace() || c == '(').next())
        .filter(|name| name.starts_with("XENLR_"))
        .filter(|name| !NOT_NUMBERS.contains(name))
        .filter(|name| {
            let expression = format!("(unsigned long long)({name})");
            !table.0.iter().any(|(c, _)| *c == expression)
        })
        .collect();
    assert!(
        forgotten.is_empty(),
        "not compared: {}",
        forgotten.join(", ")
    );
}

/// The kinds of values, of which the hypervisor has a list of its own: each has the number of the
/// kind that is called so here.
#[test]
#[ignore = "needs a patched Xen tree: XENLR_XEN_TREE"]
fn values_have_the_numbers_of_the_hypervisors_header() {
    let tree = std::env::var_os("XENLR_XEN_TREE").map(PathBuf::from);
    let header = tree.expect("XENLR_XEN_TREE names a patched Xen tree");
    let header = std::fs::read_to_string(header.join("xen/include/xen/xenlr.h")).expect("a header");
    let theirs: Vec<(String, u8)> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define XENLR_VALUE_"))
        .filter_map(|rest| {
            let mut words = rest.split_whitespace();
            Some((words.next()?.to_lowercase(), words.next()?.parse().ok()?))
        })
        .collect();
    assert!(theirs.len() >= 5, "{theirs:?}");
    for (name, number) in theirs {
        let kind = ValueKind::from_number(number).map(ValueKind::name);
        assert_eq!(kind, Some(name.as_str()), "XENLR_VALUE_* {number}");
    }
}

#[test]
#[ignore = "needs a patched Xen tree: XENLR_XEN_TREE"]
fn structures_are_those_of_the_public_headers() {
    let tree = std::env::var_os("XENLR_XEN_TREE").map(PathBuf::from);
    let tree = tree.expect("XENLR_XEN_TREE names a patched Xen tree");
    let table = table();
    check_complete(&tree, &table);
    let mut program = String::from(
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n\
         #define __XEN_TOOLS__ 1\n#include \"public/xen.h\"\n#include \"public/domctl.h\"\n\
         #include \"public/sysctl.h\"\n#include \"public/memory.h\"\n#include \"public/version.h\"\n\
         #include \"public/xenlr.h\"\nint main(void)\n{\n",
    );
    for (c, _) in &table.0 {
        let _ = writeln!(program, "    printf(\"%llu\\n\", {c});");
    }
    program.push_str("    return 0;\n}\n");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let source = dir.path().join("abi.c");
    let binary = dir.path().join("abi");
    std::fs::write(&source, program).expect("the C program is written");
    let built = Command::new("cc")
        .arg("-iquote")
        .arg(tree.join("xen/include"))
        .arg("-o")
        .args([&binary, &source])
        .output()
        .expect("a C compiler, cc");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(
        built.status.success(),
        "the headers do not compile:\n{said}"
    );
    let output = Command::new(&binary).output().expect("the C program runs");
    let theirs: Vec<u64> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    assert_eq!(theirs.len(), table.0.len());
    let different: Vec<String> = table
        .0
        .iter()
        .zip(theirs)
        .filter(|((_, ours), theirs)| ours != theirs)
        .map(|((c, ours), theirs)| format!("{c}: Xen says {theirs}, xenlr {ours}"))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}
