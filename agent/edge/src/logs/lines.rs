//! Lines of a file, however long they are: what nobody would look at is skipped without being held.

use std::io::{self, BufRead};

use fieldmouse_core::logs::mask::MAX_LINE;

/// What is held of a line: what is looked at, and one byte by which a cut is seen.
pub(super) const HELD: usize = MAX_LINE + 1;

/// What is held of the end of a longer one: formats say there how a line goes on.
const END: usize = 160;

/// A line that comes in pieces, as far as it is held.
#[derive(Debug, Default)]
pub struct Held {
    head: Vec<u8>,
    end: Vec<u8>,
}

impl Held {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        let room = HELD - self.head.len();
        self.head.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() <= room {
            return;
        }
        if self.end.is_empty() {
            self.end.extend_from_slice(&self.head[HELD - END..]);
        }
        self.end.extend_from_slice(&piece[room.max(piece.len().saturating_sub(END))..]);
        self.end.drain(..self.end.len() - END);
    }

    /// Whether nothing came yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// What is held.
    #[must_use]
    pub fn line(&self) -> Cut<'_> {
        Cut { head: &self.head, end: &self.end }
    }

    /// Forgets it, and gives back what it took.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A line: the head of it that is held, and if it is longer, its last bytes, which may overlap.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// All of it, or what is held.
    pub head: &'a [u8],
    /// Empty if the head is all of it.
    pub end: &'a [u8],
}

impl<'a> Cut<'a> {
    /// A line that is there as a whole.
    #[must_use]
    pub fn of(line: &'a [u8]) -> Self {
        if line.len() <= HELD {
            return Self { head: line, end: &[] };
        }
        Self { head: &line[..HELD], end: &line[line.len() - END..] }
    }
}

/// Reads the next line into `line`, without its end. `false`: there is none.
///
/// # Errors
/// If the reader fails.
pub fn next(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut is_any = false;
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(is_any);
        }
        is_any = true;
        let end = bytes.iter().position(|b| *b == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        line.extend_from_slice(&part[..part.len().min(HELD - line.len())]);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_length_in_pieces_of_any_length() {
        let long = vec![b'x'; 3 * HELD];
        let text = [b"one\n\n\xff\x00two\r\n", long.as_slice(), b"\nlast"].concat();
        let expected: [&[u8]; 5] = [b"one", b"", b"\xff\x00two\r", &long[..HELD], b"last"];
        for piece in [1, 2, 7, 4096, 1 << 20] {
            let mut from = io::BufReader::with_capacity(piece, text.as_slice());
            let (mut line, mut found) = (Vec::new(), Vec::new());
            while next(&mut from, &mut line).unwrap() {
                found.push(line.clone());
            }
            assert!(found == expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_line_in_pieces_is_held_as_the_whole_is() {
        for len in [0, 1, END, HELD - 1, HELD, HELD + 1, 3 * HELD] {
            let line: Vec<u8> = (0..len).map(|at| at as u8).collect();
            for piece in [1, 7, END - 1, END + 1, 4096] {
                let mut held = Held::default();
                line.chunks(piece).for_each(|piece| held.push(piece));
                let (found, whole) = (held.line(), Cut::of(&line));
                assert!((found.head, found.end) == (whole.head, whole.end), "{len} in pieces of {piece}");
            }
        }
    }
}
