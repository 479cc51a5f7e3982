//! How much of a stream is kept for watches that are behind: its newest batches, up to so many bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{BATCHES_MAX, Batch};

/// Bytes of stored objects that a watch may be behind before it has to catch up from the store.
const BYTES_MAX: usize = 8 << 20;

/// A batch on its way to the watches. It is emptied when it is too far behind, whoever still holds it.
#[derive(Debug)]
pub(crate) struct Parcel(Mutex<Option<Batch>>);

impl Parcel {
    /// The batch, unless this comes too late.
    pub(crate) fn open(&self) -> Option<Batch> {
        self.0.lock().clone()
    }
}

/// The parcels that are not emptied yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Window {
    kept: VecDeque<(Weak<Parcel>, usize)>,
    bytes: usize,
}

impl Window {
    /// Packs the newest batch, and empties the oldest where there is too much. The newest stays, whatever its size.
    pub(crate) fn pack(&mut self, batch: Batch) -> Arc<Parcel> {
        let bytes = batch.iter().map(|event| event.bytes()).sum();
        let parcel = Arc::new(Parcel(Mutex::new(Some(batch))));
        self.kept.push_back((Arc::downgrade(&parcel), bytes));
        self.bytes += bytes;
        while self.kept.len() > 1 && (self.bytes > BYTES_MAX || self.kept.len() > BATCHES_MAX) {
            let Some((oldest, bytes)) = self.kept.pop_front() else { break };
            self.bytes -= bytes;
            if let Some(oldest) = oldest.upgrade() {
                oldest.0.lock().take();
            }
        }
        parcel
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use coracle_store::KeyValue;

    use super::*;
    use crate::hub::Event;

    fn batch(bytes: usize) -> Batch {
        let value = Bytes::from(vec![0; bytes]);
        let kv = KeyValue { key: "/a".into(), value, create_revision: 1, mod_revision: 1, version: 1 };
        let event = coracle_store::Event { revision: 1, key: "/a".into(), kv: Some(kv), prev: None };
        [Arc::new(Event::new(event))].into()
    }

    #[test]
    fn what_is_too_far_behind_is_let_go_even_where_a_watch_holds_it() {
        let mut window = Window::default();
        let parcels: Vec<_> = (0..3).map(|_| window.pack(batch(BYTES_MAX / 2))).collect();
        let open: Vec<bool> = parcels.iter().map(|parcel| parcel.open().is_some()).collect();
        assert_eq!(open, [false, true, true]);
    }

    #[test]
    fn the_newest_is_kept_whatever_its_size() {
        let mut window = Window::default();
        let small = window.pack(batch(1));
        let large = window.pack(batch(BYTES_MAX * 2));
        assert!(small.open().is_none() && large.open().is_some());
    }
}
