//! `job`: runs of jobs and pipelines that were told by a webhook or on the socket: each is a fact, and beside the runs
//! before it is found slow or failing, or not. Of each pipeline, how long its last run took and which share failed, are
//! series with one reading a run; they open no episode of themselves, but a limit of `[[series]]` does.

use std::collections::{BTreeMap, VecDeque};

use fieldmouse_core::job::{Finding, Outcome, Past};
use fieldmouse_core::metric::{JOB_DURATION, JOB_FAILED};
use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire::{Detail, Fact};
use serde::Deserialize;

use super::{Kind, Place, Readings, Slot, Source, SourceError};
use crate::decode::hex;
use crate::inventory::{Inventory, Kept};
use crate::jobs::{Entry, Inbox, Run, Status, What, span};

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "job",
    about: "runs of jobs and pipelines, told by the webhook or by `fieldmouse event job`: facts, how long, how many failed",
    every_ms: 1000,
    build: |keys, place| Ok(Box::new(Jobs::new(&super::config(KIND.name, keys)?, place))),
};

/// `[source.job]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Pipelines that are judged; more of them are told, and nothing more.
    most: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { most: 50 }
    }
}

/// More pipelines than this are never judged.
const MOST: usize = 500;
/// A pipeline that did not run for so long gives its place to another.
const GONE_MS: i64 = 90 * 86_400_000;
/// Runs that were told lately: the same again is no other.
const SEEN: usize = 256;
/// Runs that are told one by one in an hour; the rest is counted.
const TOLD: u32 = 60;
const HOUR_MS: Millis = 3_600_000;
/// The past is written no more often.
const SAVE_MS: Millis = 600_000;
/// Without a run it is written as often as this, because all grow older.
const AGE_MS: Millis = 24 * HOUR_MS;
/// Before the past of a pipeline in its file: another layout of it has another letter.
const LAYOUT: &str = "a";

struct Jobs {
    most: usize,
    inbox: Inbox,
    kept: Kept,
    pipelines: Option<BTreeMap<String, Pipeline>>,
    /// Series of pipelines that were forgotten.
    left: Vec<Slot>,
    is_full_told: bool,
    seen: VecDeque<u64>,
    hour: Hour,
    is_new: bool,
    saved: Option<Millis>,
    /// At the last sample.
    now: Millis,
}

#[derive(Default)]
struct Pipeline {
    past: Past,
    duration: Option<Slot>,
    failed: Option<Slot>,
    /// When it ran last; before the machine began to count, if that is negative.
    last: i64,
    /// Since the last sample.
    ran: bool,
}

/// What was told, and what was not, since an hour began.
#[derive(Default)]
struct Hour {
    since: Millis,
    told: u32,
    untold: u32,
    failed: u32,
}

impl Jobs {
    fn new(config: &Config, place: &Place) -> Self {
        Self {
            most: config.most.min(MOST),
            inbox: place.jobs.clone(),
            kept: Kept::new(place, "jobs"),
            pipelines: None,
            left: Vec::new(),
            is_full_told: false,
            seen: VecDeque::new(),
            hour: Hour::default(),
            is_new: false,
            saved: None,
            now: 0,
        }
    }

    fn take(&mut self, now: Millis, entry: &Entry, out: &mut Readings) {
        let Entry { run, is_told } = entry;
        if let Some(identity) = run.identity() {
            if self.seen.contains(&identity) {
                return;
            }
            self.seen.truncate(SEEN - 1);
            self.seen.push_front(identity);
        }
        if !is_told {
            self.hour.tell(now, run, out);
        }
        if run.what == What::Job {
            self.judge(now, run, out);
        }
    }

