//! Cases of a PVH guest's own.

use super::{check, send, upcalls, Ports};
use crate::abi::{nr, vcpuop};
use crate::machine::pvh;
use crate::memory::Page;
use crate::{cmdline, event, hypercall, witness};
use core::arch::asm;

static BUFFER: Page = Page::new();
const EXTRAVERSION: u64 = 1;
/// Bytes of the version's text.
const TEXT: usize = 16;

/// The version's number and text, as 64-bit code is told.
fn version() -> (u32, [u8; TEXT]) {
    let mut text = [0; TEXT];
    hypercall::op(nr::XEN_VERSION, EXTRAVERSION, &mut text);
    (hypercall::plain(nr::XEN_VERSION, [0; 5]) as u32, text)
}

fn bytes(words: &[u32]) -> [u8; TEXT] {
    core::array::from_fn(|index| words[index / 4].to_le_bytes()[index % 4])
}

/// Hypercalls made by 32-bit code before there was paging, if the command line asks for them, were answered as they are now.
pub fn calls_before_paging(_: &Ports) -> Result<(), &'static str> {
    let answers = pvh::answers();
    if cmdline::words().all(|word| !word.contains("st32")) {
        return check(answers.iter().all(|word| *word == 0), "an answer to what nobody asked");
    }
    let (number, text) = version();
    check(answers[0] == number && answers[1] == 0, "another version")?;
    check(bytes(&answers[4..8]) == text, "another text of the version")?;
    check(answers[2] == 0 && answers[8] == 0, "the runstate is not running")?;
    check(answers[9] != 0 || answers[10] != 0, "the runstate was entered at no time")?;
    check(answers[3] == 0 && answers[20] == number && answers[21] == 0, "another answer in the multicall")
}

/// The same from compatibility mode.
pub fn calls_from_32_bit(_: &Ports) -> Result<(), &'static str> {
    let at = (BUFFER.pfn() << 12) as u32;
    let (number, text) = version();
    check(pvh::call_32(nr::XEN_VERSION as u32, [0; 3]) == i64::from(number), "another version")?;
    check(pvh::call_32(nr::XEN_VERSION as u32, [EXTRAVERSION as u32, at, 0]) == 0, "no text of the version")?;
    let words: [u32; 4] = core::array::from_fn(|index| (BUFFER.read(index / 2) >> (32 * (index % 2))) as u32);
    check(bytes(&words) == text, "another text of the version")?;
    let result = pvh::call_32(nr::VCPU_OP as u32, [vcpuop::GET_RUNSTATE_INFO as u32, 0, at]);
    // State and time stand next to each other in 32-bit code's structure.
    check(result == 0 && BUFFER.read(0) as u32 == 0, "the runstate is not running")?;
    check(BUFFER.read(0) >> 32 | BUFFER.read(1) << 32 != 0, "the runstate was entered at no time")
}

/// An upcall that is due comes behind the instruction that follows STI, not before it.
pub fn interrupt_shadow(ports: &Ports) -> Result<(), &'static str> {
    event::mask_upcalls();
    let before = upcalls();
    send(ports.0);
    let (inside, behind): (u64, u64);
    // SAFETY: reads the handler's counter.
    unsafe {
        asm!("sti", "mov {inside}, [{upcalls}]", "nop", "mov {behind}, [{upcalls}]",
            upcalls = in(reg) witness::UPCALLS.as_ptr(), inside = out(reg) inside, behind = out(reg) behind);
    }
    check(inside == before, "an upcall came in the shadow")?;
    check(behind == before + 1, "no upcall behind the shadow")
}
