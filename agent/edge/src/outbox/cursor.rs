//! The cursor file: what is known beside the records. It is a cache: without it more is sent again, nothing is lost.
//! Written to a temporary name, synced, renamed.

use super::ranges::Range;

/// Name of the file.
pub(super) const NAME: &str = "cursor";
/// Its temporary name.
pub(super) const TEMP: &str = "cursor.tmp";
/// Most ranges it holds; the outbox declares losses before there are more.
pub(super) const RANGES: usize = 48;
/// Most epochs it holds.
pub(super) const LANES: usize = 8;
/// The largest it can be.
pub(super) const LARGEST: u64 = (8 + LANES * 32 + RANGES * 18 + 4) as u64;
const MAGIC: [u8; 4] = *b"FMc1";

/// What is noted of one epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// Which.
    pub(super) epoch: u64,
    /// Acknowledged up to here.
    pub(super) acked: u64,
    /// The next number.
    pub(super) next: u64,
    /// Numbers lost so far.
    pub(super) lost: u64,
    /// Lost numbers not yet declared.
    pub(super) holes: Vec<Range>,
}

/// The file's bytes. The last epoch is the current one.
pub(super) fn encode(lanes: &[Noted]) -> Vec<u8> {
    let lanes = lanes.get(lanes.len().saturating_sub(LANES)..).unwrap_or_default();
    let mut to = Vec::with_capacity(128);
    to.extend_from_slice(&MAGIC);
    let mut room = RANGES;
    let holes: Vec<_> = (0u8..)
        .zip(lanes)
        .flat_map(|(i, l)| l.holes.iter().map(move |h| (i, *h)))
        .take_while(|_| {
            let ok = room > 0;
            room = room.saturating_sub(1);
            ok
        })
        .collect();
    to.extend_from_slice(&[
        u8::try_from(lanes.len()).unwrap_or(0),
        u8::try_from(holes.len()).unwrap_or(0),
        0,
        0,
    ]);
    for l in lanes {
        for n in [l.epoch, l.acked, l.next, l.lost] {
            to.extend_from_slice(&n.to_le_bytes());
        }
    }
    for (lane, h) in holes {
        to.extend_from_slice(&[lane, h.reason]);
        to.extend_from_slice(&h.first.to_le_bytes());
        to.extend_from_slice(&h.count.to_le_bytes());
    }
    to.extend_from_slice(&crc32fast::hash(&to).to_le_bytes());
    to
}

/// Reads the file; `None` if it is not whole.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Noted>> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let [b'F', b'M', b'c', b'1', lanes, holes, _, _, rest @ ..] = body else { return None };
    let mut rest = rest;
    let mut number = || {
        let (n, r) = rest.split_first_chunk::<8>()?;
        rest = r;
        Some(u64::from_le_bytes(*n))
    };
    let mut out = Vec::new();
    for _ in 0..*lanes {
        out.push(Noted {
            epoch: number()?,
            acked: number()?,
            next: number()?.max(1),
            lost: number()?,
            holes: Vec::new(),
        });
    }
    for _ in 0..*holes {
        let ([lane, reason], r) = rest.split_first_chunk::<2>()?;
        let (first, r) = r.split_first_chunk::<8>()?;
        let (count, r) = r.split_first_chunk::<8>()?;
        rest = r;
        let range =
            Range { first: u64::from_le_bytes(*first), count: u64::from_le_bytes(*count), reason: *reason };
        out.get_mut(usize::from(*lane))?.holes.push(range);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_back_and_any_damage_is_noticed() {
        let lanes: Vec<_> = (0..3)
            .map(|i| Noted {
                epoch: i,
                acked: 4,
                next: 9,
                lost: 2,
                holes: vec![Range { first: 5, count: 2, reason: 1 }; 20],
            })
            .collect();
        let bytes = encode(&lanes);
        assert!(bytes.len() as u64 <= LARGEST);
        let got = decode(&bytes).unwrap();
        assert_eq!(got.iter().map(|l| l.holes.len()).sum::<usize>(), RANGES);
        assert_eq!(got[0], lanes[0]);
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 4;
            assert_eq!(decode(&bad), None);
            assert_eq!(decode(&bytes[..i]), None);
        }
    }
}
