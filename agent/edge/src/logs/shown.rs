//! Names and values as they may leave the device: without ids and secrets, and short.

use std::borrow::Cow;

use fieldmouse_core::logs::line::{Line, VALUE};
use fieldmouse_core::logs::mask::Masker;
use ring::digest::{SHA256, digest};

/// So much of a name is looked at.
const LONGEST: usize = 256;
/// A value with more digits is an id, or an address.
const DIGITS: usize = 4;

/// `text` in so many bytes. What does not fit ends in a hash of all of it, so that two never become one.
pub(crate) fn fit(text: &str, room: usize) -> Cow<'_, str> {
    const HASH: usize = 9;
    if text.len() <= room {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}~{}", head(text, room.saturating_sub(HASH)), hash(text)))
}

/// The beginning of `text`, at most so many bytes.
pub(crate) fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Alike for alike texts, on every device and for ever.
fn hash(text: &str) -> String {
    crate::decode::hex(&digest(&SHA256, text.as_bytes()).as_ref()[..4])
}

/// Masks names.
#[derive(Debug)]
pub(crate) struct Names {
    masker: Masker,
    line: Line,
}

impl Names {
    pub(crate) fn new(masker: Masker) -> Self {
        Self { masker, line: Line::default() }
    }

    fn mask(&mut self, text: &str) -> &str {
        self.masker.mask(text.as_bytes(), &mut self.line);
        self.line.text()
    }

    /// The name of an operation: `GET /user/123` is `GET /user/<*>`.
    pub(crate) fn operation(&mut self, name: &str) -> String {
        let mut masked = String::new();
        for (i, piece) in head(name, LONGEST).split('/').enumerate() {
            if i > 0 {
                masked.push('/');
            }
            masked.push_str(self.mask(piece));
            if piece.ends_with(' ') && !masked.ends_with(' ') {
                masked.push(' ');
            }
        }
        crate::sources::label(&masked)
    }

    /// The value of an attribute: short codes, words and routes are kept, whatever may be an id or a secret is not.
    pub(crate) fn value(&mut self, key: &str, value: &str) -> String {
        if self.mask(&format!("{key}=x")).ends_with(VALUE) {
            return VALUE.to_owned();
        }
        if value.contains('/') {
            return self.operation(value);
        }
        let is_mark = |b: u8| b" ._-:{}<>*".contains(&b);
        let count = |is: fn(&u8) -> bool| value.bytes().filter(is).count();
        let is_plain = value.len() <= 32
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || is_mark(b))
            && count(u8::is_ascii_digit) <= DIGITS
            && count(|b| *b == b'.') < 3;
        let words: String = value.chars().filter(|c| !c.is_ascii_digit()).collect();
        // What is so short is a code or a word, such as `true`.
        if is_plain && (value.len() <= 5 || !self.mask(&words).contains(VALUE)) {
            return crate::sources::label(value);
        }
        let masked = self.mask(head(value, LONGEST)).to_owned();
        crate::sources::label(&masked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_lose_their_ids() {
        let mut names = Names::new(Masker::default());
        let mut check = |name: &str, wanted: &str| assert_eq!(names.operation(name), wanted, "{name}");
        check("GET /user/123", "GET /user/<*>");
        check("GET /user/123/cart", "GET /user/<*>/cart");
        check("GET /user/{id}", "GET /user/{id}");
        check("/shop.Cart/AddItem", "/shop.Cart/AddItem");
        check("SELECT shop.orders", "SELECT shop.orders");
        check("HTTP GET", "HTTP GET");
        check("POST /login?token=horse", "POST /login?token=<*>");
        check("run 4bf92f3577b34da6a3ce929d0e0e4736", "run <*>");
        check("a;b", "a_b");
        check("", "");
    }

    #[test]
    fn values_keep_what_is_no_secret() {
        let mut names = Names::new(Masker::default());
        let mut check =
            |key: &str, value: &str, wanted: &str| assert_eq!(names.value(key, value), wanted, "{value}");
        check("http.response.status_code", "503", "503");
        check("http.request.method", "GET", "GET");
        check("error", "false", "false");
        check("http.route", "/user/{id}", "/user/{id}");
        check("url.path", "/user/123", "/user/<*>");
        check("network.interface.name", "eth0", "eth0");
        check("exception.type", "TimeoutError", "TimeoutError");
        check("session_token", "horse", "<*>");
        check("user.password", "horse", "<*>");
        check("enduser.mail", "ann@example.org", "<*>");
        check("server.address", "10.20.30.40", "<*>");
        check("server.address", "1.1.1.1", "<*>");
        check("card", "4111111111111111", "<*>");
        check("key.of", "QwErTyUiOpAsDfGhJkLz", "<*>");
    }

    #[test]
    fn what_is_cut_stays_apart() {
        let long = |last: char| format!("{}{last}", "ä".repeat(40));
        let (a, b) = (long('a'), long('b'));
        let (a, b) = (fit(&a, 64), fit(&b, 64));
        assert!(a != b && a.len() <= 64 && a.starts_with("ää") && a.contains('~'), "{a} {b}");
        assert_eq!(fit("short", 5), "short");
        assert!(fit("short and more", 4).len() <= 9);
    }
}
