//! States in less room: most of a young or quiet series' state is zeros. A zero is followed by how many there are.

/// Packs what it is extended by.
pub(super) struct Packer {
    to: Vec<u8>,
    zeros: u8,
}

impl Packer {
    /// Appends to these bytes.
    pub(super) fn new(to: Vec<u8>) -> Self {
        Self { to, zeros: 0 }
    }

    /// All bytes, with those that were there before.
    pub(super) fn done(mut self) -> Vec<u8> {
        self.end_zeros();
        self.to
    }

    fn end_zeros(&mut self) {
        if self.zeros > 0 {
            self.to.extend([0, self.zeros]);
            self.zeros = 0;
        }
    }
}

impl Extend<u8> for Packer {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        for byte in bytes {
            if byte == 0 && self.zeros < u8::MAX {
                self.zeros += 1;
                continue;
            }
            self.end_zeros();
            if byte == 0 {
                self.zeros = 1;
            } else {
                self.to.push(byte);
            }
        }
    }
}

/// What was packed, `most` bytes of it at most.
pub(super) fn unpack(packed: &[u8], most: usize) -> Vec<u8> {
    let mut to = Vec::new();
    let mut bytes = packed.iter();
    while let Some(byte) = bytes.next().filter(|_| to.len() < most) {
        let zeros = if *byte == 0 { bytes.next() } else { None };
        match zeros {
            Some(zeros) => to.resize(to.len() + usize::from(*zeros), 0),
            None => to.push(*byte),
        }
    }
    to.truncate(most);
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pieces: &[Vec<u8>], len: usize) {
        let mut packer = Packer::new(vec![7]);
        pieces.iter().for_each(|piece| packer.extend(piece.iter().copied()));
        let packed = packer.done();
        assert_eq!(packed.len(), 1 + len);
        assert_eq!(unpack(&packed[1..], 1 << 16), pieces.concat());
    }

    #[test]
    fn zeros_take_two_bytes() {
        check(&[], 0);
        check(&[vec![0]], 2);
        check(&[vec![1, 0, 0], vec![0, 2]], 4);
        check(&[vec![0; 255]], 2);
        check(&[vec![0; 256]], 4);
        check(&[vec![0; 1000], vec![3]], 9);
    }

    proptest! {
        #[test]
        fn every_byte_comes_back(pieces in proptest::collection::vec(proptest::collection::vec(0..3u8, 0..300), 0..9)) {
            let mut packer = Packer::new(Vec::new());
            pieces.iter().for_each(|piece| packer.extend(piece.iter().copied()));
            prop_assert_eq!(unpack(&packer.done(), 1 << 16), pieces.concat());
        }

        #[test]
        fn whatever_stands_there_is_bounded(bytes in proptest::collection::vec(0..2u8, 0..2000)) {
            prop_assert!(unpack(&bytes, 1000).len() <= 1000);
        }
    }
}
