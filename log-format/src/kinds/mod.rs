//! The kinds of records. Each has a file: its fields, its bytes, what is expected of them, and how
//! it is shown. The table here says which kinds there are and which numbers they have.
//!
//! A new kind is a file with [`Rules`] and a row of the table.

mod end;
mod event;
mod interrupt;
mod loan;
mod page;
mod place;
mod ring;
mod runstate;
mod start;
mod time;
pub(crate) mod tsc;
mod value;
mod wallclock;

use core::fmt;

use crate::decode::At;
use crate::encode::Head;
use crate::item::Item;
use crate::numbered::numbered;
use crate::predict::Predictor;
use crate::varint::{In, Out};
use crate::{DecodeError, Decoder};

pub use end::{End, EndReason};
pub use event::Event;
pub use interrupt::{FIRST_VECTOR, Interrupt};
pub use loan::Loan;
pub use page::{MAX_FRAME, MAX_PAGE_BYTES, Page};
pub use place::{MAX_PLACE_PAGES, Place};
pub use ring::{MAX_RING_BYTES, RingIn};
pub use runstate::Runstate;
pub use start::Start;
pub use time::{Line, TimeInfo};
pub use tsc::Tsc;
pub use value::{MAX_VALUE_BYTES, Value, ValueKind};
pub use wallclock::Wallclock;

use ring::{Console, Xenstore};

/// What one kind of record does in its own way.
pub(crate) trait Rules {
    /// Its fields.
    type Fields<'a>: Copy;

    /// What encoder and decoder remember of the records of this kind.
    type State: Copy + fmt::Debug;

    /// The state before the first record.
    const START: Self::State;

    /// Whether such a record can stand at this sync number.
    fn is_valid(_fields: &Self::Fields<'_>, _sync: u64) -> bool {
        true
    }

    /// Writes a record that is valid: [`Head::put`] with its form, then its payload.
    fn put(fields: &Self::Fields<'_>, head: &Head, out: &mut Out);

    /// Reads the payload of a record of one of its forms. What [`Self::put`] writes otherwise, or
    /// never, is an error.
    fn get<'a>(
        form: Form,
        predictor: &Predictor,
        at: &At,
        input: &mut In<'a>,
    ) -> Result<Self::Fields<'a>, DecodeError>;

    /// Takes in a record that was written or read, after what all kinds have in common; `slot` is
    /// the predictor's from before it.
    fn observe(_fields: &Self::Fields<'_>, _predictor: &mut Predictor, _slot: usize) {}

    /// What a listing shows behind the kind.
    fn text(fields: &Self::Fields<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The fields as a JSON object. Digests and addresses are hexadecimal strings, because JSON
    /// numbers are not exact beyond 2^53 everywhere.
    #[cfg(feature = "std")]
    fn json(fields: &Self::Fields<'_>) -> serde_json::Value;
}

macro_rules! is_commit {
    (commit) => {
        true
    };
    (value) => {
        false
    };
}

/// The bytes of fields, or nothing for fields without a lifetime.
macro_rules! bytes {
    ($fields:ident) => {
        &[]
    };
    ($fields:ident $life:lifetime) => {
        $fields.bytes
    };
}

/// Fields with other bytes; those without a lifetime stay as they are.
macro_rules! with_bytes {
    ($fields:ident $bytes:ident) => {
        $fields
    };
    ($fields:ident $bytes:ident $life:lifetime $type:ident) => {
        $type {
            bytes: $bytes,
            ..$fields
        }
    };
}

/// `commit NAME(FIELDS) = NUMBER "shown name" as state: RULES { FORM = NUMBER, … }`: a kind of
/// commits (or of values). Fields with the lifetime carry `bytes`.
macro_rules! kinds {
    ($lt:lifetime; $(
        $(#[$doc:meta])*
        $class:ident $kind:ident($fields:ident $(<$life:lifetime>)?) = $number:literal $name:literal
            as $state:ident: $rules:ty { $($form:ident = $form_number:literal),* }
    )*) => {
        numbered! {
            /// The kind of a record. The numbers stand in the hypervisor's status (`want_kind`, where 0
            /// is none).
            Kind: u8 { $($(#[$doc])* $kind = $number $name,)* }
        }

        impl Kind {
            /// Whether records of this kind are commits; otherwise they are values.
            pub const fn is_commit(self) -> bool {
                match self {
                    $(Self::$kind => is_commit!($class),)*
                }
            }
        }

        /// What follows the tag: a kind, and a way to write it. The numbers from 1 to 14 stand in the
        /// tag, those from 16 in a byte behind it; 0 is not used, so that a run of zeros is not a log.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Form {
            $($($form = $form_number,)*)*
        }

        impl Form {
            pub(crate) const fn from_number(number: u8) -> Option<Self> {
                Some(match number {
                    $($($form_number => Self::$form,)*)*
                    _ => return None,
                })
            }

            pub(crate) const fn is_commit(self) -> bool {
                match self {
                    $($(Self::$form => is_commit!($class),)*)*
                }
            }
        }

        /// What entered the guest. At the same sync number commits precede values.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Record<$lt> {
            $($(#[$doc])* $kind($fields $(<$life>)?),)*
        }

        impl<$lt> Record<$lt> {
            /// The kind, as its wire number counts it.
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// The bytes that some kinds carry, empty for all others.
            pub const fn bytes(&self) -> &$lt [u8] {
                match self {
                    $(Self::$kind(_fields) => bytes!(_fields $($life)?),)*
                }
            }

            /// The same record with other bytes, where it carries any.
            pub(crate) const fn with_bytes<'b>(&self, bytes: &'b [u8]) -> Record<'b> {
                match *self {
                    $(Self::$kind(fields) => Record::$kind(with_bytes!(fields bytes $($life $fields)?)),)*
                }
            }

            /// The fields as a JSON object.
            #[cfg(feature = "std")]
            pub fn json(&self) -> serde_json::Value {
                match self {
                    $(Self::$kind(fields) => <$rules>::json(fields),)*
                }
            }

            #[inline(always)]
            pub(crate) fn is_valid(&self, sync: u64) -> bool {
                match self {
                    $(Self::$kind(fields) => <$rules>::is_valid(fields, sync),)*
                }
            }

            #[inline(always)]
            pub(crate) fn put(&self, head: &Head, out: &mut Out) {
                match self {
                    $(Self::$kind(fields) => <$rules>::put(fields, head, out),)*
                }
            }

            #[inline(always)]
            pub(crate) fn observe(&self, predictor: &mut Predictor, slot: usize) {
                match self {
                    $(Self::$kind(fields) => <$rules>::observe(fields, predictor, slot),)*
                }
            }
        }

        impl fmt::Display for Record<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$kind(fields) => <$rules>::text(fields, f),)*
                }
            }
        }

        /// What is remembered of each kind.
        #[allow(dead_code, reason = "there are kinds of which nothing is")]
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct States {
            $(pub(crate) $state: <$rules as Rules>::State,)*
        }

        impl States {
            pub(crate) const START: Self = Self {
                $($state: <$rules as Rules>::START,)*
            };
        }

        impl Decoder {
            /// Reads the payload of a form, and takes the record in. Each form has its own copy of what
            /// is common: one value of all the kinds would be put together and taken apart again.
            #[inline(always)]
            pub(crate) fn decode_form<'a>(
                &mut self,
                form: Form,
                at: &At,
                mut input: In<'a>,
            ) -> Result<(usize, Item<'a>), DecodeError> {
                match form {
                    $($(Form::$form => {
                        let fields = <$rules>::get(Form::$form, &self.predictor, at, &mut input)?;
                        self.take(at, Record::$kind(fields), &input)
                    })*)*
                }
            }
        }
    };
}

