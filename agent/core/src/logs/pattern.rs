//! What a user knows to be nobody's business: patterns that are masked besides what always is.

use heapless::String;

/// How many there may be.
pub const MAX_PATTERNS: usize = 32;
/// Bytes of one.
pub const MAX_PATTERN: usize = 96;

/// Text that is masked wherever it begins a word, or of which that is masked which `*` stands for: `ward *` makes
/// `ward <*>` of `ward north`. `*` stands for one byte or more, up to a space or the text behind it. Capitals matter not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String<MAX_PATTERN>,
}

impl Pattern {
    /// # Errors
    /// If it is empty, too long, or has more than one `*`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.trim_matches('*').trim().is_empty() {
            return Err("it has to have text");
        }
        if text.matches('*').count() > 1 {
            return Err("it may have one `*`");
        }
        let text = String::try_from(text).map_err(|_| "it is longer than 96 bytes")?;
        Ok(Self { text })
    }

    /// What `*` stands for in the first place of a line in which the pattern begins a word; all of it if it has no `*`.
    #[must_use]
    pub fn capture<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let begins_word = |at: &usize| *at == 0 || !line[at - 1].is_ascii_alphanumeric();
        let first = self.text.bytes().next()?;
        let is_likely = |at: &usize| first == b'*' || line[*at].eq_ignore_ascii_case(&first);
        let starts = (0..line.len()).filter(is_likely).filter(begins_word);
        starts.into_iter().find_map(|start| self.found(line, start)).map(|(from, to)| &line[from..to])
    }

    /// What is to be masked of a line if this pattern matches at `start`: from, to.
    pub(super) fn found(&self, line: &[u8], start: usize) -> Option<(usize, usize)> {
        let (before, behind) = match self.text.split_once('*') {
            Some((before, behind)) => (before, behind.as_bytes()),
            None => {
                let end = start + self.text.len();
                return begins(&line[start..], self.text.as_bytes()).then_some((start, end));
            }
        };
        let rest = &line[start..];
        if !begins(rest, before.as_bytes()) {
            return None;
        }
        let rest = &rest[before.len()..];
        let run = rest.iter().position(|b| *b <= b' ').unwrap_or(rest.len());
        let length =
            if behind.is_empty() { run } else { (1..=run).find(|at| begins(&rest[*at..], behind))? };
        let from = start + before.len();
        (length > 0).then_some((from, from + length))
    }
}

fn begins(text: &[u8], with: &[u8]) -> bool {
    text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with))
}
