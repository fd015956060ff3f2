//! Loops without an exit, which end when the timer's event has come, or by themselves: a host that
//! forces no commits between two exits lets them run to their end.

use super::Torture;
use crate::apps::spin::work_with_calls;
use crate::clock::{self, MILLISECOND};
use crate::{event, hypercall};

/// Rounds of calls: some tenths of a second on an emulated CPU.
const ROUNDS: u64 = 40_000;
/// Rounds of a few instructions, in a loop that nobody returns to: it is over before it would be disturbed.
const TIGHT_ROUNDS: u64 = 2_000_000;

/// Waits for the timer without an exit, in one of three ways.
pub fn spin(t: &mut Torture) {
    let port = clock::timer_port();
    let start = event::latched(port);
    let is_over = || event::latched(port) != start;
    let kind = t.random.below(3);
    hypercall::set_timer(clock::now() + (1 + t.random.below(4)) * MILLISECOND);
    let mut sum = t.sum.0;
    let call_until_over = |sum: &mut u64| {
        let mut rounds = 0;
        while rounds < ROUNDS && !is_over() {
            *sum = work_with_calls(*sum);
            rounds += 1;
        }
        rounds
    };
    let rounds = match kind {
        0 => call_until_over(&mut sum),
        1 => (0..TIGHT_ROUNDS).take_while(|_| !is_over()).count() as u64,
        _ => {
            event::mask_upcalls();
            for _ in 0..ROUNDS / 20 {
                sum = work_with_calls(sum);
            }
            event::allow_upcalls();
            call_until_over(&mut sum)
        }
    };
    t.sum.mix(sum);
    t.sum.mix(rounds);
    event::wait_port(port, start);
}