kinds! { 'a;
    /// Commit: an event channel becomes pending.
    commit Event(Event) = 1 "event" as event: Event { EventExpected = 1, Event = 2 }
    /// Commit: the guest's time page is rewritten.
    commit Time(TimeInfo) = 2 "time" as time: TimeInfo { TimeExpected = 3, Time = 4 }
    /// Commit: the wallclock in the shared info page is rewritten.
    commit Wallclock(Wallclock) = 3 "wallclock" as wallclock: Wallclock { Wallclock = 5 }
    /// Commit: the guest's registered runstate area is rewritten.
    commit Runstate(Runstate) = 4 "runstate" as runstate: Runstate { Runstate = 6 }
    /// Commit: the console ring moves; `prod` is `in_prod`, `cons` is `out_cons`, `ext` is zero.
    commit ConsoleIn(RingIn<'a>) = 5 "console_in" as console: Console { ConsoleIn = 7 }
    /// Commit: the xenstore ring moves; `prod` is `rsp_prod`, `cons` is `req_cons`, `ext` is
    /// server features, connection state and error.
    commit XenstoreIn(RingIn<'a>) = 6 "xenstore_in" as xenstore: Xenstore { XenstoreIn = 8 }
    /// Commit, at sync number 0 only: digests of the state the guest starts from.
    commit Start(Start) = 7 "start" as start: Start { Start = 9 }
    /// Commit: the log ends here; nothing follows.
    commit End(End) = 8 "end" as end: End { End = 10 }
    /// Value: the answer to RDTSC or RDTSCP.
    value Tsc(Tsc) = 9 "tsc" as tsc: Tsc { Tsc = 11, TscPeriod = 12, TscSleep = 13 }
    /// Value: any other answer that depends on the world outside the guest.
    value Value(Value<'a>) = 10 "value" as value: Value<'static> { Value = 14 }
    /// Value: where the guest was, between this sync point and the next, when that was forced.
    value Place(Place) = 11 "place" as place: Place { Place = 16 }
    /// Commit: the guest's local APIC has an interrupt to deliver.
    commit Interrupt(Interrupt) = 12 "interrupt" as interrupt: Interrupt { Interrupt = 17 }
    /// Commit: a backend wrote to a page that the guest granted.
    commit Page(Page<'a>) = 13 "page" as page: Page<'static> { Page = 18 }
    /// Commit: a shared ring that the guest granted begins or ends to be relayed.
    commit Loan(Loan) = 14 "loan" as loan: Loan { Loan = 19 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::EXTENDED;

    #[test]
    fn no_form_has_a_number_that_stands_for_others() {
        assert_eq!(Form::from_number(0), None);
        assert_eq!(Form::from_number(EXTENDED), None);
    }
}
