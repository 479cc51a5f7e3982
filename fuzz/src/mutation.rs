//! Bytes made from other bytes, always the same ones from the same seed. It never looks at what a target does with them.

/// Pieces that parsers look for, or stumble over.
const WORDS: [&[u8]; 28] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"null",
    b"-1",
    b"9223372036854775808",
    b"1e999",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"\n",
    b"k8s\0",
    b"$patch",
    b"$retainKeys",
    b"&a",
    b"*a",
    b"<<",
    b"- ",
    b"%2F",
    b"/",
    b"..",
    b"!",
    b" in (",
];
/// How much longer than its origin a mutation may become.
const GROWTH_MAX: usize = 4096;

/// Makes one mutation after the other.
#[derive(Clone, Debug)]
pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// One of `seeds`, changed in a few places.
    pub fn next(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.choose(seeds).cloned().unwrap_or_default();
        let length_max = bytes.len() + GROWTH_MAX;
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, seeds);
        }
        bytes.truncate(length_max);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let end = (at + 1 + self.below(16)).min(bytes.len());
        match self.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            3 if at < bytes.len() => bytes[at] = self.below(256) as u8,
            4 => {
                let word = WORDS[self.below(WORDS.len())];
                let repeated = word.repeat(if self.below(8) == 0 { 200 } else { 1 });
                drop(bytes.splice(at..at, repeated));
            }
            5 => {
                let piece = bytes[at..end].repeat(1 + self.below(40));
                drop(bytes.splice(at..at, piece));
            }
            6 => {
                let other = self.choose(seeds).cloned().unwrap_or_default();
                let from = self.below(other.len() + 1);
                drop(bytes.splice(at.., other[from..].iter().copied()));
            }
            _ => drop(bytes.splice(at..end, WORDS[self.below(WORDS.len())].iter().copied())),
        }
    }

    fn choose<'s>(&mut self, seeds: &'s [Vec<u8>]) -> Option<&'s Vec<u8>> {
        if seeds.is_empty() { None } else { seeds.get(self.below(seeds.len())) }
    }

    /// A number below `n`, by xorshift.
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}
