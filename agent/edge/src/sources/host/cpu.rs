//! `/proc/stat`: jiffies per mode and core, and a few counters beside them. `/proc/loadavg`: three averages.

use std::path::Path;

use fieldmouse_core::metric::{
    CONTEXT_SWITCHES, CPU_BUSY, CPU_CORE, CPU_MODE, INTERRUPTS, LOAD_1M, LOAD_5M, LOAD_15M, PROCESS_CREATED,
    SOFTIRQS, TASKS,
};
use fieldmouse_core::series::NoData;

use crate::sources::places::{Places, Series, Values};
use crate::sources::text::{TextFile, count, number, why};
use crate::sources::{Readings, Slot, SourceError};

const COUNTERS: [Series; 6] = [
    (CONTEXT_SWITCHES, &[]),
    (INTERRUPTS, &[]),
    (SOFTIRQS, &[]),
    (PROCESS_CREATED, &[]),
    (TASKS, &["running"]),
    (TASKS, &["blocked"]),
];

/// In the order of the columns, without idle, which is what remains.
const SHARES: [Series; 8] = [
    (CPU_BUSY, &[]),
    (CPU_MODE, &["user"]),
    (CPU_MODE, &["nice"]),
    (CPU_MODE, &["system"]),
    (CPU_MODE, &["iowait"]),
    (CPU_MODE, &["interrupt"]),
    (CPU_MODE, &["softirq"]),
    (CPU_MODE, &["steal"]),
];

const LOADS: [Series; 3] = [(LOAD_1M, &[]), (LOAD_5M, &[]), (LOAD_15M, &[])];

/// Jiffies: user, nice, system, idle, iowait, irq, softirq, steal. Guest time is within user already.
type Times = [u64; 8];
const IDLE: usize = 3;
const IOWAIT: usize = 4;

/// `/proc/stat`, but for the cores, which go to a visitor as they are met.
#[derive(Debug, PartialEq)]
struct Stat {
    total: Result<Times, NoData>,
    counters: Values<6>,
}

fn parse(text: &str, mut core: impl FnMut(u16, Result<Times, NoData>)) -> Stat {
    let mut stat = Stat { total: Err(NoData::Unparsable), counters: [None; 6] };
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let at = match fields.next() {
            Some("cpu") => {
                stat.total = times(fields);
                continue;
            }
            Some("ctxt") => 0,
            Some("intr") => 1,
            Some("softirq") => 2,
            Some("processes") => 3,
            Some("procs_running") => 4,
            Some("procs_blocked") => 5,
            Some(name) => {
                if let Some(n) = name.strip_prefix("cpu").and_then(|n| n.parse().ok()) {
                    core(n, times(fields));
                }
                continue;
            }
            None => continue,
        };
        stat.counters[at] = Some(number(fields.next()));
    }
    stat
}

fn times<'a>(mut fields: impl Iterator<Item = &'a str>) -> Result<Times, NoData> {
    let mut times = Times::default();
    for (i, time) in times.iter_mut().enumerate() {
        match fields.next() {
            // Kernels before 2.6.11 have no steal.
            None if i > IOWAIT => break,
            field => *time = count(field)?,
        }
    }
    Ok(times)
}

/// Shares of the time between two samples: busy, then one per mode. Single columns may go back a little.
fn shares(before: &Times, after: &Times) -> Option<[f64; 8]> {
    let mut spent = Times::default();
    for i in 0..spent.len() {
        spent[i] = after[i].saturating_sub(before[i]);
    }
    let total = spent.iter().fold(0u64, |sum, t| sum.saturating_add(*t));
    if total == 0 {
        return None;
    }
    let share = |i: usize| spent[i] as f64 / total as f64;
    let idle = share(IDLE) + share(IOWAIT);
    Some([(1.0 - idle).max(0.0), share(0), share(1), share(2), share(4), share(5), share(6), share(7)])
}

/// Three averages: `3.64 4.34 2.52 8/126 15939`.
fn parse_load(text: &str) -> Values<3> {
    let mut fields = text.split_ascii_whitespace();
    [(); 3].map(|()| {
        let load = fields.next().and_then(|f| f.parse::<f64>().ok());
        Some(load.filter(|l| l.is_finite()).ok_or(NoData::Unparsable))
    })
}

#[derive(Debug, Clone, Default)]
struct Core {
    before: Option<Times>,
    slot: Option<Slot>,
}

#[derive(Debug)]
pub(super) struct Cpu {
    stat: TextFile,
    load: TextFile,
    most_cores: u16,
    before: Option<Times>,
    shares: Places<8>,
    counters: Places<6>,
    loads: Places<3>,
    cores: Vec<Core>,
}

