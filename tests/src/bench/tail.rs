//! Log files: lines a second that are followed, and that a source takes with all that is done to them; on a disk cache.
#![expect(clippy::print_stdout, reason = "the figures are what they are for")]

use fieldmouse::logs::book::Record;
use fieldmouse::logs::tail::{Begin, Kept, Quota, Tails};
use fieldmouse::sources::{KINDS, Place, Readings};

use super::logs::generated;
use crate::wait::timed;

const LINES: usize = 500_000;

/// Prints the figures.
pub fn main() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let text = generated(1, LINES);
    std::fs::write(&path, &text).unwrap();
    let mut seen = 0;
    let ((), took) = timed(|| {
        let mut tails = Tails::new(vec![path.clone()], Begin::Beginning, true, Kept::default(), 0);
        let take = &mut |_: &Record<'_>| seen += 1;
        tails.look(0, take);
        for now in [0, 5000] {
            tails.read(now, &mut Quota::bytes(u64::MAX), take);
        }
    });
    assert_eq!(seen, LINES);
    println!("tail.follow {:.0} lines/s", LINES as f64 / took.as_secs_f64());
    println!("tail.follow_bytes {:.1} MB/s", text.len() as f64 / 1e6 / took.as_secs_f64());

    let kind = KINDS.iter().find(|kind| kind.name == "log").unwrap();
    let keys = format!("files = [\"{}\"]\nfrom = \"beginning\"", path.display());
    let mut source = (kind.build)(keys.parse().unwrap(), &Place::at("/".as_ref())).unwrap();
    let mut out = Readings::default();
    let mut samples = 0;
    let ((), took) = timed(|| {
        while source.about()["lines"] != LINES {
            samples += 1;
            out.begin();
            source.sample(1000 * samples, &mut out).unwrap();
        }
    });
    println!("tail.source {:.0} lines/s", LINES as f64 / took.as_secs_f64());
    println!("tail.samples {samples} count");
}
