//! Reads JSON for scripts: `field KEY [KEY=VALUE…]` prints what stands under KEY in each object on the
//! standard input in which the other keys have these values, one a line.
//!
//! An array stands for the objects in it, and a KEY like `end.reason` for a place further in. Texts
//! are printed as they are, anything else as JSON. The input may be cut off, as a file is that is
//! still being written. Exit status 1: it is no JSON.

use std::error::Error;
use std::io::{self, Write as _};

use serde_json::Value;

fn at<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(value, |value, key| value.get(key))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn print(
    out: &mut impl io::Write,
    value: &Value,
    key: &str,
    wanted: &[(&str, &str)],
) -> io::Result<()> {
    if let Value::Array(all) = value {
        return all
            .iter()
            .try_for_each(|value| print(out, value, key, wanted));
    }
    let is_meant = wanted
        .iter()
        .all(|(key, wanted)| at(value, key).is_some_and(|value| text(value) == *wanted));
    match at(value, key) {
        Some(found) if is_meant => writeln!(out, "{}", text(found)),
        _ => Ok(()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [key, wanted @ ..] = args.as_slice() else {
        return Err("usage: field KEY [KEY=VALUE…]".into());
    };
    let wanted: Vec<(&str, &str)> = wanted
        .iter()
        .map(|word| word.split_once('=').ok_or("a condition is KEY=VALUE"))
        .collect::<Result<_, _>>()?;
    let mut out = io::stdout().lock();
    let input = io::stdin().lock();
    for value in serde_json::Deserializer::from_reader(input).into_iter::<Value>() {
        match value {
            Ok(value) => print(&mut out, &value, key, &wanted)?,
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(error.into()),
        }
    }
    out.flush()?;
    Ok(())
}
