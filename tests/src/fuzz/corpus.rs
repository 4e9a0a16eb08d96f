//! What is kept: a folder for each target, a file for each input, called by its checksum. Long ones are packed.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// Inputs that are kept of one target; a corpus is read by people, too.
const MOST: usize = 24;
/// Longer ones are packed, and if they are longer then they are not kept.
const LONG: usize = 4096;

/// The folder.
#[derive(Debug)]
pub struct Corpus {
    folder: PathBuf,
    /// Where inputs go that a target failed on.
    failed: PathBuf,
    is_kept: bool,
}

impl Corpus {
    /// That of the project.
    #[must_use]
    pub fn here(is_kept: bool) -> Self {
        let root = crate::repository();
        Self { folder: root.join("tests/fuzz/corpus"), failed: root.join("target/fuzz"), is_kept }
    }

    /// All inputs of a target, in an order that is always the same.
    ///
    /// # Panics
    /// If one cannot be read.
    #[must_use]
    pub fn inputs(&self, target: &str) -> Vec<Vec<u8>> {
        files(&self.folder.join(target)).iter().map(|path| read(path)).collect()
    }

    /// Keeps an input, if there is room. False: it is not kept.
    pub fn keep(&mut self, target: &str, input: &[u8]) -> bool {
        let folder = self.folder.join(target);
        self.is_kept && files(&folder).len() < MOST && write(&folder, input).is_some()
    }

    /// Writes down what a target failed on; returns where, or its bytes if that cannot be.
    #[must_use]
    pub fn fail(&self, target: &str, input: &[u8]) -> String {
        let written = write(&self.failed.join(target), input);
        written.map_or_else(
            || format!("{:?}", input.escape_ascii().to_string()),
            |path| path.display().to_string(),
        )
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_none_or(|e| e != "gz") {
        return bytes;
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
    unpacked
}

fn write(folder: &Path, input: &[u8]) -> Option<PathBuf> {
    let sum = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let mut path = folder.join(format!("{sum:016x}"));
    let mut bytes = input.to_vec();
    if input.len() > LONG {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(input).ok()?;
        bytes = packed.finish().ok().filter(|packed| packed.len() <= 2 * LONG)?;
        path.set_extension("gz");
    }
    std::fs::create_dir_all(folder).ok()?;
    std::fs::write(&path, bytes).ok()?;
    Some(path)
}
