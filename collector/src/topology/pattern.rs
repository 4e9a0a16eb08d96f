//! Patterns with `*`, which stands for any text; in the name of an entity, for any text between `/` and `#`.

use super::entity::LONGEST;

/// A text in which each `*` stands for any text, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// What stands between the stars: one more than there are stars.
    pieces: Vec<String>,
}

impl Glob {
    /// Reads a pattern. Every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { pieces: text.split('*').map(str::to_owned).collect() }
    }

    /// Whether the text is such a one.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.captures(text).is_some()
    }

    /// What each star stands for, as little as possible from the left; nothing if the text is no such one.
    #[must_use]
    pub fn captures<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let (first, rest) = self.pieces.split_first()?;
        let mut left = text.strip_prefix(first.as_str())?;
        let Some((last, middle)) = rest.split_last() else { return left.is_empty().then(Vec::new) };
        let mut found = Vec::with_capacity(rest.len());
        for piece in middle {
            let at = left.find(piece.as_str())?;
            found.push(&left[..at]);
            left = &left[at + piece.len()..];
        }
        found.push(left.strip_suffix(last.as_str())?);
        Some(found)
    }
}

/// A pattern over names of entities: `hall/press-*`, `*/gw-1#service=*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entities {
    text: String,
    /// Site, node, part; a name has as many as the pattern, or is no such one.
    parts: [Option<Glob>; 3],
}

/// Site, node and part of a name or of a pattern over names.
fn split(text: &str) -> [Option<&str>; 3] {
    let (whole, part) = text.split_once('#').map_or((text, None), |(whole, part)| (whole, Some(part)));
    let (site, node) = whole.split_once('/').map_or((whole, None), |(site, node)| (site, Some(node)));
    [Some(site), node, part]
}

impl Entities {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence with the offending text.
    pub fn new(text: &str) -> Result<Self, String> {
        let named = text.strip_suffix("#*").map_or_else(|| text.to_owned(), |device| format!("{device}#x=x"));
        let named = named.replace('*', "x");
        if text.len() > LONGEST || super::entity::Name::of(&named).is_none() {
            let shown: String = text.chars().take(80).collect();
            return Err(format!(
                "`{shown}` names no entity: write site/node, site/node#service=name or a single name, with * for any \
                 text; sites and nodes are [a-z0-9-], 1 to 48 characters"
            ));
        }
        Ok(Self { text: text.to_owned(), parts: split(text).map(|p| p.map(Glob::new)) })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it names one thing alone.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.text.contains('*')
    }

    /// What every such name begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.text.split('*').next().unwrap_or("")
    }

    /// Whether the name is such a one.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.captures(name).is_some()
    }

    /// Whether such names are of this device or of parts of it.
    #[must_use]
    pub fn of_device(&self, device: &str) -> bool {
        let [site, node, _] = split(device);
        let matches = |glob: &Option<Glob>, text: Option<&str>| match (glob, text) {
            (Some(glob), Some(text)) => glob.matches(text),
            _ => false,
        };
        matches(&self.parts[0], site) && matches(&self.parts[1], node)
    }

    /// What the stars stand for in this name.
    #[must_use]
    pub fn captures<'t>(&self, name: &'t str) -> Option<Vec<&'t str>> {
        let mut found = Vec::new();
        for pair in self.parts.iter().zip(split(name)) {
            match pair {
                (Some(glob), Some(text)) => found.extend(glob.captures(text)?),
                (None, None) => {}
                _ => return None,
            }
        }
        Some(found)
    }

    /// The name in which each star is replaced by what a star of another pattern stands for, in their order; nothing
    /// if there are too few.
    #[must_use]
    pub fn filled(&self, captures: &[&str]) -> Option<String> {
        let mut pieces = self.text.split('*');
        let mut name = pieces.next()?.to_owned();
        for (i, piece) in pieces.enumerate() {
            name.push_str(captures.get(i)?);
            name.push_str(piece);
        }
        Some(name)
    }

    /// How many stars there are.
    #[must_use]
    pub fn stars(&self) -> usize {
        self.text.matches('*').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        let check = |pattern: &str, text: &str, want: Option<&[&str]>| {
            assert_eq!(Glob::new(pattern).captures(text).as_deref(), want, "{pattern} over {text}");
        };
        check("a", "a", Some(&[]));
        check("a", "ab", None);
        check("", "", Some(&[]));
        check("*", "", Some(&[""]));
        check("a*", "abc", Some(&["bc"]));
        check("*c", "abc", Some(&["ab"]));
        check("a*a", "a", None);
        check("*b*d", "abcd", Some(&["a", "c"]));
        check("**", "ab", Some(&["", "ab"]));
        check(
            "span.*{*=shop,*",
            "span.count{service.name=shop,x=y}",
            Some(&["count", "service.name", "x=y}"]),
        );
        check("ä*", "äöü", Some(&["öü"]));
    }

    #[test]
    fn a_star_in_a_name_stays_in_its_part_of_it() {
        let check = |pattern: &str, name: &str, want: bool| {
            assert_eq!(Entities::new(pattern).unwrap().matches(name), want, "{pattern} over {name}");
        };
        check("hall/*", "hall/press-1", true);
        check("hall/*", "hall/press-1#service=shop", false);
        check("hall/*#*", "hall/press-1#service=shop", true);
        check("hall/*#service=*", "hall/press-1#service=shop", true);
        check("*", "hall", true);
        check("*", "hall/press-1", false);
        check("*/gw-*", "hall/gw-1", true);
        check("*/gw-*", "hall/press-1", false);
        for wrong in ["", "Hall/x", "a/b/c", "hall/#service=x", "hall/x#nothing", &"a".repeat(1 << 20)] {
            let said = Entities::new(wrong).unwrap_err();
            assert!(said.len() < 400 && said.contains("site/node"), "{said}");
        }
    }

    #[test]
    fn what_stars_stood_for_can_be_put_elsewhere() {
        let check = |from: &str, name: &str, on: &str, want: Option<&str>| {
            let (from, on) = (Entities::new(from).unwrap(), Entities::new(on).unwrap());
            let filled = from.captures(name).and_then(|found| on.filled(&found));
            assert_eq!(filled.as_deref(), want);
        };
        check("*/sensor-*", "hall/sensor-7", "*/gw", Some("hall/gw"));
        check("*/sensor-*", "hall/sensor-7", "*/gw-*", Some("hall/gw-7"));
        check("hall/sensor-*", "hall/sensor-7", "*/gw-*", None);
        check("hall/sensor-*", "hall/sensor-7", "internet", Some("internet"));
    }
}
