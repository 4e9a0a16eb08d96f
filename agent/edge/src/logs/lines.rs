//! Lines of a file, however long they are: what nobody would look at is skipped without being held.

use std::io::{self, BufRead};

use fieldmouse_core::logs::mask::MAX_LINE;

/// What is held of a line: what is looked at, and one byte by which a cut is seen.
const HELD: usize = MAX_LINE + 1;

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
}
