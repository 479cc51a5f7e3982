//! The bytes of one change in the log. It is laid out so that the log's order is the order of revisions.
//!
//! key: revision (8 bytes, big-endian), then the key. value: position within the revision (4 bytes), create revision and
//! version (8 bytes each), all little-endian, then the value. A version of 0 is a deletion, as in etcd.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Event, KeyValue, Revision};

const REVISION_BYTES: usize = 8;
const HEADER_BYTES: usize = 20;

/// A change as it stands in the log: an event that does not know what came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) revision: Revision,
    pub(crate) position: u32,
    pub(crate) key: Arc<str>,
    pub(crate) kv: Option<KeyValue>,
}

impl Record {
    /// The event that it stands for, given what its key held before.
    pub(crate) fn after(self, prev: Option<KeyValue>) -> Event {
        Event { revision: self.revision, key: self.key, kv: self.kv, prev }
    }

    /// Reads one back; `None` when it was not written by [`encode_key`] and [`encode_value`].
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (revision, key) = key.split_first_chunk::<REVISION_BYTES>()?;
        let revision = Revision::from_be_bytes(*revision);
        let key: Arc<str> = std::str::from_utf8(key).ok()?.into();
        let (position, rest) = value.split_first_chunk::<4>()?;
        let (create_revision, rest) = rest.split_first_chunk::<8>()?;
        let (version, value) = rest.split_first_chunk::<8>()?;
        let version = u64::from_le_bytes(*version);
        let kv = (version > 0).then(|| KeyValue {
            key: Arc::clone(&key),
            value: Bytes::copy_from_slice(value),
            create_revision: u64::from_le_bytes(*create_revision),
            mod_revision: revision,
            version,
        });
        Some(Self { revision, position: u32::from_le_bytes(*position), key, kv })
    }
}

/// The log's key for what `key` became at `revision`, in a buffer that is used again.
pub(crate) fn encode_key(buffer: &mut Vec<u8>, revision: Revision, key: &str) {
    buffer.clear();
    buffer.extend_from_slice(&revision.to_be_bytes());
    buffer.extend_from_slice(key.as_bytes());
}

/// The first key of the log that any change at `revision` can have.
pub(crate) fn first_key(revision: Revision) -> [u8; REVISION_BYTES] {
    revision.to_be_bytes()
}

/// The log's value for the change number `position` of its revision.
pub(crate) fn encode_value(buffer: &mut Vec<u8>, position: u32, kv: Option<&KeyValue>) {
    buffer.clear();
    buffer.reserve(HEADER_BYTES + kv.map_or(0, |kv| kv.value.len()));
    buffer.extend_from_slice(&position.to_le_bytes());
    buffer.extend_from_slice(&kv.map_or(0, |kv| kv.create_revision).to_le_bytes());
    buffer.extend_from_slice(&kv.map_or(0, |kv| kv.version).to_le_bytes());
    buffer.extend_from_slice(kv.map_or(&[], |kv| &kv.value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_back_as_it_was_written() {
        let key: Arc<str> = "/registry/pods/a".into();
        let kv = KeyValue { key: key.clone(), value: "v".into(), create_revision: 3, mod_revision: 0x0102, version: 2 };
        for kv in [Some(kv), None] {
            let (mut encoded_key, mut encoded_value) = (Vec::new(), Vec::new());
            encode_key(&mut encoded_key, 0x0102, &key);
            encode_value(&mut encoded_value, 7, kv.as_ref());
            let expected = Record { revision: 0x0102, position: 7, key: key.clone(), kv };
            assert_eq!(Record::decode(&encoded_key, &encoded_value), Some(expected));
        }
        assert_eq!(Record::decode(b"short", b""), None);
    }
}