    fn judge(&mut self, now: Millis, run: &Run, out: &mut Readings) {
        let outcome = match run.status {
            Status::Running => return,
            Status::Succeeded => Outcome::Succeeded,
            Status::Failed => Outcome::Failed,
            Status::Cancelled => Outcome::Cancelled,
        };
        let now = now.cast_signed();
        let pipelines = self.pipelines.get_or_insert_default();
        if pipelines.len() >= self.most && !pipelines.contains_key(&run.name) {
            self.left.extend(forget(pipelines, now - GONE_MS));
        }
        if pipelines.len() >= self.most && !pipelines.contains_key(&run.name) {
            // Told once: those that are judged go on.
            if !std::mem::replace(&mut self.is_full_told, true) {
                let text = format!("pipelines beyond {} are not judged: {} is; raise source.job.most", self.most, run.name);
                out.tell(13, Fact::new("job", &text));
            }
            return;
        }
        let pipeline = pipelines.entry(run.name.clone()).or_default();
        self.is_new = true;
        (pipeline.ran, pipeline.last) = (true, now);
        if let Some(finding) = pipeline.past.take(outcome, run.seconds) {
            let (severity, kind, text) = words(run, &finding);
            let detail = Detail { about: cut(&run.name), ..Detail::default() };
            out.tell(severity, Fact { detail: Some(detail), ..Fact::new(kind, &text) });
        }
    }

    /// Goes on from what was kept.
    fn load(&mut self, now: Millis, out: &mut Readings) {
        if self.pipelines.is_none() {
            let read = |mark: &str| postcard::from_bytes(&unhex(mark.strip_prefix(LAYOUT)?)?).ok();
            let last = |age: u64| now.cast_signed().saturating_sub_unsigned(age);
            let pipeline = |past, age| Pipeline { past, last: last(age), ..Pipeline::default() };
            let kept = self.kept.last(out).into_iter().flat_map(Inventory::iter);
            let known = kept.filter_map(|item| Some((item.name.to_owned(), pipeline(read(item.mark)?, item.stamp))));
            self.pipelines = Some(known.take(MOST).collect());
            self.saved = Some(now.saturating_sub(SAVE_MS));
            self.kept.rest();
        }
    }

    fn is_due(&self, now: Millis) -> bool {
        let passed = self.saved.map(|saved| now.saturating_sub(saved));
        let is_any = self.pipelines.as_ref().is_some_and(|all| !all.is_empty());
        self.is_new && passed.is_none_or(|ms| ms >= SAVE_MS) || is_any && passed.is_some_and(|ms| ms >= AGE_MS)
    }

    /// Of each the past, and for how long it has not run.
    fn save(&mut self) {
        let mut all = Inventory::default();
        for (name, pipeline) in self.pipelines.iter().flatten() {
            let bytes = postcard::to_extend(&pipeline.past, Vec::new()).unwrap_or_default();
            let age = u64::try_from(self.now.cast_signed() - pipeline.last).unwrap_or(0);
            all.add(name, &format!("{LAYOUT}{}", hex(&bytes)), age);
        }
        all.settle();
        self.kept.set(all);
        self.is_new = false;
    }
}

impl Source for Jobs {
    fn sample(&mut self, now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        self.kept.keep();
        self.kept.rest();
        self.now = now;
        self.load(now, out);
        for entry in self.inbox.take() {
            self.take(now, &entry, out);
        }
        self.hour.end(now, out);
        for (name, pipeline) in self.pipelines.iter_mut().flatten() {
            pipeline.show(name, out);
        }
        self.left.iter().for_each(|slot| out.rest(*slot));
        if self.is_due(now) {
            self.saved = Some(now);
            self.save();
        }
        Ok(())
    }
}

/// Forgets the pipeline that ran longest ago, if that was before `gone`; returns its series.
fn forget(pipelines: &mut BTreeMap<String, Pipeline>, gone: i64) -> impl Iterator<Item = Slot> {
    let oldest = pipelines.iter().filter(|(_, p)| p.last < gone).min_by_key(|(_, p)| p.last);
    let name = oldest.map(|(name, _)| name.clone());
    let forgotten = name.and_then(|name| pipelines.remove(&name));
    forgotten.into_iter().flat_map(|p| [p.duration, p.failed]).flatten()
}

/// At a stop in good order nothing is forgotten.
impl Drop for Jobs {
    fn drop(&mut self) {
        if self.is_new || self.is_due(self.now) {
            self.save();
        }
    }
}

impl Pipeline {
    fn show(&mut self, name: &str, out: &mut Readings) {
        if !std::mem::take(&mut self.ran) {
            [self.duration, self.failed].into_iter().flatten().for_each(|slot| out.rest(slot));
            return;
        }
        if let Some(seconds) = self.past.last() {
            let slot = *self.duration.get_or_insert_with(|| out.slot(JOB_DURATION, &[name]));
            out.set(slot, seconds.into());
        }
        let slot = *self.failed.get_or_insert_with(|| out.slot(JOB_FAILED, &[name]));
        out.set(slot, self.past.failed().into());
    }
}

