//! Capsules for collectors that ask, a piece at a time: one question, one answer, and nothing remembered between them, so
//! a collector that heard nothing asks again for what it has not. So many bytes are sent in a day.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{Ask, Piece, piece};
use tokio::task::JoinHandle;

use super::shelf::{episode, number};
use crate::store::Day;

/// Bytes of a piece, at most: a slow link has events between two of them.
const PIECE: usize = 16 << 10;
/// A collector asks again after so long for what is not there, and after so long for what may be sent no more today.
const SOON_S: u32 = 60;
const LATER_S: u32 = 3600;

/// Bytes of a capsule, and what they are part of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cut {
    whole: (u32, u32),
    bytes: Vec<u8>,
}

/// What is asked for and sent.
#[derive(Debug)]
pub struct Lending {
    dir: PathBuf,
    bytes_per_day: u64,
    sent: Day,
    /// The latest question. Another one takes its place.
    asked: Option<(Ask, usize)>,
    /// Another thread reads.
    reading: Option<(Ask, JoinHandle<io::Result<Option<Cut>>>)>,
}

impl Lending {
    /// Of the capsules in a folder.
    #[must_use]
    pub fn new(dir: PathBuf, bytes_per_day: u64) -> Self {
        Self { dir, bytes_per_day, sent: Day::default(), asked: None, reading: None }
    }

    /// Follows another budget from now on.
    pub fn set_budget(&mut self, bytes_per_day: u64) {
        self.bytes_per_day = bytes_per_day;
    }

    /// Bytes sent in the last 24 hours.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.sum()
    }

    /// Takes a question. The answer may have so many bytes in all.
    pub fn ask(&mut self, ask: Ask, room: usize) {
        self.asked = Some((ask, room));
    }

    /// The body of an answer, if there is one. `unfinished`: a file that still grows. To be called when there is nothing
    /// better to send.
    pub async fn answer(&mut self, now: Millis, unfinished: Option<&str>) -> Option<Vec<u8>> {
        self.sent.settle(now);
        if let Some((ask, reading)) = self.reading.take() {
            if !reading.is_finished() {
                self.reading = Some((ask, reading));
                return None;
            }
            return Some(match reading.await {
                Ok(Ok(Some(cut))) => self.piece(&ask, &cut),
                Ok(Ok(None)) => refusal(&ask, piece::UNKNOWN, SOON_S),
                Ok(Err(_)) | Err(_) => refusal(&ask, piece::FAILED, SOON_S),
            });
        }
        let (ask, room) = self.asked.take()?;
        if unfinished.and_then(episode) == Some(ask.episode) {
            return Some(refusal(&ask, piece::UNFINISHED, SOON_S));
        }
        let most = PIECE.min(room);
        if self.sent.sum() + most as u64 > self.bytes_per_day {
            return Some(refusal(&ask, piece::BUDGET, LATER_S));
        }
        let (dir, which, at) = (self.dir.clone(), ask.episode, ask.at);
        self.reading = Some((ask, tokio::task::spawn_blocking(move || cut(&dir, which, at, most))));
        None
    }

    fn piece(&mut self, ask: &Ask, cut: &Cut) -> Vec<u8> {
        self.sent.add(cut.bytes.len() as u64);
        let (why, at, bytes) = (piece::HERE, ask.at, cut.bytes.as_slice());
        written(&Piece { episode: ask.episode, why, retry_s: 0, whole: cut.whole, at, bytes })
    }
}

/// The answer to what cannot be answered now, or by this device.
#[must_use]
pub fn refusal(ask: &Ask, why: u8, retry_s: u32) -> Vec<u8> {
    written(&Piece { episode: ask.episode, why, retry_s, whole: (0, 0), at: ask.at, bytes: &[] })
}

fn written(piece: &Piece<'_>) -> Vec<u8> {
    // Writing into a vector cannot fail.
    postcard::to_extend(piece, Vec::with_capacity(piece.bytes.len() + 64)).unwrap_or_default()
}

/// Reads the newest capsule of an episode, and keeps `most` bytes of it from `at` on. None: there is none.
fn cut(dir: &Path, which: u64, at: u32, most: usize) -> io::Result<Option<Cut>> {
    let names = match std::fs::read_dir(dir) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let newest = names.filter(|name| episode(name) == Some(which)).max_by_key(|name| number(name));
    let Some(name) = newest else { return Ok(None) };
    let mut file = File::open(dir.join(name))?;
    let (mut sum, mut len, mut bytes) = (crc32fast::Hasher::new(), 0usize, Vec::with_capacity(most));
    let mut buffer = [0; 4096];
    let from = usize::try_from(at).unwrap_or(usize::MAX);
    loop {
        let read = file.read(&mut buffer)?;
        let Some(new) = buffer.get(..read).filter(|new| !new.is_empty()) else { break };
        sum.update(new);
        let wanted = new.get(from.saturating_sub(len)..).unwrap_or_default();
        bytes.extend_from_slice(wanted.get(..most - bytes.len()).unwrap_or(wanted));
        len += read;
    }
    Ok(Some(Cut { whole: (u32::try_from(len).unwrap_or(u32::MAX), sum.finalize()), bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmouse_core::wire;

    fn question(episode: u64, at: u32) -> Ask {
        Ask { episode, at, by: heapless::String::new() }
    }

    /// What is answered: why, the whole's length, and the bytes.
    fn check(lending: &mut Lending, ask: Ask, unfinished: Option<&str>) -> (u8, u32, Vec<u8>) {
        lending.ask(ask, wire::MAX_PAYLOAD);
        let answer = crate::once::runtime().unwrap().block_on(async {
            loop {
                if let Some(answer) = lending.answer(0, unfinished).await {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        });
        let piece: Piece<'_> = wire::read_body(&answer).unwrap();
        (piece.why, piece.whole.0, piece.bytes.to_vec())
    }

    #[test]
    fn pieces_make_the_whole_and_what_cannot_be_had_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file: Vec<u8> = (0..40_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(dir.path().join("00000004-e7.capsule"), b"an older one").unwrap();
        std::fs::write(dir.path().join("00000012-e7.capsule"), &file).unwrap();
        let mut lending = Lending::new(dir.path().to_path_buf(), 100_000);
        let mut got = Vec::new();
        while got.len() < file.len() {
            let at = u32::try_from(got.len()).unwrap();
            let (why, len, bytes) = check(&mut lending, question(7, at), Some("00000013-e9.capsule"));
            assert_eq!((why, len), (piece::HERE, 40_000));
            assert!((1..=PIECE).contains(&bytes.len()));
            got.extend(bytes);
        }
        assert_eq!((got, lending.sent()), (file, 40_000));
        assert_eq!(check(&mut lending, question(7, u32::MAX), None), (piece::HERE, 40_000, Vec::new()));
        assert_eq!(check(&mut lending, question(8, 0), None).0, piece::UNKNOWN);
        assert_eq!(check(&mut lending, question(9, 0), Some("00000013-e9.capsule")).0, piece::UNFINISHED);
        lending.set_budget(50_000);
        assert_eq!(check(&mut lending, question(7, 0), None).0, piece::BUDGET);
        let mut nowhere = Lending::new(dir.path().join("absent"), 100_000);
        assert_eq!(check(&mut nowhere, question(7, 0), None).0, piece::UNKNOWN);
    }
}
