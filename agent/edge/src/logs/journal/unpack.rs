//! Fields that journald has compressed: long messages. Zstd is what it uses by default; LZ4 and xz, of older ones, are not
//! read, which is counted.

use std::io::Read;

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// Bytes of a compressed field that are read.
pub(super) const MOST_PACKED: usize = 1 << 17;
/// No decoder has to remember more: journald compresses single fields.
const WINDOW: u64 = 8 << 20;

/// The first bytes of a field that was packed as its flags say. None: it cannot be unpacked.
pub(super) fn unpack(flags: u8, packed: &[u8], most: usize) -> Option<Vec<u8>> {
    if flags != super::file::ZSTD {
        return None;
    }
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW);
    let unpacker = StreamingDecoder::new_with_decoder(packed, decoder).ok()?;
    let mut text = Vec::new();
    // What was cut off is of no concern if enough came before it.
    let done = unpacker.take(most as u64).read_to_end(&mut text);
    (done.is_ok() || text.len() == most).then_some(text)
}
