//! The images that a log carries between its header and its first chunk.

use std::io::{Read, Seek};

use super::frame::{Marker, Place};
use super::pack;
use super::scan::Found;
use super::{Image, LogError, LogReader};

/// The marker of an image's frames.
pub(super) const fn image_marker(image: Image) -> Marker {
    match image {
        Image::Kernel => Marker::Kernel,
        Image::Ramdisk => Marker::Ramdisk,
    }
}

impl<R: Read + Seek> LogReader<R> {
    /// An image that the log carries, or nothing if it carries none. Reading goes on behind it
    /// where it was.
    pub fn image(&mut self, image: Image) -> Result<Option<Vec<u8>>, LogError> {
        let Some(file) = self.header.image(image).filter(|file| file.inline).cloned() else {
            return Ok(None);
        };
        let marker = image_marker(image);
        let (offset, place) = (self.frames.offset, self.frames.place);
        self.frames.offset = self.header_bytes;
        self.frames.place = Place::first(place.header_crc);
        let result = self.collect_image(marker, file.len);
        self.frames.offset = offset;
        self.frames.place = place;
        let bad = |why| LogError::Image {
            path: self.frames.path.clone(),
            image: image.name(),
            why,
        };
        let bytes = result?.map_err(bad)?;
        if bytes.len() as u64 != file.len {
            return Err(bad(format!(
                "it has {} bytes, the header says {}",
                bytes.len(),
                file.len
            )));
        }
        Ok(Some(bytes))
    }

    /// Checks the images and moves behind them.
    pub(super) fn skip_images(&mut self) -> Result<(), LogError> {
        loop {
            match self.frames.peek()? {
                Some(Marker::Kernel | Marker::Ramdisk) => {}
                _ => return Ok(()),
            }
            match self.frames.read()? {
                Found::Frame(_, payload) => self.frames.pass(payload.len()),
                other => {
                    self.fault = self.fault_of(&other);
                    return Ok(());
                }
            }
            self.first_chunk_offset = self.frames.offset;
        }
    }

    /// Unpacks the frames of one image until it has its length or the images end.
    fn collect_image(
        &mut self,
        wanted: Marker,
        length: u64,
    ) -> Result<Result<Vec<u8>, String>, LogError> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let (marker, payload) = match self.frames.read()? {
                Found::Frame(marker, payload) => (marker, payload),
                Found::End => break,
                Found::Torn(why) | Found::Damaged(why) => return Ok(Err(why)),
            };
            self.frames.pass(payload.len());
            if marker == wanted {
                match pack::unpack(&[], &payload) {
                    Ok(piece) => bytes.extend_from_slice(&piece),
                    Err(why) => return Ok(Err(why)),
                }
            } else if !matches!(marker, Marker::Kernel | Marker::Ramdisk) {
                break;
            }
        }
        Ok(Ok(bytes))
    }
}
