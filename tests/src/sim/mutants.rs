//! The product, broken on purpose: a table of changes, each of which a simulation or a unit test must find.

use std::path::Path;

use serde::Deserialize;

/// One way to break it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What is broken, in words.
    pub name: String,
    /// In which file, from the root of the repository.
    pub file: String,
    /// What stands there, exactly once.
    pub from: String,
    /// What is to stand there.
    pub to: String,
    /// The program that must find it, or `unit-tests`: those of the collector.
    pub found_by: String,
}

#[derive(Deserialize)]
struct Table {
    mutant: Vec<Mutant>,
}

/// All of them, from `tests/sim/mutants.toml` below `root`.
///
/// # Errors
/// If the file cannot be read, or is not a table of mutants.
pub fn all(root: &Path) -> anyhow::Result<Vec<Mutant>> {
    let text = std::fs::read_to_string(root.join("tests/sim/mutants.toml"))?;
    Ok(toml::from_str::<Table>(&text)?.mutant)
}

impl Mutant {
    /// The file of the tree at `root`, broken.
    ///
    /// # Errors
    /// If the file cannot be read, or what is to be replaced does not stand there exactly once.
    pub fn apply(&self, root: &Path) -> anyhow::Result<String> {
        let text = std::fs::read_to_string(root.join(&self.file))?;
        let times = text.matches(&self.from).count();
        anyhow::ensure!(times == 1, "{}: `{}` stands there {times} times, not once", self.file, self.from);
        Ok(text.replacen(&self.from, &self.to, 1))
    }
}
