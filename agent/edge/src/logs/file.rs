//! `fieldmouse logs`: the miner over a whole file, and of which template each line was in the end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use fieldmouse_core::logs::line::Line;
use fieldmouse_core::logs::mask::Masker;

use super::lines;
use super::miner::{Change, Miner};

/// What came of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Lines read.
    pub lines: usize,
    /// Templates that they have in the end.
    pub templates: usize,
}

/// Mines `input` and writes `line,template_id,template`, one row a line, in order.
///
/// The miner is the agent's, and decides line by line. A row tells what became of the line's template by the end of
/// the file, as the agent's counts do: templates that turned out to be one are one in all rows.
///
/// # Errors
/// If a file cannot be read or written.
pub fn run(input: &Path, output: &Path, masker: Masker) -> anyhow::Result<Summary> {
    let cannot = |what: &str, path: &Path| format!("{}: cannot be {what}", path.display());
    let file = File::open(input).with_context(|| cannot("read", input))?;
    let mined = Mined::of(&mut BufReader::with_capacity(1 << 16, file), masker)
        .with_context(|| cannot("read", input))?;
    let out = File::create(output).with_context(|| cannot("written", output))?;
    mined.write(&mut BufWriter::new(out)).with_context(|| cannot("written", output))?;
    Ok(Summary { lines: mined.ids.len(), templates: mined.texts.len() })
}

/// The template of each line, and the text of each template.
#[derive(Debug, Default)]
pub struct Mined {
    ids: Vec<u32>,
    texts: HashMap<u32, String>,
}

impl Mined {
    /// # Errors
    /// If the reader fails.
    pub fn of(from: &mut impl BufRead, mut masker: Masker) -> std::io::Result<Self> {
        let (mut miner, mut mined, mut merged) = (Miner::default(), Self::default(), HashMap::new());
        let (mut bytes, mut line) = (Vec::new(), Line::default());
        while lines::next(from, &mut bytes)? {
            masker.mask(&bytes, &mut line);
            mined.ids.push(miner.learn(&line).id);
            mined.follow(&mut miner, &mut merged);
        }
        miner.settle_all();
        mined.follow(&mut miner, &mut merged);
        for id in &mut mined.ids {
            while let Some(into) = merged.get(id) {
                *id = *into;
            }
        }
        mined.texts.extend(miner.templates().map(|t| (t.id, t.text().to_owned())));
        let used: std::collections::HashSet<u32> = mined.ids.iter().copied().collect();
        mined.texts.retain(|id, _| used.contains(id));
        Ok(mined)
    }

    /// The id and the text of each line's template.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &str)> {
        self.ids.iter().map(|id| (*id, self.texts.get(id).map_or("", String::as_str)))
    }

    fn follow(&mut self, miner: &mut Miner, merged: &mut HashMap<u32, u32>) {
        for change in miner.take_changes() {
            match change {
                Change::Merged { from, into } => {
                    merged.insert(from, into);
                    // It may have been merged the other way round, and have come again since.
                    merged.remove(&into);
                }
                Change::Evicted(template) => {
                    self.texts.insert(template.id, template.text().to_owned());
                }
            }
        }
    }

    fn write(&self, out: impl Write) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(["line", "template_id", "template"])?;
        for (at, (id, text)) in self.rows().enumerate() {
            csv.write_record([&(at + 1).to_string(), &format!("{id:08x}"), text])?;
        }
        Ok(csv.flush()?)
    }
}
