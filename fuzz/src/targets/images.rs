//! References to images, and manifests as registries send them.

use coracle_oci::{Digest, Manifest, Reference};

pub(super) fn image(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(reference) = text.parse::<Reference>() {
            let again: Reference = reference.to_string().parse().expect("a reference reads as it is written");
            assert_eq!(again, reference);
        }
        let _ = text.parse::<Digest>();
    }
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
        let _ = manifest.artifact_type();
        let written = serde_json::to_vec(&manifest).expect("a manifest serialises");
        let read: Manifest = serde_json::from_slice(&written).expect("a manifest reads as it is written");
        assert_eq!(read, manifest);
    }
}
