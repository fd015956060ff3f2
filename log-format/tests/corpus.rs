//! The corpora of the fuzz targets `decoder` and `file_reader` hold without a fuzzer.
//!
//! `XENLR_WRITE_CORPUS=1 cargo test -p log-format --test corpus` writes the seeds anew, as a change
//! of a format asks for.

mod common;
#[path = "../../fuzz/checks/decoder.rs"]
mod decoder;
#[path = "../../fuzz/checks/file_reader.rs"]
mod file_reader;

use std::fs;
use std::path::{Path, PathBuf};

use common::{encode_all, idle_seconds, one_of_each, pages};
use log_format::file::{Closing, Header, Image, ImageFile, LogWriter};
use log_format::{Encoder, Item};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target)
}

/// The committed seed; written first where that is asked for.
fn seed(target: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = folder(target).join(name);
    if std::env::var_os("XENLR_WRITE_CORPUS").is_some() {
        fs::create_dir_all(folder(target)).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    fs::read(path).unwrap()
}

/// Every input of a corpus, found ones included.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder(target)).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn decoder() {
    for (name, items) in [
        ("every-kind", one_of_each()),
        ("idle", idle_seconds(20, 3, 1, 1)),
    ] {
        let bytes = encode_all(&mut Encoder::new(), &items);
        let bytes = seed("decoder", name, &bytes);
        assert_eq!(
            decoder::check(&bytes),
            (items.len(), bytes.len()),
            "{name} is stale, write it anew (see above)"
        );
    }
    for bytes in inputs("decoder") {
        decoder::check(&bytes);
    }
}

/// A file of two chunks, of which the second compresses well, with an image.
fn log_file(items: &[Item], closing: Option<Closing>) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.xlr");
    let kernel = b"a kernel ".repeat(20);
    let header = Header {
        kernel: ImageFile {
            path: "/guests/kernel".into(),
            len: kernel.len() as u64,
            sha256: String::new(),
            inline: true,
        },
        ..Header::default()
    };
    let mut writer = LogWriter::create(&path, &header, &[(Image::Kernel, &kernel)]).unwrap();
    let mut encoder = Encoder::new();
    let (first, second) = items.split_at(3);
    for items in [first, second] {
        writer.append(&encode_all(&mut encoder, items)).unwrap();
    }
    if let Some(closing) = closing {
        writer.finish(closing).unwrap();
    }
    fs::read(path).unwrap()
}

#[test]
fn file_reader() {
    let (each, idle) = (one_of_each(), idle_seconds(20, 3, 1, 1));
    let complete = log_file(&each, Some(Closing::Ended));
    let unfinished = log_file(&idle, None);
    let torn = unfinished[..unfinished.len() - 7].to_vec();
    for (name, bytes, records) in [
        ("every-kind.xlr", complete, each.len()),
        ("unfinished.xlr", unfinished, idle.len()),
        ("torn.xlr", torn, 3),
        ("pages.xlr", log_file(&pages(), None), pages().len()),
    ] {
        let bytes = seed("file_reader", name, &bytes);
        assert_eq!(
            file_reader::check(&bytes),
            Some(records as u64),
            "{name} is stale, write it anew (see above)"
        );
    }
    for bytes in inputs("file_reader") {
        file_reader::check(&bytes);
    }
}
