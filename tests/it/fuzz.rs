//! Every parser of what strangers write, over all that was kept and a little that is new; the hours are `fuzz`'s.

use fieldmouse_tests::fuzz::corpus::Corpus;
use fieldmouse_tests::fuzz::targets::TARGETS;
use fieldmouse_tests::fuzz::{Until, run};
use fieldmouse_tests::results::say;

#[test]
fn every_parser_takes_or_refuses_what_was_kept_and_what_is_made_of_it() {
    const SEED: u64 = 20_261_123;
    let mut corpus = Corpus::here(false);
    for target in &TARGETS {
        assert!(
            !corpus.inputs(target.name).is_empty(),
            "{}: nothing is kept; run `fuzz --keep`",
            target.name
        );
        let summary = run(target, &mut corpus, Until::Tried(300), SEED);
        say(&format!(
            "{}: {} inputs, {} kinds of answers, seed {SEED}",
            target.name, summary.inputs, summary.answers
        ));
        assert!(summary.failed.is_empty(), "{:#?}", summary.failed);
    }
}
