//! Items that own their bytes.

use crate::Item;

/// An [`Item`] that does not borrow from a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedItem {
    /// The item with its bytes taken out.
    item: Item<'static>,
    bytes: Vec<u8>,
}

impl OwnedItem {
    /// The item itself.
    pub fn as_item(&self) -> Item<'_> {
        self.item.with_bytes(&self.bytes)
    }
}

impl From<Item<'_>> for OwnedItem {
    fn from(item: Item<'_>) -> Self {
        Self {
            item: item.with_bytes(&[]),
            bytes: item.record.bytes().to_vec(),
        }
    }
}
