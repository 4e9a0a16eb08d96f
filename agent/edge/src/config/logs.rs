//! `[logs]`: what of lines nobody may see.

use fieldmouse_core::logs::mask::Masker;
use fieldmouse_core::logs::pattern::{MAX_PATTERNS, Pattern};
use serde::{Deserialize, Serialize};

use super::KeyError;

/// `[logs]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsKeys {
    /// Text that is masked besides what always is; `*` stands for what is masked of it.
    pub mask: Vec<String>,
}

impl LogsKeys {
    /// What masks lines by these keys.
    ///
    /// # Errors
    /// If there are too many patterns, or one is none.
    pub fn masker(&self) -> Result<Masker, KeyError> {
        let mut patterns = heapless::Vec::new();
        for text in &self.mask {
            let pattern =
                Pattern::parse(text).map_err(|why| KeyError::new("logs.mask", format!("`{text}`: {why}")))?;
            patterns.push(pattern).map_err(|_| {
                KeyError::new("logs.mask", format!("{} patterns; at most {MAX_PATTERNS}", self.mask.len()))
            })?;
        }
        Ok(Masker::new(patterns))
    }
}
