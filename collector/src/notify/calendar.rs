//! Windows of the calendar, as they are written in the configuration.

use fieldmouse_core::calendar::{Day, When};

/// A window of the calendar. Without days and times, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window(Option<When>);

impl Window {
    /// Whether it is open at this time, in milliseconds since 1970.
    #[must_use]
    pub fn is_open(&self, now: u64) -> bool {
        self.0.is_none_or(|when| when.is_open(now))
    }

    /// Whether it is always open.
    #[must_use]
    pub fn is_always(&self) -> bool {
        self.0.is_none()
    }

    /// What is meant by days and times as they are written: `["sat", "sun"]`, `22:00`, `06:00`, `+01:00`; or by two dates.
    /// A time of day that is not later than the beginning is on the next day.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub fn of(
        on: &[Day],
        from: Option<&str>,
        to: Option<&str>,
        offset: Option<&str>,
    ) -> Result<Self, (&'static str, String)> {
        let (from, to) = match (from, to) {
            (None, None) if on.is_empty() => return Ok(Self(None)),
            (None, None) => ("00:00", "24:00"),
            (Some(from), Some(to)) => (from, to),
            (Some(_), None) => return Err(("to", "is needed beside `from`".to_owned())),
            (None, Some(_)) => return Err(("from", "is needed beside `to`".to_owned())),
        };
        let when = When::written(on, from, to, offset.unwrap_or("+00:00"));
        Ok(Self(Some(when.map_err(|mistake| (mistake.key, mistake.to_string()))?)))
    }
}

/// Milliseconds since 1970 as `2026-11-23 03:00`, of UTC.
pub(super) fn minute(at_ms: u64) -> String {
    let (date, time) = date_and_time(at_ms);
    format!("{date} {}", &time[..5])
}

/// Milliseconds since 1970 as `2026-11-23T03:00:00.250Z`.
pub(super) fn rfc3339(at_ms: u64) -> String {
    let (date, time) = date_and_time(at_ms);
    format!("{date}T{time}.{:03}Z", at_ms % 1000)
}

/// The date and the time of day: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date_and_time(at_ms: u64) -> (String, String) {
    let (days, seconds) = (at_ms / 86_400_000, at_ms / 1000 % 86_400);
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    (format!("{year:04}-{month:02}-{day:02}"), format!("{hour:02}:{minute:02}:{second:02}"))
}

#[cfg(test)]
mod tests {
    use fieldmouse_core::calendar::moment_ms;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Table {
        #[serde(default)]
        days: Vec<Day>,
        from: Option<String>,
        to: Option<String>,
        offset: Option<String>,
    }

    fn window(text: &str) -> Result<Window, String> {
        let t: Table = toml::from_str(text).map_err(|e| e.to_string())?;
        Window::of(&t.days, t.from.as_deref(), t.to.as_deref(), t.offset.as_deref())
            .map_err(|(key, what)| format!("{key}: {what}"))
    }

    #[test]
    fn windows_open_and_close() {
        let check = |text: &str, moments: &[(&str, bool)]| {
            let window = window(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            for (moment, open) in moments {
                let now = u64::try_from(moment_ms(moment).unwrap()).unwrap();
                assert_eq!(window.is_open(now), *open, "{text} at {moment}");
            }
        };
        check("", &[("2026-11-22T01:59:59Z", true)]);
        // 2026-11-22 is a Sunday.
        check("days = [\"sun\"]", &[("2026-11-22T23:59:59Z", true), ("2026-11-23T00:00:00Z", false)]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |text: &str, wanted: &str| {
            let said = window(text).expect_err(text);
            assert!(said.contains(wanted), "{text}: {said}");
        };
        check("from = \"25:00\"\nto = \"26:00\"", "from: `25:00` is neither");
        check("from = \"03:00\"", "to: is needed");
        check("to = \"03:00\"", "from: is needed");
        check("from = \"03:00\"\nto = \"04:00\"\noffset = \"CET\"", "offset: `CET` is no offset");
        check("days = [\"funday\"]", "unknown variant `funday`");
    }

    #[test]
    fn moments_come_back() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2017-07-14T04:40:00+02:00", 1_500_000_000_000),
            ("2026-12-31T23:59:59Z", 1_798_761_599_000),
        ] {
            assert_eq!(moment_ms(text), Some(ms), "{text}");
            let again = rfc3339(u64::try_from(ms).unwrap());
            assert_eq!(moment_ms(&again), Some(ms), "{again}");
        }
        assert_eq!(minute(1_500_000_000_000), "2017-07-14 02:40");
    }
}