impl Hour {
    fn tell(&mut self, now: Millis, run: &Run, out: &mut Readings) {
        self.end(now, out);
        if self.told == 0 && self.untold == 0 {
            self.since = now;
        }
        if self.told < TOLD {
            self.told += 1;
            let (severity, fact) = run.fact();
            out.tell(severity, fact);
        } else {
            self.untold += 1;
            self.failed += u32::from(run.status == Status::Failed);
        }
    }

    fn end(&mut self, now: Millis, out: &mut Readings) {
        if now < self.since + HOUR_MS {
            return;
        }
        let Self { untold, failed, .. } = std::mem::take(self);
        if untold > 0 {
            let text = format!("{untold} more runs in an hour, {failed} of them failed: too many to tell one by one");
            let detail = Detail { count: untold, ..Detail::default() };
            out.tell(9, Fact { detail: Some(detail), ..Fact::new("job", &text) });
        }
    }
}

fn words(run: &Run, finding: &Finding) -> (u8, &'static str, String) {
    let name = &run.name;
    match finding {
        Finding::Slow { from, to } => {
            let took = span(run.seconds.unwrap_or_default());
            (13, "job-slow", format!("job {name} took {took}; {} to {} were expected", span(*from), span(*to)))
        }
        Finding::Failing { in_a_row, usual } => {
            let share = usual * 100.0;
            (17, "job-failing", format!("job {name} failed {in_a_row} times in a row; usually {share:.0} % of its runs fail"))
        }
        Finding::Recovered => (9, "job-recovered", format!("job {name} is as usual again")),
    }
}

