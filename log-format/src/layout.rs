//! Layouts that are written down, and held at compile time.

/// Asserts a structure's size in bytes, and the offset of each field; none may be left out.
#[macro_export]
macro_rules! assert_layout {
    ($type:ident: $size:literal { $($field:ident: $offset:literal),* $(,)? }) => {
        $crate::static_assertions::const_assert_eq!(size_of::<$type>(), $size);
        $($crate::static_assertions::const_assert_eq!(
            core::mem::offset_of!($type, $field),
            $offset
        );)*
        const _: fn(&$type) = |&$type { $($field: _),* }| ();
    };
}
