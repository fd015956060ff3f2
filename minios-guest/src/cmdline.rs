//! The kernel command line: an application's name, its operand, key=value options.

use crate::start;

/// The command line's words.
pub fn words() -> impl Iterator<Item = &'static str> {
    let line = &start::info().cmd_line;
    let length = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
    core::str::from_utf8(&line[..length]).unwrap_or("").split_ascii_whitespace()
}

/// The application: the first word, up to its `=` if it has one.
pub fn application() -> &'static str {
    words().next().and_then(|word| word.split('=').next()).unwrap_or("")
}

/// The application's operand: the second word, if it is not an option.
pub fn operand() -> Option<&'static str> {
    words().nth(1).filter(|word| !word.contains('='))
}

/// The text of option `key`.
pub fn text(key: &str) -> Option<&'static str> {
    words().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The number of option `key`.
pub fn number(key: &str) -> Option<u64> {
    text(key).and_then(parse)
}

/// A decimal number, or a hexadecimal one after `0x`.
pub fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
