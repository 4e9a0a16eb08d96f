//! Words that are known to be names, because elsewhere they stood where others stand as well.

/// Places in the table. A word that needs a place that is taken takes it.
const PLACES: usize = 2048;

#[derive(Debug)]
pub(super) struct Names(Box<[u32]>);

impl Default for Names {
    fn default() -> Self {
        Self(vec![0; PLACES].into())
    }
}

impl Names {
    pub(super) fn holds(&self, word: u32) -> bool {
        self.0[word as usize % PLACES] == word
    }

    /// Whether it was none before.
    pub(super) fn add(&mut self, word: u32) -> bool {
        let place = &mut self.0[word as usize % PLACES];
        std::mem::replace(place, word) != word
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied().filter(|word| *word != 0)
    }
}
