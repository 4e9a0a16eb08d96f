//! What is done to an input.

use crate::hostile::dice::Dice;

/// Words that parsers look for.
const WORDS: [&[u8]; 28] = [
    b"\n",
    b"\r\n",
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"=",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"<34>1 ",
    b"2026-11-23T04:00:00Z",
    b"-----BEGIN ",
    b"password=",
    b"\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xc3",
    b"\xf0\x9f\x90\xad",
    b" ",
    b"Version: ",
    b"ERROR ",
];
/// Numbers at which things overflow.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, u32::MAX as u64, u64::MAX];

/// Bends it once.
pub fn bend(input: &mut Vec<u8>, dice: &mut Dice) {
    if input.is_empty() {
        input.extend_from_slice(dice.pick(&WORDS));
        return;
    }
    let at = dice.below(input.len());
    match dice.below(11) {
        0 => input[at] ^= 1 << dice.below(8),
        1 => input[at] = dice.byte(),
        2 => input.truncate(at),
        3 => input.insert(at, dice.byte()),
        4 => {
            let end = (at + 1 + dice.below(16)).min(input.len());
            input.drain(at..end);
        }
        5 | 6 => drop(input.splice(at..at, dice.pick(&WORDS).iter().copied())),
        7 => {
            let end = (at + 1 + dice.below(64)).min(input.len());
            let piece = input[at..end].to_vec();
            (0..dice.below(8)).for_each(|_| drop(input.splice(at..at, piece.iter().copied())));
        }
        8 | 9 => {
            let number = dice.pick(&EDGES).to_le_bytes();
            let width = dice.pick(&[1, 2, 4, 8]);
            for (to, from) in input[at..].iter_mut().zip(&number[..width]) {
                *to = *from;
            }
        }
        _ => {
            let from = dice.below(input.len());
            let len = dice.below(32).min(input.len() - at.max(from));
            input.copy_within(from..from + len, at);
        }
    }
}
