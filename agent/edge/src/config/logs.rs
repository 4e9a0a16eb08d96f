//! `[logs]`: what of lines nobody may see, and which numbers in them are series.

use fieldmouse_core::logs::mask::Masker;
use fieldmouse_core::logs::pattern::{MAX_PATTERNS, Pattern};
use serde::{Deserialize, Serialize};

use super::KeyError;

/// More rules than this would slow every line down.
const MAX_METRICS: usize = 16;
/// Bytes of a rule's name.
const MAX_NAME: usize = 32;

/// `[logs]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsKeys {
    /// Text that is masked besides what always is; `*` stands for what is masked of it.
    pub mask: Vec<String>,
    /// Numbers in lines that are series.
    pub metric: Vec<MetricTable>,
}

/// `[[logs.metric]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MetricTable {
    /// What the series is called.
    pub name: String,
    /// Text that begins a word of the line; `*` stands for the number. Without it such lines are counted.
    #[serde(rename = "match")]
    pub pattern: String,
}

impl LogsKeys {
    /// What masks lines by these keys.
    ///
    /// # Errors
    /// If there are too many patterns, or one is none.
    pub fn masker(&self) -> Result<Masker, KeyError> {
        let mut patterns = heapless::Vec::new();
        for text in &self.mask {
            patterns.push(pattern("logs.mask", text)?).map_err(|_| {
                KeyError::new("logs.mask", format!("{} patterns; at most {MAX_PATTERNS}", self.mask.len()))
            })?;
        }
        Ok(Masker::new(patterns))
    }

    /// Checks what [`LogsKeys::masker`] does not look at.
    ///
    /// # Errors
    /// If there are too many series, one has no name, or a pattern is none.
    pub fn check(&self) -> Result<(), KeyError> {
        if self.metric.len() > MAX_METRICS {
            return Err(KeyError::new(
                "logs.metric",
                format!("{} tables; at most {MAX_METRICS}", self.metric.len()),
            ));
        }
        for (at, table) in self.metric.iter().enumerate() {
            let name = &table.name;
            if name.is_empty() || name.len() > MAX_NAME || name.contains([';', ',', '{', '}']) {
                let what =
                    format!("`{name}` is no name; allowed are 1 to {MAX_NAME} bytes without ; , {{ and }}");
                return Err(KeyError::new(&format!("logs.metric[{at}].name"), what));
            }
            pattern(&format!("logs.metric[{at}].match"), &table.pattern)?;
        }
        Ok(())
    }
}

fn pattern(key: &str, text: &str) -> Result<Pattern, KeyError> {
    Pattern::parse(text).map_err(|why| KeyError::new(key, format!("`{text}`: {why}")))
}
