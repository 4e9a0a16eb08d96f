//! A record on disk: `magic 2 | severity u8 | 0 | len u32 | epoch u64 | seq u64 | crc of this u32 | crc of payload u32`,
//! little endian, then the payload: the encoded item, as it travels. The two checksums tell a lost payload, whose
//! number is still known, from bytes that tell nothing.

/// Bytes in front of a payload.
pub(super) const HEADER: usize = 32;
/// The least a record can take: an item without a body is 8 bytes.
pub(super) const SMALLEST: usize = HEADER + 8;
const MAGIC: [u8; 2] = [0xF1, 0x5D];

/// What stands in front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Length of the payload.
    pub(super) len: usize,
    /// Epoch of the record.
    pub(super) epoch: u64,
    /// Number within the epoch.
    pub(super) seq: u64,
    /// Severity.
    pub(super) severity: u8,
    crc: u32,
}

impl Header {
    /// Whether `payload` is what was written.
    pub(super) fn vouches(&self, payload: &[u8]) -> bool {
        payload.len() == self.len && crc32fast::hash(payload) == self.crc
    }
}

/// Appends a record.
pub(super) fn write(to: &mut Vec<u8>, epoch: u64, seq: u64, severity: u8, payload: &[u8]) {
    let at = to.len();
    to.extend_from_slice(&MAGIC);
    to.extend_from_slice(&[severity, 0]);
    to.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    to.extend_from_slice(&epoch.to_le_bytes());
    to.extend_from_slice(&seq.to_le_bytes());
    let head = crc32fast::hash(to.get(at..).unwrap_or_default());
    to.extend_from_slice(&head.to_le_bytes());
    to.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    to.extend_from_slice(payload);
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// The header at the beginning of `bytes`, if there is one and it is whole.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    if !bytes.starts_with(&MAGIC) || bytes.len() < HEADER {
        return None;
    }
    let head = Header {
        severity: *bytes.get(2)?,
        len: usize::try_from(u32::from_le_bytes(word(bytes, 4)?)).ok()?,
        epoch: u64::from_le_bytes(word(bytes, 8)?),
        seq: u64::from_le_bytes(word(bytes, 16)?),
        crc: u32::from_le_bytes(word(bytes, 28)?),
    };
    let whole = crc32fast::hash(bytes.get(..24)?) == u32::from_le_bytes(word(bytes, 24)?);
    (whole && head.len <= fieldmouse_core::wire::MAX_PAYLOAD && head.seq > 0).then_some(head)
}

/// What a scan comes upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole record at this place.
    Record(usize, Header),
    /// Its payload is damaged or cut; its number is known.
    Broken(usize, Header),
    /// Bytes from here, this many, that tell nothing.
    Junk(usize, usize),
}

/// Walks over `bytes`; after damage it looks for the next whole header, byte by byte.
pub(super) fn scan(bytes: &[u8], mut found: impl FnMut(Found)) {
    let (mut at, mut junk) = (0, 0);
    // Bytes before this belong to a broken record whose length is known: they hide no other.
    let mut claimed = 0;
    let told = |from: usize, to: usize, claimed: usize, found: &mut dyn FnMut(Found)| {
        let from = from.max(claimed);
        if from < to {
            found(Found::Junk(from, to - from));
        }
    };
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(head) = header(rest) else {
            at += 1;
            continue;
        };
        told(junk, at, claimed, &mut found);
        let end = at + HEADER + head.len;
        if bytes.get(at + HEADER..end).is_some_and(|p| head.vouches(p)) {
            found(Found::Record(at, head));
            at = end;
        } else {
            found(Found::Broken(at, head));
            at += HEADER;
            claimed = end;
        }
        junk = at;
    }
    told(junk, bytes.len(), claimed, &mut found);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Found> {
        let mut v = Vec::new();
        scan(bytes, |f| v.push(f));
        v
    }

    #[test]
    fn finds_records_behind_damage() {
        let mut bytes = Vec::new();
        for seq in 1..=3 {
            write(&mut bytes, 7, seq, 9, b"payload of ten or so");
        }
        let one = bytes.len() / 3;
        assert!(matches!(all(&bytes)[..], [Found::Record(..), Found::Record(..), Found::Record(..)]));
        let mut cut = bytes.clone();
        cut[one + HEADER + 3] ^= 1;
        assert!(
            matches!(all(&cut)[..], [Found::Record(..), Found::Broken(_, h), Found::Record(..)] if h.seq == 2)
        );
        let mut cut = bytes.clone();
        cut[one + 9] ^= 1;
        assert!(
            matches!(all(&cut)[..], [Found::Record(..), Found::Junk(at, n), Found::Record(..)] if at == one && n == one)
        );
        assert!(
            matches!(all(&bytes[..one * 2 + 40])[..], [Found::Record(..), Found::Record(..), Found::Broken(_, h)] if h.seq == 3)
        );
        assert!(matches!(all(&bytes[..one + 5])[..], [Found::Record(..), Found::Junk(_, 5)]));
    }
}
