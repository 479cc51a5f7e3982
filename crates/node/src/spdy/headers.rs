//! A stream's headers: names and values with their lengths. Ours are sent in blocks that zlib stores as they are.

use super::Error;
use super::dictionary::ID;

/// Pairs of one header block.
const PAIRS_MAX: usize = 128;
const STORED_BYTES_MAX: usize = 0xffff;
const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// Names, in lower case, and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(super) fn read(mut block: &[u8]) -> Result<Headers, Error> {
    let n_pairs = number(&mut block)?;
    if n_pairs > PAIRS_MAX {
        return Err(Error::Headers("it has too many pairs"));
    }
    let pairs = (0..n_pairs).map(|_| Ok((text(&mut block)?.to_lowercase(), text(&mut block)?)));
    pairs.collect::<Result<_, _>>().map(Headers)
}

fn number(block: &mut &[u8]) -> Result<usize, Error> {
    let (number, rest) = block.split_first_chunk::<4>().ok_or(Error::Headers("it ends too early"))?;
    *block = rest;
    Ok(u32::from_be_bytes(*number) as usize)
}

fn text(block: &mut &[u8]) -> Result<String, Error> {
    let length = number(block)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Error::Headers("it ends too early"))?;
    *block = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// A block of `pairs` as a piece of a zlib stream.
pub(super) fn stored(pairs: &[(&str, &str)], is_first: bool) -> Vec<u8> {
    let length = |n: usize| u32::try_from(n).expect("headers of ours are short").to_be_bytes();
    let mut block = length(pairs.len()).to_vec();
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        block.extend_from_slice(&length(text.len()));
        block.extend_from_slice(text.as_bytes());
    }
    let n = u16::try_from(block.len().min(STORED_BYTES_MAX)).expect("bounded by it");
    let mut out = Vec::with_capacity(block.len() + 11);
    if is_first {
        // Deflate with a window of 32 KiB, and a dictionary; the second byte makes the two a multiple of 31.
        out.extend_from_slice(&[0x78, 0xbb]);
        out.extend_from_slice(&ID);
    }
    out.push(0);
    out.extend_from_slice(&n.to_le_bytes());
    out.extend_from_slice(&(!n).to_le_bytes());
    out.extend_from_slice(&block);
    // An empty block, as zlib flushes: readers such as Go's hand nothing out before it.
    out.extend_from_slice(&FLUSH);
    out
}
