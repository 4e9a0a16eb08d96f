//! `/proc/pressure/*`: microseconds in which some, or all, tasks waited for a resource.
//!
//! The kernel's own averages over 10 s and more are smoother and later than the share since the last sample.

use std::path::Path;

use fieldmouse_core::metric::PRESSURE;
use fieldmouse_core::series::{Millis, NoData};

use crate::sources::Readings;
use crate::sources::places::{Places, Series, Values};
use crate::sources::text::{TextFile, advance, count, why};

/// For the whole machine `full` of the processor means nothing and is always 0.
const FILES: [(&str, [Series; 2], [bool; 2]); 3] = [
    ("proc/pressure/cpu", [(PRESSURE, &["cpu", "some"]), (PRESSURE, &["cpu", "full"])], [true, false]),
    ("proc/pressure/memory", [(PRESSURE, &["memory", "some"]), (PRESSURE, &["memory", "full"])], [true, true]),
    ("proc/pressure/io", [(PRESSURE, &["io", "some"]), (PRESSURE, &["io", "full"])], [true, true]),
];

/// Total microseconds of `some` and of `full`.
type Totals = [Option<Result<u64, NoData>>; 2];

fn parse(text: &str) -> Totals {
    let mut totals = Totals::default();
    for line in text.lines() {
        let at = match line.split_ascii_whitespace().next() {
            Some("some") => 0,
            Some("full") => 1,
            _ => continue,
        };
        let total = line.split_ascii_whitespace().find_map(|f| f.strip_prefix("total="));
        totals[at] = Some(count(total));
    }
    totals
}

/// The share of the time since `before` that was stalled.
fn share(before: Option<(Millis, u64)>, after: u64, now: Millis) -> Result<f64, NoData> {
    let (at, before) = before.ok_or(NoData::FirstReading)?;
    let stalled = advance(before, after).ok_or(NoData::FirstReading)?;
    let elapsed_ms = now.saturating_sub(at);
    if elapsed_ms == 0 {
        return Err(NoData::FirstReading);
    }
    // The file is read a little later than `now`.
    Ok((stalled as f64 / (elapsed_ms as f64 * 1000.0)).min(1.0))
}

#[derive(Debug)]
struct One {
    file: TextFile,
    /// What had been counted, and when.
    before: [Option<(Millis, u64)>; 2],
    places: Places<2>,
}

#[derive(Debug)]
pub(super) struct Pressure {
    files: [One; 3],
}

impl Pressure {
    pub(super) fn new(root: &Path) -> Self {
        let files = FILES.map(|(path, _, _)| One {
            file: TextFile::new(root, path),
            before: [None; 2],
            places: Places::default(),
        });
        Self { files }
    }

    pub(super) fn sample(&mut self, now: Millis, buf: &mut Vec<u8>, out: &mut Readings) {
        for (one, (_, series, wanted)) in self.files.iter_mut().zip(&FILES) {
            // A kernel with `psi=0` has the files and refuses to open them: the series never begin.
            let text = match one.file.read(buf) {
                Ok(text) => text,
                Err(e) => {
                    one.before = [None; 2];
                    one.places.fail(why(&e), out);
                    continue;
                }
            };
            let totals = parse(&text);
            let mut values: Values<2> = [None; 2];
            for i in 0..2 {
                if wanted[i] {
                    values[i] = totals[i].map(|total| total.and_then(|t| share(one.before[i], t, now)));
                }
                one.before[i] = totals[i].and_then(Result::ok).map(|total| (now, total));
            }
            one.places.put(series, &values, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals() {
        let text = "some avg10=74.57 avg60=51.92 avg300=60.89 total=422027392\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
        assert_eq!(parse(text), [Some(Ok(422_027_392)), Some(Ok(12))]);
        assert_eq!(parse("some avg10=1 total=-3\nfull"), [Some(Err(NoData::Unparsable)); 2]);
        assert_eq!(parse("\u{fffd}"), [None, None]);
    }

    #[test]
    fn shares() {
        let check = |before, after, now, want| assert_eq!(share(before, after, now), want);
        check(Some((500, 1_000_000)), 1_250_000, 1500, Ok(0.25));
        check(Some((500, 0)), 1_100_000, 1500, Ok(1.0));
        check(None, 5, 1000, Err(NoData::FirstReading));
        // A reset, and no time at all.
        check(Some((0, 9)), 5, 1000, Err(NoData::FirstReading));
        check(Some((1000, 1)), 5, 1000, Err(NoData::FirstReading));
    }
}