/// Bytes of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pair = |pair: &[u8]| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use fieldmouse_core::series::NoData;

    use super::*;

    fn run(name: &str, id: usize, status: Status, seconds: f32) -> Run {
        Run { id: id.to_string(), seconds: Some(seconds), ..Run::new("github", What::Job, name, status) }
    }

    struct Desk {
        place: Place,
        source: Jobs,
        out: Readings,
        now: Millis,
    }

    impl Desk {
        fn new(state: Option<&std::path::Path>, most: usize) -> Self {
            let place = Place { state: state.map(ToOwned::to_owned), ..Place::default() };
            let source = Jobs::new(&Config { most }, &place);
            Self { place, source, out: Readings::default(), now: 0 }
        }

        /// Hands runs in, and returns the kinds of facts that come of it.
        fn told(&mut self, runs: impl IntoIterator<Item = Run>) -> Vec<String> {
            runs.into_iter().for_each(|run| assert!(self.place.jobs.put(run, false)));
            self.now += 1000;
            self.out.begin();
            self.source.sample(self.now, &mut self.out).unwrap();
            self.out.told().map(|t| t.fact.kind.to_string()).collect()
        }

        fn series(&self) -> Vec<(String, f64)> {
            self.out.iter().filter_map(|(key, reading)| Some((key.to_string(), reading.ok()?))).collect()
        }
    }

    #[test]
    fn slow_and_failing_pipelines_are_told_with_what_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(Some(dir.path()), 50);
        for i in 0..20 {
            assert_eq!(desk.told([run("ci", i, Status::Succeeded, 100.0)]), ["job"]);
        }
        assert_eq!(desk.told([run("ci", 19, Status::Succeeded, 100.0)]), [""; 0], "told twice it is one");
        // Its past outlives a restart.
        let Desk { place, source, .. } = desk;
        drop(source);
        let source = Jobs::new(&Config::default(), &place);
        let mut desk = Desk { place, source, out: Readings::default(), now: 0 };
        assert!(desk.place.jobs.put(run("ci", 20, Status::Succeeded, 700.0), false));
        desk.source.sample(0, &mut desk.out).unwrap();
        let told: Vec<_> = desk.out.told().collect();
        assert_eq!(told[1].fact.text, "job ci took 12 min; 87 s to 115 s were expected");
        assert_eq!((told[1].severity, told[1].fact.detail.as_ref().unwrap().about.as_str()), (13, "ci"));
        let duration = "cicd.pipeline.run.duration{cicd.pipeline.name=ci}".to_owned();
        let share = "cicd.pipeline.run.failure_ratio{cicd.pipeline.name=ci}".to_owned();
        assert_eq!(desk.series(), [(duration.clone(), 700.0), (share.clone(), 0.0)]);
        assert_eq!(desk.told([run("ci", 21, Status::Failed, 5.0)]), ["job"]);
        assert_eq!(desk.told([run("ci", 22, Status::Failed, 5.0)]), ["job", "job-failing"]);
        assert_eq!(desk.told([run("ci", 23, Status::Succeeded, 100.0)]), ["job", "job-recovered"]);
        assert_eq!(desk.series(), [(duration, 100.0), (share, f64::from(2.0_f32 / 24.0))]);
        let mut deployment = run("shop", 1, Status::Failed, 5.0);
        deployment.what = What::Deployment;
        assert_eq!(desk.told([deployment]), ["deployment"]);
    }

    #[test]
    fn many_pipelines_and_many_runs_have_an_end() {
        let mut desk = Desk::new(None, 3);
        let told = desk.told((0..100).map(|i| run("ci", i, Status::Failed, 5.0)));
        assert_eq!(told.iter().filter(|kind| *kind == "job").count(), 60);
        desk.now = HOUR_MS;
        assert_eq!(desk.told([]), ["job"]);
        for i in 0..3 {
            assert!(desk.place.jobs.put(run(&i.to_string(), 1, Status::Succeeded, 5.0), false));
        }
        desk.now += 1000;
        desk.out.begin();
        desk.source.sample(desk.now, &mut desk.out).unwrap();
        let beyond = |told: &super::super::Told| told.fact.text.starts_with("pipelines beyond 3 are not judged");
        assert_eq!(desk.out.told().filter(beyond).count(), 1);
        assert_eq!(desk.told([run("2", 2, Status::Succeeded, 5.0)]), ["job"], "that is told once");
        assert_eq!(desk.told([run("ci", 100, Status::Failed, 5.0)]), ["job"]);
        let share = "cicd.pipeline.run.failure_ratio{cicd.pipeline.name=ci}".to_owned();
        assert_eq!(desk.series(), [(share, 1.0)], "the others are judged as before");
        assert_eq!(desk.out.len(), 5, "one never succeeded");
        let state = desk.source.kept.last(&mut desk.out).map_or(0, Inventory::bytes);
        assert!(state > 0 && state < 3 * 700, "{state} bytes");
    }

    #[test]
    fn a_pipeline_that_does_not_run_any_more_gives_its_place_to_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(Some(dir.path()), 2);
        let gone = GONE_MS.cast_unsigned();
        let judged = |desk: &Desk| {
            desk.source.pipelines.iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(desk.told([run("old", 1, Status::Succeeded, 5.0)]), ["job"]);
        desk.now += gone / 2;
        assert_eq!(desk.told([run("young", 1, Status::Succeeded, 5.0)]), ["job"]);
        desk.now += gone / 2 - 10_000;
        assert_eq!(desk.told([run("new", 1, Status::Succeeded, 5.0)]), ["job", "job"], "there is no room yet");
        // How long it has not run outlives a restart.
        let Desk { place, source, .. } = desk;
        drop(source);
        let source = Jobs::new(&Config { most: 2 }, &place);
        let mut desk = Desk { place, source, out: Readings::default(), now: 0 };
        assert_eq!(desk.told([]), [""; 0]);
        desk.now += 10_000;
        assert_eq!(desk.told([run("new", 2, Status::Succeeded, 5.0)]), ["job"]);
        assert_eq!(judged(&desk), ["new", "young"]);
        // Its series rest; they are no trouble.
        assert_eq!(desk.told([run("young", 2, Status::Succeeded, 5.0)]), ["job"]);
        desk.now += gone + 1;
        assert_eq!(desk.told([run("newer", 1, Status::Succeeded, 5.0)]), ["job"]);
        assert_eq!(judged(&desk), ["newer", "young"]);
        assert_eq!(desk.out.due().filter(|reading| *reading == Some(Err(NoData::Absent))).count(), 0);
    }

    #[test]
    fn digits_become_bytes() {
        assert_eq!(unhex(&hex(&[0, 1, 0xab])), Some(vec![0, 1, 0xab]));
        assert_eq!((unhex("0"), unhex("xy"), unhex("ää")), (None, None, None));
    }
}
