//! The first byte of a record:
//!
//! ```text
//! 1LLPPPPP  a short TSC value, see `kinds::tsc`
//! 0SSSFFFF  any other record of form FFFF (15: the form is in the byte that follows); SSS says how
//!           many sync points after the last record: 0 as expected, 1 to 6 for 0 to 5, 7 for a
//!           varint (less 6) that follows the form
//! ```

use crate::DecodeError;
use crate::kinds::Form;
use crate::varint::{In, Out};

/// FFFF of a form that has a byte of its own.
pub(crate) const EXTENDED: u8 = 15;
const STEP_VARINT: u8 = 7;
const STEP_VARINT_BASE: u64 = 6;

/// The tag of a record whose step needs no more than the tag.
#[inline]
pub(crate) fn short(form: u8, step: u64, expected_step: u32) -> Option<u8> {
    if step == u64::from(expected_step) {
        Some(form)
    } else if step < STEP_VARINT_BASE {
        Some((step as u8).wrapping_add(1) << 4 | form)
    } else {
        None
    }
}

/// Writes form and step.
#[inline(always)]
pub(crate) fn put(out: &mut Out, form: u8, step: u64, expected_step: u32) {
    // Where it is called, the form is known: there is nothing to decide.
    if form < EXTENDED {
        put_short(out, form, step, expected_step);
    } else {
        put_extended(out, form, step, expected_step);
    }
}

fn put_short(out: &mut Out, form: u8, step: u64, expected_step: u32) {
    if let Some(tag) = short(form, step, expected_step) {
        out.byte(tag);
    } else {
        out.byte(STEP_VARINT << 4 | form);
        out.varint(step.wrapping_sub(STEP_VARINT_BASE));
    }
}

fn put_extended(out: &mut Out, form: u8, step: u64, expected_step: u32) {
    if let Some(tag) = short(EXTENDED, step, expected_step) {
        out.byte(tag);
        out.byte(form);
    } else {
        out.byte(STEP_VARINT << 4 | EXTENDED);
        out.byte(form);
        out.varint(step.wrapping_sub(STEP_VARINT_BASE));
    }
}

/// Reads form and step of any record but a short TSC value.
#[inline]
pub(crate) fn get(input: &mut In, expected_step: u32) -> Result<(Form, u64), DecodeError> {
    let tag = input.byte()?;
    let form = match Form::from_number(tag & 15) {
        Some(form) => form,
        None => get_extended(tag, input)?,
    };
    Ok((form, get_step(tag, input, expected_step)?))
}

/// Reads the form that the tag does not name.
#[cold]
fn get_extended(tag: u8, input: &mut In) -> Result<Form, DecodeError> {
    if tag & 15 != EXTENDED {
        return Err(DecodeError::Tag(tag));
    }
    let number = input.byte()?;
    if number <= EXTENDED {
        return Err(DecodeError::Overlong);
    }
    Form::from_number(number).ok_or(DecodeError::Form(number))
}

#[inline(always)]
fn get_step(tag: u8, input: &mut In, expected_step: u32) -> Result<u64, DecodeError> {
    let expected_step = u64::from(expected_step);
    let step = match tag >> 4 {
        0 => return Ok(expected_step),
        STEP_VARINT => input
            .varint()?
            .checked_add(STEP_VARINT_BASE)
            .ok_or(DecodeError::Range)?,
        1..STEP_VARINT => u64::from((tag >> 4).wrapping_sub(1)),
        _ => return Err(DecodeError::Tag(tag)),
    };
    if step == expected_step {
        return Err(DecodeError::Overlong);
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_RECORD_BYTES;

    #[test]
    fn forms_without_a_place_in_the_tag_have_a_byte_behind_it() {
        for (step, expected) in [
            (4, &[0x0f, 200][..]),
            (2, &[0x3f, 200]),
            (300, &[0x7f, 200, 0xa6, 2]),
        ] {
            let mut buffer = [0; MAX_RECORD_BYTES];
            let mut out = Out::new(&mut buffer);
            put(&mut out, 200, step, 4);
            let used = out.used();
            assert_eq!(&buffer[..used], expected, "step {step}");
            for length in 0..2 {
                let error = get(&mut In::new(&expected[..length]), 4);
                assert_eq!(error, Err(DecodeError::Incomplete));
            }
            // There is no such form yet.
            let error = get(&mut In::new(expected), 4);
            assert_eq!(error, Err(DecodeError::Form(200)));
            assert_eq!(
                get_step(expected[0], &mut In::new(&expected[2..]), 4),
                Ok(step)
            );
        }
        for form in [0, Form::Event as u8, EXTENDED] {
            let error = get(&mut In::new(&[EXTENDED, form]), 4);
            assert_eq!(error, Err(DecodeError::Overlong), "form {form}");
        }
        let error = get(&mut In::new(&[0, 0]), 4);
        assert_eq!(error, Err(DecodeError::Tag(0)));
    }
}