impl Cpu {
    pub(super) fn new(root: &Path, most_cores: u16) -> Self {
        Self {
            stat: TextFile::new(root, "proc/stat"),
            load: TextFile::new(root, "proc/loadavg"),
            most_cores,
            before: None,
            shares: Places::default(),
            counters: Places::default(),
            loads: Places::default(),
            cores: Vec::new(),
        }
    }

    pub(super) fn sample(&mut self, buf: &mut Vec<u8>, out: &mut Readings) -> Result<(), SourceError> {
        let Self { stat, cores, .. } = self;
        let stat = match stat.read(buf) {
            Ok(text) => parse(&text, |n, times| {
                if n < self.most_cores {
                    let at = usize::from(n);
                    if cores.len() <= at {
                        cores.resize(at + 1, Core::default());
                    }
                    let core = &mut cores[at];
                    let reading = since(&mut core.before, times).map(|s| s[0]);
                    let slot = *core.slot.get_or_insert_with(|| out.slot(CPU_CORE, &[&n.to_string()]));
                    out.put(slot, reading);
                }
            }),
            Err(e) => {
                return Err(SourceError {
                    path: stat.path().to_owned(),
                    what: format!("cannot be read: {e}"),
                    why: why(&e),
                });
            }
        };
        let shares = since(&mut self.before, stat.total);
        let mut values: Values<8> = [None; 8];
        for (i, value) in values.iter_mut().enumerate() {
            *value = Some(shares.map(|s| s[i]));
        }
        self.shares.put(&SHARES, &values, out);
        self.counters.put(&COUNTERS, &stat.counters, out);
        match self.load.read(buf) {
            Ok(text) => self.loads.put(&LOADS, &parse_load(&text), out),
            Err(e) => self.loads.fail(why(&e), out),
        }
        Ok(())
    }
}

/// Shares since the last sample that differs.
fn since(before: &mut Option<Times>, times: Result<Times, NoData>) -> Result<[f64; 8], NoData> {
    let Ok(after) = times else {
        *before = None;
        return Err(NoData::Unparsable);
    };
    match before.as_ref().map(|b| shares(b, &after)) {
        // Nothing moved: wait on, from the same sample.
        Some(None) => Err(NoData::FirstReading),
        moved => {
            *before = Some(after);
            moved.flatten().ok_or(NoData::FirstReading)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "\
cpu  1000 20 300 8000 100 5 15 10 0 0
cpu0 600 20 200 4000 50 5 10 5 0 0
cpu1 400 x
cpu12 1 2 3 4 5
intr 832580 0 0 33 9
ctxt 2308293
btime 1795359170
processes 15935
procs_running 13
procs_blocked nine
softirq 359176 0 53812 5
";

    #[test]
    fn every_line_is_read_for_itself() {
        let mut cores = Vec::new();
        let stat = parse(STAT, |n, t| cores.push((n, t)));
        assert_eq!(stat.total, Ok([1000, 20, 300, 8000, 100, 5, 15, 10]));
        assert_eq!(
            cores,
            [
                (0, Ok([600, 20, 200, 4000, 50, 5, 10, 5])),
                (1, Err(NoData::Unparsable)),
                (12, Ok([1, 2, 3, 4, 5, 0, 0, 0])),
            ]
        );
        let bad = Some(Err(NoData::Unparsable));
        assert_eq!(
            stat.counters,
            [Some(Ok(2_308_293.0)), Some(Ok(832_580.0)), Some(Ok(359_176.0)), Some(Ok(15_935.0)), Some(Ok(13.0)), bad]
        );
        assert_eq!(parse("", |_, _| {}), Stat { total: Err(NoData::Unparsable), counters: [None; 6] });
    }

    #[test]
    fn shares_add_up_and_survive_columns_that_go_back() {
        let before = [1000, 0, 300, 8000, 100, 0, 0, 0];
        let after = [1050, 0, 325, 8025, 90, 0, 0, 0];
        assert_eq!(shares(&before, &after), Some([0.75, 0.5, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0]));
        assert_eq!(shares(&before, &before), None);
        assert_eq!(shares(&after, &[0; 8]), None, "a reset");
        assert_eq!(shares(&[0; 8], &[u64::MAX; 8]).map(|s| s[0] <= 1.0), Some(true));
    }

    #[test]
    fn loads() {
        assert_eq!(parse_load("3.64 4.34 2.52 8/126 15939\n"), [3.64, 4.34, 2.52].map(|l| Some(Ok(l))));
        let bad = Some(Err(NoData::Unparsable));
        assert_eq!(parse_load("nan inf"), [bad; 3]);
    }
}
