//! Messages of a stream: with their length before them (RFC 6587, octet counting), or up to the end of a line. Each message
//! tells by its first byte which of the two it is.

use fieldmouse_core::logs::mask::MAX_LINE;

/// What is held of a message: what is looked at, and one byte by which a cut is seen.
pub(super) const HELD: usize = MAX_LINE + 1;
/// Digits of a length.
const DIGITS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between two messages.
    Between,
    /// Digits of a length were read; they are held.
    Length,
    /// So many bytes of it are to come.
    Counted(usize),
    /// It goes to the end of the line.
    Line,
}

/// What was read of the next message.
#[derive(Debug)]
pub(super) struct Frames {
    held: Vec<u8>,
    state: State,
    is_done: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self { held: Vec::new(), state: State::Between, is_done: false }
    }
}

impl Frames {
    /// Whether a message has begun that has not ended.
    pub(super) fn is_partial(&self) -> bool {
        self.state != State::Between
    }

    /// Takes bytes from the front of `from` until a message has ended; none if there are too few. However long it is, no
    /// more than [`HELD`] bytes of it are held.
    pub(super) fn next(&mut self, from: &mut &[u8]) -> Option<&[u8]> {
        if std::mem::take(&mut self.is_done) {
            self.held.clear();
        }
        while let Some((first, rest)) = from.split_first() {
            match self.state {
                State::Between => {
                    if first.is_ascii_digit() && *first != b'0' {
                        self.state = State::Length;
                    } else if *first <= b' ' {
                        *from = rest;
                    } else {
                        self.state = State::Line;
                    }
                }
                State::Length if first.is_ascii_digit() && self.held.len() < DIGITS => {
                    self.held.push(*first);
                    *from = rest;
                }
                State::Length if *first == b' ' => {
                    let length = self.held.drain(..).fold(0, |n, digit| 10 * n + usize::from(digit - b'0'));
                    self.state = State::Counted(length);
                    *from = rest;
                }
                // It was no length.
                State::Length => self.state = State::Line,
                State::Counted(left) => {
                    let (part, rest) = from.split_at(left.min(from.len()));
                    self.hold(part);
                    *from = rest;
                    self.state = State::Counted(left - part.len());
                    if left == part.len() {
                        return Some(self.done());
                    }
                }
                State::Line => {
                    let end = from.iter().position(|b| matches!(b, b'\n' | 0));
                    let (part, rest) = from.split_at(end.unwrap_or(from.len()));
                    self.hold(part);
                    *from = rest.get(1..).unwrap_or_default();
                    if end.is_some() {
                        return Some(self.done());
                    }
                }
            }
        }
        None
    }

    /// What is left when the stream has ended.
    pub(super) fn end(&mut self) -> Option<&[u8]> {
        let is_any = !self.is_done && self.is_partial() && !self.held.is_empty();
        is_any.then(|| self.done())
    }

    fn hold(&mut self, part: &[u8]) {
        self.held.extend_from_slice(&part[..part.len().min(HELD.saturating_sub(self.held.len()))]);
    }

    fn done(&mut self) -> &[u8] {
        (self.state, self.is_done) = (State::Between, true);
        &self.held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All messages of a stream that comes in pieces of this size.
    fn messages(stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for mut piece in stream.chunks(piece) {
            while let Some(message) = frames.next(&mut piece) {
                found.push(message.to_vec());
            }
            assert!(frames.held.len() <= HELD);
        }
        found.extend(frames.end().map(<[u8]>::to_vec));
        found
    }

    #[test]
    fn both_framings_in_pieces_of_any_size() {
        let long = vec![b'x'; 3 * HELD];
        let counted = format!("{} ", long.len()).into_bytes();
        let stream = [
            b"<13>one\n5 <1>tw3 a\nb<14>three\0\r\n12",
            &b"34 is no length, too long a one 123456789\n2 ok"[..],
            &counted,
            &long,
            b"<1>",
            &long,
            b"\n",
            &b"<2>last"[..],
        ]
        .concat();
        let cut = [b"<1>", &long[..HELD - 3]].concat();
        for piece in [1, 2, 7, 4096, 1 << 20] {
            let found = messages(&stream, piece);
            let text = |at: usize| String::from_utf8_lossy(&found[at]).into_owned();
            assert_eq!([text(0), text(1), text(2), text(3)], ["<13>one", "<1>tw", "a\nb", "<14>three"], "{piece}");
            // 1234 bytes were promised, and are taken.
            assert_eq!(found[4].len(), 1234, "{piece}");
            assert!(found.len() >= 5);
        }
        for piece in [1, 2, 7, 4096, 1 << 20] {
            let stream = [counted.as_slice(), &long, b"<1>", &long, b"\n<2>last"].concat();
            assert_eq!(messages(&stream, piece), [&long[..HELD], &cut, b"<2>last"], "{piece}");
        }
        assert_eq!(messages(b"123456789 x\n", 3), [b"123456789 x"]);
        assert_eq!(messages(b"12x\n", 1), [b"12x"]);
        assert_eq!(messages(b"\n\n  \n", 1), Vec::<Vec<u8>>::new());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(stream in proptest::collection::vec(
            proptest::sample::select(&b"<1>a \n\x0023"[..]), 0..200), piece in 1_usize..50) {
            prop_assert_eq!(messages(&stream, piece), messages(&stream, 1 << 20));
        }
    }
}
