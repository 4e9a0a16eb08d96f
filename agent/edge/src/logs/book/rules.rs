//! Numbers in lines as series: `[[logs.metric]]`.

use fieldmouse_core::logs::pattern::Pattern;
use fieldmouse_core::metric::{LOG_METRIC, LOG_METRIC_COUNT};

use crate::config::LogsKeys;
use crate::sources::{Readings, Slot};

/// One rule: which lines, and what came of them.
#[derive(Debug)]
pub(super) struct Rule {
    name: String,
    pattern: Pattern,
    /// Whether the number behind the pattern counts, or that there is such a line.
    is_number: bool,
    value: Option<f64>,
    slot: Option<Slot>,
}

/// The rules of the configuration. It was checked before.
pub(super) fn rules(keys: &LogsKeys) -> Vec<Rule> {
    let rule = |table: &crate::config::MetricTable| {
        let is_number = table.pattern.contains('*');
        let pattern = Pattern::parse(&table.pattern).ok()?;
        Some(Rule { name: table.name.clone(), pattern, is_number, value: None, slot: None })
    };
    keys.metric.iter().filter_map(rule).collect()
}

impl Rule {
    /// Looks at a line, before masking: the number goes into a series, nothing else is kept of it.
    pub(super) fn take(&mut self, text: &[u8]) {
        let Some(found) = self.pattern.capture(text) else { return };
        if !self.is_number {
            self.value = Some(self.value.unwrap_or(0.0) + 1.0);
        } else if let Some(number) = number(found) {
            self.value = Some(number);
        }
    }

    /// The last number there was, or how many lines.
    pub(super) fn set(&mut self, source: &str, out: &mut Readings) {
        let Some(value) = self.value else { return };
        let code = if self.is_number { LOG_METRIC } else { LOG_METRIC_COUNT };
        let slot = *self.slot.get_or_insert_with(|| out.slot(code, &[source, &self.name]));
        out.set(slot, value);
    }
}

/// The number with which a text begins: `12.5ms` is 12.5.
fn number(text: &[u8]) -> Option<f64> {
    let is_of = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E');
    let end = text.iter().position(|b| !is_of(b)).unwrap_or(text.len()).min(32);
    let text = std::str::from_utf8(&text[..end]).ok()?;
    let ends = (1..=text.len()).rev();
    ends.map(|end| &text[..end]).find_map(|head| head.parse().ok()).filter(|n: &f64| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_they_stand_in_lines() {
        let check = |text: &str, want: Option<f64>| assert_eq!(number(text.as_bytes()), want, "{text}");
        check("12", Some(12.0));
        check("12.5ms", Some(12.5));
        check("-3e2,", Some(-300.0));
        check("3.", Some(3.0));
        check("1.2.3", Some(1.2));
        check("5e", Some(5.0));
        check("none", None);
        check("", None);
        check("1e999", None);
    }
}
