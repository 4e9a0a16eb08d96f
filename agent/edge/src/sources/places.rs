//! The places of a part's series: asked for once, filled at every tick.

use fieldmouse_core::series::{NoData, Reading, SeriesKey};

use super::{Readings, Slot};

/// What a part saw of each of its series. `None`: it was not there at all.
pub(crate) type Values<const N: usize> = [Option<Reading>; N];

/// A series as a constant: its row in the metric table and its attribute values.
pub(crate) type Series = (u16, &'static [&'static str]);

/// A place is made when its series is first seen, so that a machine without swap has no swap series.
#[derive(Debug, Clone)]
pub(crate) struct Places<const N: usize>([Option<Slot>; N]);

impl<const N: usize> Default for Places<N> {
    fn default() -> Self {
        Self([None; N])
    }
}

impl<const N: usize> Places<N> {
    /// Fills in what was seen of `series`.
    pub(crate) fn put(&mut self, series: &[Series; N], values: &Values<N>, out: &mut Readings) {
        self.put_as(|i| SeriesKey::new(series[i].0, series[i].1), values, out);
    }

    /// The same for series whose attributes are known at run time only.
    pub(crate) fn put_as(
        &mut self,
        key: impl Fn(usize) -> SeriesKey,
        values: &Values<N>,
        out: &mut Readings,
    ) {
        for (i, (place, value)) in self.0.iter_mut().zip(values).enumerate() {
            if let Some(reading) = value {
                let slot = *place.get_or_insert_with(|| out.slot_of(key(i)));
                out.put(slot, *reading);
            }
        }
    }

    /// None of the series seen so far has a value.
    pub(crate) fn fail(&self, why: NoData, out: &mut Readings) {
        for slot in self.0.iter().flatten() {
            out.fail(*slot, why);
        }
    }
}

/// Things with names that come in the same order every time, such as disks. Found without hashing; never forgotten,
/// because a thing that comes back must find its old series.
#[derive(Debug)]
pub(crate) struct Roster<T> {
    items: Vec<(String, T)>,
    next: usize,
    most: usize,
}

impl<T: Default> Roster<T> {
    /// Holds at most `most`; later names are left out.
    pub(crate) fn new(most: usize) -> Self {
        Self { items: Vec::new(), next: 0, most }
    }

    /// The thing called `name`, made at its first mention.
    pub(crate) fn get(&mut self, name: &str) -> Option<&mut T> {
        let is = |item: &(String, T)| item.0 == name;
        let at = match self.items.get(self.next) {
            Some(item) if is(item) => self.next,
            _ => match self.items.iter().position(is) {
                Some(at) => at,
                None if self.items.len() >= self.most => return None,
                None => {
                    self.items.push((name.to_owned(), T::default()));
                    self.items.len() - 1
                }
            },
        };
        self.next = if at + 1 < self.items.len() { at + 1 } else { 0 };
        self.items.get_mut(at).map(|item| &mut item.1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|item| &item.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_finds_by_name_whatever_the_order() {
        let mut roster = Roster::<u32>::new(3);
        for (name, value) in [("a", 1), ("b", 2), ("c", 3)] {
            *roster.get(name).unwrap() = value;
        }
        assert_eq!(roster.get("d"), None, "full");
        for (name, value) in [("a", 1), ("b", 2), ("c", 3), ("c", 3), ("a", 1)] {
            assert_eq!(roster.get(name).copied(), Some(value));
        }
        assert_eq!(roster.iter().sum::<u32>(), 6);
    }
}
