//! Secrets that follow from a private key: whoever holds the key finds them again, and nothing more has to be kept.

use ring::hmac;

const BYTES: usize = 32;

/// The secret for `purpose` of whoever holds the key. It tells nothing of the key, nor of another purpose's.
pub fn secret(key_pem: &str, purpose: &str) -> [u8; BYTES] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key_pem.as_bytes());
    let tag = hmac::sign(&key, purpose.as_bytes());
    tag.as_ref().try_into().expect("SHA-256 has so many bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pki;

    #[test]
    fn a_secret_is_found_again_by_who_holds_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let before = Pki::open(dir.path()).unwrap().secret("resets");
        let pki = Pki::open(dir.path()).unwrap();
        assert_eq!(pki.secret("resets"), before);
        assert_ne!(pki.secret("something else"), before);
        assert_ne!(Pki::open(tempfile::tempdir().unwrap().path()).unwrap().secret("resets"), before);
        assert_ne!(secret("another key", "resets"), before);
    }
}
