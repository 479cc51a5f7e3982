//! Tells what a wasm binary is, from its first bytes and its sections' outlines. It validates nothing: the runtime does.

use crate::Error;
use crate::manifest::Interfaces;

const MAGIC: &[u8] = b"\0asm";
const CORE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];
const SECTION_IMPORT: u8 = 10;
const SECTION_EXPORT: u8 = 11;
/// Names that a config lists at most.
const NAMES_MAX: usize = 1000;

/// What a binary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    CoreModule,
    Component(Interfaces),
}

/// Looks at `binary`, and says what it is instead when it is no wasm.
pub(crate) fn kind(binary: &[u8]) -> Result<Kind, Error> {
    let not_wasm = |found: &str| Err(Error::NotWasm { found: found.into() });
    let Some((header, sections)) = binary.split_first_chunk::<8>() else {
        return not_wasm(if binary.is_empty() { "it is empty" } else { "it is too short" });
    };
    let (magic, version) = header.split_at(MAGIC.len());
    match magic {
        MAGIC if version == CORE => Ok(Kind::CoreModule),
        MAGIC if version == COMPONENT => Ok(Kind::Component(interfaces(sections))),
        MAGIC => not_wasm("its version is not known"),
        b"\x7fELF" => not_wasm("it is a native program (ELF)"),
        [0x1f, 0x8b, ..] => not_wasm("it is compressed (gzip)"),
        [b'(', ..] => not_wasm("it looks like the text format: convert it first"),
        _ => not_wasm("it does not begin with \\0asm"),
    }
}

/// The names that a component imports and exports; fewer where its sections cannot be followed.
fn interfaces(sections: &[u8]) -> Interfaces {
    let mut found = Interfaces::default();
    let mut rest = Reader(sections);
    while let Some((id, section)) = rest.section() {
        let _ = match id {
            SECTION_IMPORT => Reader(section).names(&mut found.imports, Reader::extern_desc),
            SECTION_EXPORT => Reader(section).names(&mut found.exports, Reader::export_rest),
            _ => Some(()),
        };
    }
    found
}

/// Reads the component model's binary format, as far as names need it. `None` is the end, or what it does not know.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let n_bytes = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(n_bytes)?;
        self.0 = rest;
        Some(bytes)
    }

    fn section(&mut self) -> Option<(u8, &'a [u8])> {
        Some((self.byte()?, self.bytes()?))
    }

    fn names(&mut self, names: &mut Vec<String>, skip_rest: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        for _ in 0..self.number()? {
            let form = self.byte()?;
            let name = std::str::from_utf8(self.bytes()?).ok()?;
            // Form 2 gives the version's suffix apart.
            if form == 2 {
                self.bytes()?;
            }
            if names.len() < NAMES_MAX {
                names.push(name.to_owned());
            }
            skip_rest(self)?;
        }
        Some(())
    }

    fn extern_desc(&mut self) -> Option<()> {
        match self.byte()? {
            // A core module has a marker before its type's index.
            0x00 => drop((self.byte()?, self.number()?)),
            0x01 | 0x04 | 0x05 => drop(self.number()?),
            // A type is equal to another, or a new resource.
            0x03 if self.byte()? == 0 => drop(self.number()?),
            0x03 => {}
            _ => return None,
        }
        Some(())
    }

    fn export_rest(&mut self) -> Option<()> {
        if self.byte()? == 0 {
            self.byte()?;
        }
        self.number()?;
        if self.byte()? == 1 { self.extern_desc() } else { Some(()) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A component with the outlines of an import and an export section.
    pub(crate) fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
        let mut binary = [MAGIC, &COMPONENT].concat();
        let section = |names: &[&str], rest: &[u8]| {
            let mut section = vec![names.len() as u8];
            for name in names {
                section.extend([&[0, name.len() as u8], name.as_bytes(), rest].concat());
            }
            section
        };
        for (id, section) in [(10, section(imports, &[5, 0])), (11, section(exports, &[5, 0, 0]))] {
            binary.extend([&[id, section.len() as u8], &section[..]].concat());
        }
        binary
    }

    #[test]
    fn a_component_tells_what_it_needs_and_offers() {
        let imports = ["wasi:cli/environment@0.2.6", "wasi:io/streams@0.2.6"];
        let binary = component(&imports, &["wasi:http/incoming-handler@0.2.6"]);
        let expected = Interfaces {
            imports: imports.map(Into::into).into(),
            exports: vec!["wasi:http/incoming-handler@0.2.6".into()],
        };
        assert_eq!(kind(&binary).unwrap(), Kind::Component(expected));
        for end in 8..binary.len() {
            assert!(matches!(kind(&binary[..end]), Ok(Kind::Component(_))), "cut at {end}");
        }
    }

    #[test]
    fn what_is_no_wasm_is_named() {
        assert_eq!(kind(b"\0asm\x01\0\0\0").unwrap(), Kind::CoreModule);
        for (binary, found) in [
            (&b""[..], "empty"),
            (b"\0asm", "short"),
            (b"\0asm\x07\0\0\0", "version"),
            (b"\x7fELF\x02\x01\x01\0", "ELF"),
            (b"\x1f\x8b\x08\0\0\0\0\0", "gzip"),
            (b"(module )", "text"),
            (b"#!/bin/sh", "begin"),
        ] {
            let error = kind(binary).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(sections: Vec<u8>) {
            let _ = kind(&[MAGIC, &COMPONENT, &sections].concat());
        }
    }
}
