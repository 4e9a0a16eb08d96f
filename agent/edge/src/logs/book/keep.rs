//! What of a book outlives a restart: a number for the layout, a checksum, then postcard.

use fieldmouse_core::logs::rate::Tails;
use serde::{Deserialize, Serialize};

use super::ledger::{Entry, Ledger};
use super::streams::{MOST, Stream};
use super::watch::Watch;
use crate::learnt::Layout;
use crate::logs::miner::{Limits, Miner};
use crate::logs::template::Template;
use crate::sources::Place;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    at: u32,
    miner: Vec<u8>,
    entries: Vec<(u32, Entry)>,
    gone: Vec<u32>,
    streams: Vec<Stream>,
    tails: [Tails; 2],
}

const HEAD: usize = 8;
/// No book counts for more seconds: a human life.
const LATEST: u32 = 1 << 31;

/// The miner's part is within, as bytes.
fn layout() -> u32 {
    Layout::of::<Kept>().number() ^ Layout::of::<Template>().number().rotate_left(1)
}

pub(super) fn save(watch: &Watch) -> Vec<u8> {
    let (entries, gone) = watch.ledger.save();
    let (miner, streams, tails) = (watch.miner.save(), watch.streams.all.clone(), watch.tails.clone());
    let kept = Kept { at: watch.at, miner, entries, gone, streams, tails };
    let head = layout().to_le_bytes().into_iter().chain([0; 4]).collect();
    let Ok(mut bytes) = postcard::to_extend::<_, Vec<u8>>(&kept, head) else { return Vec::new() };
    let sum = crc32fast::hash(&bytes[HEAD..]);
    bytes[4..HEAD].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// `None`: damaged, or of another version.
pub(super) fn restore(place: &Place, saved: &[u8]) -> Option<Watch> {
    let (head, body) = saved.split_at_checked(HEAD)?;
    if head[..4] != layout().to_le_bytes() || head[4..] != crc32fast::hash(body).to_le_bytes() {
        return None;
    }
    let kept: Kept = postcard::from_bytes(body).ok()?;
    // The checksum tells what decayed from what was written; this, what was not written by a book.
    let is_sound = kept.at <= LATEST
        && kept.streams.len() <= MOST
        && kept.streams.iter().all(|stream| stream.is_sound(kept.at))
        && kept
            .entries
            .iter()
            .all(|(_, e)| e.is_sound(kept.at) && usize::from(e.stream) < kept.streams.len());
    let miner = Miner::restore(Limits::default(), &kept.miner).ok().filter(|_| is_sound)?;
    let mut watch = Watch::new(place, None);
    watch.at = kept.at;
    watch.miner = miner;
    watch.ledger = Ledger::restore((kept.entries, kept.gone));
    watch.streams.all = kept.streams;
    watch.tails = kept.tails;
    Some(watch)
}
