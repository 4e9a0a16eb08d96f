//! Reads a series' name back: `system.cpu.utilization{cpu.mode=user}` is a row of the metric table again.

use fieldmouse_core::metric::METRICS;
use fieldmouse_core::series::SeriesKey;

/// The key of a name as [`SeriesKey`] displays it; any other text is the name of a custom series.
#[must_use]
pub fn parse(name: &str) -> SeriesKey {
    known(name).unwrap_or_else(|| SeriesKey::custom(name))
}

fn known(name: &str) -> Option<SeriesKey> {
    let (metric, attributes) = match name.split_once('{') {
        Some((metric, rest)) => (metric, rest.strip_suffix('}')?),
        None => (name, ""),
    };
    METRICS.iter().filter(|m| m.name == metric).find_map(|m| {
        let mut rest = attributes;
        let mut values = Vec::new();
        for (i, key) in m.attributes.iter().enumerate() {
            rest = rest.strip_prefix(key)?.strip_prefix('=')?;
            // A value may hold a comma; the next attribute's name ends it.
            let end = match m.attributes.get(i + 1) {
                Some(next) => rest.find(&format!(",{next}="))?,
                None => rest.len(),
            };
            values.push(&rest[..end]);
            rest = rest[end..].strip_prefix(',').unwrap_or("");
        }
        let key = SeriesKey::new(m.code, &values);
        (rest.is_empty() && key.to_string() == name).then_some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmouse_core::metric;

    #[test]
    fn every_name_reads_back() {
        for m in METRICS {
            let values: Vec<String> = m.attributes.iter().map(|a| format!("some,{a}")).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let key = SeriesKey::new(m.code, &values);
            if key.label.len() < fieldmouse_core::series::LABEL {
                assert_eq!(parse(&key.to_string()), key);
            }
        }
        assert_eq!(parse("m1").code, metric::CUSTOM);
        assert_eq!(parse("system.cpu.utilization{cpu.mode}").code, metric::CUSTOM);
    }
}
