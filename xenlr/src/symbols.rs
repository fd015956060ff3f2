//! Names for addresses of a guest kernel.

use object::{Object, ObjectSymbol};

/// The functions of an ELF file, by address.
pub struct Symbols {
    functions: Vec<(u64, String)>,
}

impl Symbols {
    /// Reads the symbol table of a kernel. A kernel that is compressed, stripped or no ELF file
    /// simply has no names.
    pub fn of_kernel(image: &[u8]) -> Self {
        let mut functions: Vec<(u64, String)> = object::File::parse(image)
            .map(|file| {
                file.symbols()
                    .filter(|s| !s.is_undefined() && s.address() != 0)
                    .filter_map(|s| Some((s.address(), s.name().ok()?.to_owned())))
                    .filter(|(_, name)| !name.is_empty())
                    .collect()
            })
            .unwrap_or_default();
        functions.sort();
        Self { functions }
    }

    /// `function+0x12` for an address, if it is known.
    pub fn name(&self, address: u64) -> Option<String> {
        let after = self
            .functions
            .partition_point(|(start, _)| *start <= address);
        let (start, name) = self.functions.get(after.checked_sub(1)?)?;
        // An address far behind the last function belongs to something that has no symbol.
        let offset = address - start;
        (offset < 1 << 20).then(|| format!("{name}+{offset:#x}"))
    }

    /// The address with its name, as messages show it.
    pub fn describe(&self, address: u64) -> String {
        match self.name(address) {
            // Xen did not know the place.
            None if address == 0 => "unknown".to_owned(),
            Some(name) => format!("{address:#x} ({name})"),
            None => format!("{address:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_finds_itself() {
        let image = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let symbols = Symbols::of_kernel(&image);
        let main = symbols.functions.iter().find(|(_, n)| n == "main").cloned();
        let (address, _) = main.expect("a test binary has a main");
        assert_eq!(symbols.name(address + 1).as_deref(), Some("main+0x1"));
        assert_eq!(symbols.name(1), None);
    }

    #[test]
    fn a_file_that_is_no_elf_has_no_names() {
        assert_eq!(Symbols::of_kernel(b"bzImage").describe(0x10), "0x10");
    }
}
