//! What fuzzers may call: readers of what comes from outside. Nobody else needs them.

use bytes::Bytes;

use crate::spdy::Decoder;

/// Reads a SPDY session whole, and again in pieces, which must come to the same end.
pub fn spdy(bytes: &[u8]) {
    let Some((piece, session)) = bytes.split_first() else { return };
    let read = |pieces: std::slice::Chunks<'_, u8>| {
        let (mut decoder, mut events) = (Decoder::new(), Vec::new());
        let mut pieces = pieces.map(Bytes::copy_from_slice);
        pieces.try_for_each(|piece| decoder.receive(piece, &mut events))
    };
    let whole = read(session.chunks(session.len().max(1)));
    assert_eq!(read(session.chunks(usize::from(*piece).max(1))), whole);
}
