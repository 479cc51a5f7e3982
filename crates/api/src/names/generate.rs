//! Names that the server makes up from a prefix. Randomness is passed in.

/// What generated suffixes are made of: no vowels, so that no words arise, and nothing that looks like something else.
pub const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// How much of the prefix is kept.
pub const GENERATED_PREFIX_MAX: usize = 63 - SUFFIX_LEN;

const SUFFIX_LEN: usize = 5;

/// The prefix, cut so that a label results, and five letters that `random` chooses.
pub fn generated_name(prefix: &str, mut random: impl FnMut() -> u32) -> String {
    let mut end = prefix.len().min(GENERATED_PREFIX_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let letters = (0..SUFFIX_LEN).map(|_| ALPHABET[random() as usize % ALPHABET.len()] as char);
    prefix[..end].chars().chain(letters).collect()
}
