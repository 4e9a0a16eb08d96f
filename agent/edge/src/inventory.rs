//! What there is of something, by name, each with a mark of what it is like; and what is different from the last time.
//!
//! Packages, watched files and the machine itself are told by the same means: a source makes an [`Inventory`] of what is
//! there now, [`Kept`] has the one of before, over restarts too, and the [`differences`] are what the source tells.

mod kept;

pub(crate) use kept::Kept;

use std::cmp::Ordering;

/// More things than this are left out, and counted.
const MOST: usize = 16_384;
/// Names and marks together.
const MOST_BYTES: usize = 2 << 20;
/// The longest name, and the longest mark.
const NAME: usize = 256;
const MARK: usize = 1024;

/// Things by name. They lie beside each other in one piece of memory, as there may be thousands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    text: String,
    places: Vec<Place>,
    /// How many found no room.
    pub(crate) left_out: usize,
}

/// Where a thing's name begins in the text; its mark follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: usize,
    name: usize,
    mark: usize,
    stamp: u64,
}

/// One thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// What it is called.
    pub(crate) name: &'a str,
    /// What it is like. Another mark is a difference.
    pub(crate) mark: &'a str,
    /// Whatever spares the source a closer look. Another one alone is no difference.
    pub(crate) stamp: u64,
}

/// What a thing was and what it is: no `was`, and it is new; no `now`, and it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Difference<'a> {
    pub(crate) name: &'a str,
    pub(crate) was: Option<&'a str>,
    pub(crate) now: Option<&'a str>,
}

impl Inventory {
    /// Takes a thing in. Names and marks are cut at their greatest lengths. [`Inventory::settle`] comes after the last one.
    pub(crate) fn add(&mut self, name: &str, mark: &str, stamp: u64) {
        let (name, mark) = (cut(name, NAME), cut(mark, MARK));
        if self.places.len() >= MOST || self.text.len() + name.len() + mark.len() > MOST_BYTES {
            self.left_out += 1;
            return;
        }
        self.places.push(Place { at: self.text.len(), name: name.len(), mark: mark.len(), stamp });
        self.text.push_str(name);
        self.text.push_str(mark);
    }

    /// Brings things into the order of their names. Of several with one name the last one counts.
    pub(crate) fn settle(&mut self) {
        let text = &self.text;
        let name = |p: &Place| &text[p.at..p.at + p.name];
        self.places.sort_by(|a, b| name(a).cmp(name(b)).then(b.at.cmp(&a.at)));
        self.places.dedup_by(|b, a| name(a) == name(b));
        self.places.shrink_to_fit();
        self.text.shrink_to_fit();
    }

    /// Everything, in the order of the names once it is settled.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.places.iter().map(|p| self.item(p))
    }

    /// The thing called `name`, of a settled inventory.
    pub(crate) fn get(&self, name: &str) -> Option<Item<'_>> {
        let at = self.places.binary_search_by(|p| self.item(p).name.cmp(name)).ok()?;
        self.places.get(at).map(|p| self.item(p))
    }

    /// How many things.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes of memory it takes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.places.capacity() * size_of::<Place>()
    }

    fn item(&self, p: &Place) -> Item<'_> {
        let (name, rest) = self.text[p.at..].split_at(p.name);
        Item { name, mark: &rest[..p.mark], stamp: p.stamp }
    }
}

/// What is different, in the order of the names. Both must be settled.
pub(crate) fn differences<'a>(was: &'a Inventory, now: &'a Inventory) -> Vec<Difference<'a>> {
    let (mut old, mut new) = (was.iter().peekable(), now.iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(b.name),
        };
        let was = if order.is_le() { old.next() } else { None };
        let now = if order.is_ge() { new.next() } else { None };
        let (was_mark, now_mark) = (was.map(|i| i.mark), now.map(|i| i.mark));
        if let Some(item) = now.or(was).filter(|_| was_mark != now_mark) {
            found.push(Difference { name: item.name, was: was_mark, now: now_mark });
        }
    }
}

/// As much of `text` as `most` bytes hold, cut at a character.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn of<'a>(items: impl IntoIterator<Item = (&'a str, &'a str)>) -> Inventory {
        let mut inventory = Inventory::default();
        items.into_iter().for_each(|(name, mark)| inventory.add(name, mark, 0));
        inventory.settle();
        inventory
    }

    #[test]
    fn what_came_went_and_changed() {
        let was = of([("b", "1"), ("a", "1"), ("c", "1")]);
        let now = of([("d", "1"), ("c", "1"), ("a", "1"), ("a", "2")]);
        let found: Vec<_> = differences(&was, &now).iter().map(|d| (d.name, d.was, d.now)).collect();
        assert_eq!(
            found,
            [("a", Some("1"), Some("2")), ("b", Some("1"), None), ("d", None, Some("1"))],
            "of several with one name the last one counts"
        );
        assert_eq!(now.get("c").map(|i| i.mark), Some("1"));
        assert_eq!((now.get("b"), now.len()), (None, 3));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut inventory = Inventory::default();
        for i in 0..MOST + 10 {
            inventory.add(&i.to_string(), "", 0);
        }
        inventory.add(&"ä".repeat(NAME), &"ö".repeat(MARK), 0);
        assert_eq!((inventory.len(), inventory.left_out), (MOST, 11));
        let long = of([("ä".repeat(NAME).as_str(), "ö".repeat(MARK).as_str())]);
        let item = long.iter().next().unwrap();
        assert_eq!((item.name.len(), item.mark.len()), (NAME, MARK));
    }

    proptest! {
        #[test]
        fn differences_are_those_of_two_maps(
            was in prop::collection::btree_map("[a-d]{1,2}", "[xy]", 0..9),
            now in prop::collection::btree_map("[a-d]{1,2}", "[xy]", 0..9),
        ) {
            let make = |map: &BTreeMap<String, String>| of(map.iter().rev().map(|(a, b)| (a.as_str(), b.as_str())));
            let (before, after) = (make(&was), make(&now));
            let names: std::collections::BTreeSet<_> = was.keys().chain(now.keys()).collect();
            let wanted: Vec<_> = names
                .into_iter()
                .map(|n| (n.as_str(), was.get(n).map(String::as_str), now.get(n).map(String::as_str)))
                .filter(|(_, was, now)| was != now)
                .collect();
            let found: Vec<_> = differences(&before, &after).iter().map(|d| (d.name, d.was, d.now)).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
