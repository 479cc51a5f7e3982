//! Decompresses header blocks: one zlib stream per session, primed with the dictionary, flushed after every block.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::DecompressorOxide;
use miniz_oxide::inflate::core::decompress;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;

use super::Error;
use super::dictionary::{ID, dictionary};

/// Bytes of one block once it is decompressed.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// The farthest that zlib looks back.
const WINDOW: usize = 32 << 10;
const HAS_DICTIONARY: u8 = 0x20;
const DEFLATE: u8 = 8;

pub(super) struct Inflater {
    state: Box<DecompressorOxide>,
    /// What was decompressed last, as a ring. It begins with the dictionary.
    window: Box<[u8; WINDOW]>,
    at: usize,
    has_begun: bool,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { state: Box::default(), window: Box::new([0; WINDOW]), at: 0, has_begun: false }
    }

    /// The block that the next compressed bytes hold. They must be whole blocks.
    pub(super) fn inflate(&mut self, compressed: &[u8]) -> Result<Vec<u8>, Error> {
        let mut input = if self.has_begun { compressed } else { self.begin(compressed)? };
        let mut block = Vec::new();
        loop {
            let (status, n_read, n_written) =
                decompress(&mut self.state, input, &mut self.window[..], self.at, TINFL_FLAG_HAS_MORE_INPUT);
            block.extend_from_slice(&self.window[self.at..self.at + n_written]);
            self.at = (self.at + n_written) % WINDOW;
            input = &input[n_read..];
            match status {
                _ if block.len() > BLOCK_BYTES_MAX => return Err(Error::Headers("it is too long")),
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput if input.is_empty() => return Ok(block),
                _ => return Err(Error::Headers("its compression is broken")),
            }
        }
    }

    /// Reads the head of the zlib stream.
    fn begin<'a>(&mut self, compressed: &'a [u8]) -> Result<&'a [u8], Error> {
        let [cmf, flags, rest @ ..] = compressed else { return Err(Error::Headers("it has no beginning")) };
        if cmf & 0x0f != DEFLATE || (u16::from(*cmf) << 8 | u16::from(*flags)) % 31 != 0 {
            return Err(Error::Headers("it is not compressed"));
        }
        self.has_begun = true;
        if flags & HAS_DICTIONARY == 0 {
            return Ok(rest);
        }
        let rest = rest.strip_prefix(&ID).ok_or(Error::Headers("it needs another dictionary"))?;
        let dictionary = dictionary();
        self.window[..dictionary.len()].copy_from_slice(&dictionary);
        self.at = dictionary.len();
        Ok(rest)
    }
}
