//! The last inventory of a source, in a file of its folder.

use fieldmouse_core::wire::Fact;

use super::Inventory;
use crate::disk::Folder;
use crate::sources::{Place, Readings};
use crate::store::Store;

const MAGIC: [u8; 4] = *b"FMI1";
/// No file of ours is larger.
const MOST_BYTES: usize = 4 << 20;

/// The inventory of before, in memory and, where there is a place for it, in a file.
///
/// It is written when the next sample begins: by then what was told of it is durable. So a kill between tells twice
/// rather than not at all.
pub(crate) struct Kept {
    what: &'static str,
    store: Option<Store>,
    last: Option<Inventory>,
    /// Whether the file was asked since memory forgot.
    read: bool,
    due: bool,
}

impl Kept {
    /// Nothing is touched yet. `what` names the file, and the things in it for people: `packages.dpkg`.
    pub(crate) fn new(place: &Place, what: &'static str) -> Self {
        let store = place.state.as_ref().map(|dir| Store::new(Box::new(Folder::new(dir))));
        Self { what, store, last: None, read: false, due: false }
    }

    /// Writes what the last sample left. The first thing that a sample does.
    pub(crate) fn keep(&mut self) {
        let (Some(store), Some(last), true) = (&mut self.store, &self.last, self.due) else { return };
        let temp = format!("{}.new", self.what);
        match store.list().and_then(|_| store.replace(self.what, &temp, &to_bytes(last))) {
            Ok(()) => self.due = false,
            // It stays in memory, and is tried again at the next sample.
            Err(e) => log::debug!("{}: cannot be kept: {e}", self.what),
        }
    }

    /// The last inventory; none if there was none yet. If its file was damaged, that is told.
    pub(crate) fn last(&mut self, out: &mut Readings) -> Option<&Inventory> {
        if self.last.is_none() && !self.read {
            self.read = true;
            match self.load() {
                Ok(last) => self.last = last,
                Err(why) => {
                    let text =
                        format!("what is known of {} cannot be used ({why}): it begins anew", self.what);
                    out.tell(13, Fact::new("relearning", &text));
                }
            }
        }
        self.last.as_ref()
    }

    /// This is the last one now.
    pub(crate) fn set(&mut self, now: Inventory) {
        (self.last, self.due, self.read) = (Some(now), true, true);
    }

    /// The same, where nothing but stamps is different: not worth a write of its own.
    pub(crate) fn set_silently(&mut self, now: Inventory) {
        let due = self.due;
        self.set(now);
        self.due = due;
    }

    /// Gives back memory that the file can fill again.
    pub(crate) fn rest(&mut self) {
        if self.store.is_some() && !self.due {
            (self.last, self.read) = (None, false);
        }
    }

    fn load(&mut self) -> Result<Option<Inventory>, String> {
        let Some(store) = &mut self.store else { return Ok(None) };
        let files = store.list().map_err(|e| e.to_string())?;
        if !files.iter().any(|(name, _)| name == self.what) {
            return Ok(None);
        }
        let bytes = store.read(self.what, 0, MOST_BYTES).map_err(|e| e.to_string())?;
        from_bytes(&bytes).map(Some).ok_or_else(|| "damaged".to_owned())
    }
}

/// At a stop in good order, and at a reload, nothing is told twice.
impl Drop for Kept {
    fn drop(&mut self) {
        self.keep();
    }
}

/// Four letters, a checksum of the rest, and every thing: name, mark, stamp.
fn to_bytes(inventory: &Inventory) -> Vec<u8> {
    let mut to = [MAGIC, [0; 4]].concat();
    for item in inventory.iter() {
        // Appending to memory cannot fail.
        to = postcard::to_extend(&(item.name, item.mark, item.stamp), to).unwrap_or_default();
    }
    if let Some((head, body)) = to.split_at_mut_checked(8) {
        head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    }
    to
}

fn from_bytes(bytes: &[u8]) -> Option<Inventory> {
    let (head, mut body) = bytes.split_at_checked(8)?;
    let (magic, sum) = head.split_at(4);
    if magic != MAGIC || sum != crc32fast::hash(body).to_le_bytes() {
        return None;
    }
    let mut inventory = Inventory::default();
    while !body.is_empty() {
        let ((name, mark, stamp), rest) = postcard::take_from_bytes::<(&str, &str, u64)>(body).ok()?;
        inventory.add(name, mark, stamp);
        body = rest;
    }
    inventory.settle();
    Some(inventory)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some(mark: &str) -> Inventory {
        let mut inventory = Inventory::default();
        inventory.add("bash", mark, 7);
        inventory.settle();
        inventory
    }

    fn place(dir: &std::path::Path) -> Place {
        Place { state: Some(dir.join("sources")), ..Place::default() }
    }

    #[test]
    fn it_outlives_a_restart_once_the_next_sample_has_begun() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = Readings::default();
        let mut kept = Kept::new(&place(dir.path()), "things");
        assert!(!dir.path().join("sources").exists(), "nothing is touched when it is only made");
        assert_eq!(kept.last(&mut out), None);
        kept.set(some("5.2"));
        assert_eq!(Kept::new(&place(dir.path()), "things").last(&mut out), None, "not durable yet");
        kept.rest();
        assert_eq!(kept.last(&mut out), Some(&some("5.2")), "nothing but memory has it");
        kept.keep();
        kept.rest();
        assert_eq!(kept.last(&mut out), Some(&some("5.2")), "the file has it");
        assert_eq!(Kept::new(&place(dir.path()), "things").last(&mut out), Some(&some("5.2")));
        assert_eq!(out.told().len(), 0);
    }

    #[test]
    fn a_damaged_file_is_told_and_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::new(&place(dir.path()), "things");
        kept.set(some("5.2"));
        kept.keep();
        let file = dir.path().join("sources/things");
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let mut out = Readings::default();
        assert_eq!(Kept::new(&place(dir.path()), "things").last(&mut out), None);
        let told: Vec<_> = out.told().map(|t| t.fact.kind).collect();
        assert_eq!(told, ["relearning"]);
    }

    #[test]
    fn without_a_place_it_is_kept_in_memory() {
        let mut kept = Kept::new(&Place::default(), "things");
        kept.set(some("5.2"));
        kept.keep();
        kept.rest();
        assert_eq!(kept.last(&mut Readings::default()), Some(&some("5.2")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_none_or_what_was_written(
            names in prop::collection::vec((".{0,9}", ".{0,9}", any::<u64>()), 0..9),
            at in 0..200_usize,
            with: u8,
        ) {
            let mut inventory = Inventory::default();
            names.iter().for_each(|(name, mark, stamp)| inventory.add(name, mark, *stamp));
            inventory.settle();
            let mut bytes = to_bytes(&inventory);
            let read = from_bytes(&bytes).unwrap();
            prop_assert!(read.iter().eq(inventory.iter()));
            if let Some(byte) = bytes.get_mut(at).filter(|b| **b != with) {
                *byte = with;
                prop_assert_eq!(from_bytes(&bytes), None);
            }
            let _any = from_bytes(&bytes[..at.min(bytes.len())]);
        }
    }
}
