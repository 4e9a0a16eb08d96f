//! Short runs of the simulations, and what they found once.

use fieldmouse_tests::repository;
use fieldmouse_tests::sim::disk::Fault::{Eio, Full, LostPages, ReadOnly};
use fieldmouse_tests::sim::mutants;
use fieldmouse_tests::sim::power::Op::{self, *};
use fieldmouse_tests::sim::power::{Effort, Seen, run};
use fieldmouse_tests::sim::schedule::Plan;
use fieldmouse_tests::sim::world;

/// Seed, and the shortest script that broke a promise once.
const FOUND: &[(&str, u64, &[Op])] = &[
    (
        "two gaps in a full box, and none of them declared ever",
        73,
        &[Push(6, 9, 4000), Push(16, 21, 107), Push(15, 21, 83)],
    ),
    (
        "a loss between its declaration and the disk was unknown to the cursor",
        29,
        &[Push(22, 9, 54), Push(8, 9, 24), Push(8, 21, 80), Wait(1000), Deliver(10), Push(9, 9, 16)],
    ),
    (
        "the records of what was acknowledged were gone before the cursor knew",
        17,
        &[
            Push(2, 21, 1),
            Wait(70000),
            Fail(0, 10, Full),
            Deliver(3),
            Push(3, 17, 11),
            Wait(1000),
            Ack,
            Wait(700_000),
        ],
    ),
    (
        "the cursor named an epoch whose numbers went on in memory",
        17,
        &[
            Fail(0, 10, Full),
            Push(3, 17, 6),
            Wait(300),
            Fail(6, 60, LostPages),
            Wait(70_000),
            Push(3, 13, 10),
            Wait(1000),
            Deliver(6),
            Wait(700_000),
        ],
    ),
    (
        "what had reached a file although it failed was written once more",
        114,
        &[Fail(1, 3, Eio), Push(4, 17, 44), Push(3, 9, 33), Push(4, 9, 26), Push(2, 17, 1)],
    ),
    (
        "a file that a killed process had made was called durable without its name",
        286,
        &[Fail(1, 3, Full), Push(2, 9, 66), Restart, Deliver(7), Push(1, 9, 44), Wait(5000)],
    ),
    (
        "loss records of two epochs took each other's room in turn",
        9,
        &[
            Push(13, 21, 3),
            Push(16, 21, 2),
            Push(13, 13, 9),
            Cut,
            Push(22, 13, 2),
            Fail(7, 1, Full),
            Push(6, 9, 13),
            Push(22, 21, 1),
            Fail(2, 10, LostPages),
            Push(18, 9, 58),
            Wait(700_000),
            Push(12, 17, 12),
            Wait(70_000),
        ],
    ),
    (
        "a segment that was written anew and failed only then was read by its old places",
        6294,
        &[Push(14, 9, 133), Push(11, 9, 119), Push(14, 9, 7), Fail(7, 3, LostPages), Deliver(12)],
    ),
    (
        "what a failed write had left in a file stood there beside its copy under another number",
        621,
        &[
            Push(7, 9, 25),
            Fail(6, 10, Full),
            Push(25, 9, 4),
            Push(5, 13, 217),
            Fail(3, 1, ReadOnly),
            Wait(700_000),
            Wait(700_000),
            Deliver(7),
            Ack,
        ],
    ),
    (
        "after a start without its folder, files were taken for those of the start before",
        476,
        &[
            Cut,
            Kill,
            Restart,
            Push(1, 9, 47),
            Wait(300),
            Restart,
            Push(4, 13, 84),
            Fail(1, 3, ReadOnly),
            Push(1, 9, 80),
            SyncNow,
            Deliver(4),
            Ack,
            Restart,
        ],
    ),
    (
        "pages that a failed sync had lost were believed by the next process",
        1218,
        &[
            Fail(0, 60, LostPages),
            Push(4, 13, 118),
            Push(1, 21, 34),
            Push(4, 9, 1),
            Wait(700_000),
            Fail(3, 10, Full),
            Kill,
            Deliver(3),
            Push(2, 21, 76),
            Wait(1),
        ],
    ),
];

#[test]
fn what_power_cuts_found_stays_found() {
    let mut seen = Seen::default();
    let effort = Effort { samples: 16, again: 0 };
    let broken: Vec<_> = FOUND
        .iter()
        .filter_map(|(what, seed, ops)| run(*seed, ops, effort, &mut seen).err().map(|said| (what, said)))
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
    println!("{} scripts, {} states", FOUND.len(), seen.states);
}

#[test]
fn every_mutant_can_still_be_made() {
    let root = repository();
    let all = mutants::all(&root).unwrap();
    let stale: Vec<_> =
        all.iter().filter_map(|m| m.apply(&root).err().map(|e| (&m.name, e.to_string()))).collect();
    assert!(stale.is_empty() && all.len() >= 20, "{stale:#?}");
}

#[test]
fn a_seed_decides_everything() {
    let dir = tempfile::tempdir().unwrap();
    let once = |seed, place: &str| {
        let dir = dir.path().join(place);
        std::fs::create_dir(&dir).unwrap();
        world::run(&Plan::of(seed), &dir).unwrap()
    };
    let (a, b, c) = (once(7, "a"), once(7, "b"), once(8, "c"));
    assert_eq!(a, b, "the same seed, the same course of events");
    assert_ne!(a.trace, c.trace);
    assert!(a.produced > 0);
}
