//! What may be done to log files, as data.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Do {
    /// Text is appended to a file, which is created if need be.
    Write(&'static str, &'static str),
    Rename(&'static str, &'static str),
    Copy(&'static str, &'static str),
    Truncate(&'static str),
    Remove(&'static str),
    /// A file is replaced by its compressed form.
    Pack(&'static str),
    /// Time goes on by so many milliseconds, and the logs are looked at.
    Look(Millis),
    /// The agent is killed and started.
    Kill,
    /// The machine is.
    Boot,
}

use Do::*;

/// Now, a moment later.
const NOW: Do = Look(1);

struct Scene {
    dir: tempfile::TempDir,
    tails: Tails,
    config: (&'static str, Begin, bool),
    now: Millis,
    boot: u128,
    quota: u64,
    found: Vec<String>,
    lost: u64,
}

impl Scene {
    fn new(pattern: &'static str, from: Begin, is_multiline: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = (pattern, from, is_multiline);
        let tails = Tails::new(vec![dir.path().join(pattern)], from, is_multiline, Kept::default(), 1);
        Self { dir, tails, config, now: 0, boot: 1, quota: u64::MAX, found: Vec::new(), lost: 0 }
    }

    fn act(&mut self, what: Do) {
        let at = |name: &str| self.dir.path().join(name);
        match what {
            Write(name, text) => append(&at(name), text.as_bytes()),
            Rename(from, to) => std::fs::rename(at(from), at(to)).unwrap(),
            Copy(from, to) => drop(std::fs::copy(at(from), at(to)).unwrap()),
            Truncate(name) => OpenOptions::new().write(true).open(at(name)).unwrap().set_len(0).unwrap(),
            Remove(name) => std::fs::remove_file(at(name)).unwrap(),
            Pack(name) => pack(&at(name)),
            Look(ms) => self.look(ms),
            Kill => self.start(self.boot),
            Boot => self.start(self.boot + 1),
        }
    }

    fn look(&mut self, ms: Millis) {
        self.now += ms;
        let found = &mut self.found;
        let take = &mut |record: &Record<'_>| {
            found.push(format!("{}|{}", record.stream, String::from_utf8_lossy(record.text)));
        };
        self.tails.look(self.now, take);
        self.tails.read(self.now, &mut Quota::bytes(self.quota), take);
        self.lost += self.tails.take_lost().iter().map(|(_, bytes, _)| bytes).sum::<u64>();
    }

    /// What was kept goes through bytes, as it does on disk.
    fn start(&mut self, boot: u128) {
        let kept = postcard::to_extend(&self.tails.kept(self.boot), Vec::new()).unwrap();
        let (pattern, from, is_multiline) = self.config;
        self.boot = boot;
        let patterns = vec![self.dir.path().join(pattern)];
        self.tails = Tails::new(patterns, from, is_multiline, postcard::from_bytes(&kept).unwrap(), boot);
    }

    fn lines(&self) -> u64 {
        self.tails.about()["lines"].as_u64().unwrap()
    }
}

fn append(path: &Path, text: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text).unwrap();
}

fn pack(path: &Path) {
    let written = std::fs::metadata(path).unwrap().modified().unwrap();
    let mut packed = path.as_os_str().to_owned();
    packed.push(".gz");
    let mut to = GzEncoder::new(std::fs::File::create(&packed).unwrap(), Compression::fast());
    to.write_all(&std::fs::read(path).unwrap()).unwrap();
    to.finish().unwrap().set_modified(written).unwrap();
    std::fs::remove_file(path).unwrap();
}

/// Follows `a.log` while this is done, and some seconds more. Expected are the words of all records, and the bytes
/// that are told to be lost.
#[track_caller]
fn check(from: Begin, steps: &[Do], expected: &str, lost: u64) {
    let mut scene = Scene::new("a.log", from, false);
    for step in steps.iter().chain(&[Look(2000), Look(6000), Look(1)]) {
        scene.act(*step);
    }
    let found: Vec<&str> = scene.found.iter().map(|f| f.strip_prefix("a|").unwrap()).collect();
    assert_eq!((found.join(" ").as_str(), scene.lost), (expected, lost), "{steps:?}");
    assert_eq!(scene.lines(), found.len() as u64, "{steps:?}");
    let behind: u64 = scene.tails.logs.iter().map(Followed::behind).sum();
    assert_eq!(behind, 0, "{steps:?}");
}

use Begin::{Beginning, End};

#[test]
fn a_file_that_grows() {
    check(Beginning, &[Write("a.log", "1\n2\n"), NOW, Write("a.log", "3\n"), NOW], "1 2 3", 0);
    check(End, &[Write("a.log", "1\n2\n"), NOW, Write("a.log", "3\n"), NOW], "3", 0);
    // The rest of a line that stood there in part belongs to it.
    check(End, &[Write("a.log", "1\nha"), NOW, Write("a.log", "lf\n3\n"), NOW], "half 3", 0);
    check(Beginning, &[Write("a.log", "1\nha"), NOW, NOW, Write("a.log", "lf\n"), NOW], "1 half", 0);
    // What comes into being later is new.
    check(End, &[NOW, Write("a.log", "1\n"), NOW, Write("a.log", "2\n")], "1 2", 0);
    check(End, &[NOW, Look(60_000), Write("a.log", ""), NOW, Write("a.log", "1\n"), NOW], "1", 0);
    // A line without its end waits, however long.
    check(Beginning, &[Write("a.log", "1\n2"), Look(60_000), Look(60_000), Write("a.log", "3\n")], "1 23", 0);
}

#[test]
fn rotation_by_renaming() {
    let rotate = [Rename("a.log", "a.log.1"), Write("a.log", "3\n")];
    let begin = [Write("a.log", "1\n"), NOW, Write("a.log", "2\n")];
    let all = |parts: &[&[Do]]| parts.concat();
    check(Beginning, &all(&[&begin, &rotate]), "1 2 3", 0);
    check(Beginning, &all(&[&begin, &[NOW], &rotate]), "1 2 3", 0);
    // The writer has the old file for a while.
    check(
        Beginning,
        &all(&[&begin, &rotate, &[NOW, Write("a.log.1", "4\n"), NOW, Write("a.log", "5\n")]]),
        "1 2 3 4 5",
        0,
    );
    // There is no new file for a while.
    let slow = [Rename("a.log", "a.log.1"), NOW, Write("a.log.1", "3\n"), Look(9000), Write("a.log", "4\n")];
    check(Beginning, &all(&[&begin, &slow]), "1 2 3 4", 0);
    // Several times between two looks.
    let twice = [Rename("a.log.1", "a.log.2"), Rename("a.log", "a.log.1"), Write("a.log", "4\n")];
    check(Beginning, &all(&[&begin, &rotate, &twice]), "1 2 3 4", 0);
    let thrice = [
        Rename("a.log.2", "a.log.3"),
        Rename("a.log.1", "a.log.2"),
        Rename("a.log", "a.log.1"),
        Write("a.log", "5\n"),
    ];
    check(Beginning, &all(&[&begin, &rotate, &twice, &thrice]), "1 2 3 4 5", 0);
    // By date.
    let dated = [
        Rename("a.log", "a.log-20261122"),
        Write("a.log", "3\n"),
        NOW,
        Rename("a.log", "a.log-20261123"),
        Write("a.log", "4\n"),
    ];
    check(Beginning, &all(&[&begin, &dated]), "1 2 3 4", 0);
    // What stood there before the agent came is not read.
    check(
        Beginning,
        &all(&[&[Write("a.log.1", "0\n")], &begin, &[NOW, Rename("a.log.1", "a.log.2")], &rotate]),
        "1 2 3",
        0,
    );
    // The last line has no end.
    let torn = [Write("a.log", "x"), Rename("a.log", "a.log.1"), NOW, Write("a.log", "3\n")];
    check(Beginning, &all(&[&begin, &torn]), "1 2 3 x", 0);
    // Removed while it is open, it is read to its end.
    check(
        Beginning,
        &all(&[&begin, &[NOW, Write("a.log", "3\n"), Remove("a.log"), NOW, Write("a.log", "4\n")]]),
        "1 2 3 4",
        0,
    );
    // Read to the end, dropped, and still there.
    check(
        Beginning,
        &all(&[&begin, &rotate, &[Look(1), Look(70_000), Look(70_000), Kill, Write("a.log", "4\n")]]),
        "1 2 3 4",
        0,
    );
    check(
        Beginning,
        &[
            Write("a.log", "1\n"),
            NOW,
            Rename("a.log", "a.log.1"),
            Look(1),
            Look(70_000),
            Look(70_000),
            Kill,
            NOW,
            Write("a.log", "2\n"),
        ],
        "1 2",
        0,
    );
}

#[test]
fn rotation_while_the_agent_is_away() {
    let begin = [Write("a.log", "1\n"), NOW, Kill, Write("a.log", "2\n")];
    let rotate = [Rename("a.log", "a.log.1"), Write("a.log", "3\n")];
    let twice = [Rename("a.log.1", "a.log.2"), Rename("a.log", "a.log.1"), Write("a.log", "4\n")];
    let all = |parts: &[&[Do]]| parts.concat();
    check(Beginning, &all(&[&begin, &rotate]), "1 2 3", 0);
    check(Beginning, &all(&[&begin, &rotate, &twice]), "1 2 3 4", 0);
    check(Beginning, &all(&[&begin, &rotate, &[Pack("a.log.1")]]), "1 2 3", 0);
    check(Beginning, &all(&[&begin, &rotate, &twice, &[Pack("a.log.2"), Pack("a.log.1")]]), "1 2 3 4", 0);
    // Another kill in the middle of what was compressed changes nothing.
    check(Beginning, &all(&[&begin, &rotate, &[Pack("a.log.1"), NOW, Kill, NOW, Kill]]), "1 2 3", 0);
    // Compressed while it is open.
    check(
        Beginning,
        &all(&[&[Write("a.log", "1\n"), NOW, Write("a.log", "2\n")], &rotate, &[Pack("a.log.1")]]),
        "1 2 3",
        0,
    );
    // The file that was read is gone: what was known to be in it was read, so nothing that is known is missing.
    check(Beginning, &all(&[&begin, &rotate, &[Remove("a.log.1")]]), "1 3", 0);
    check(
        Beginning,
        &[Write("a.log", "1\n"), NOW, Kill, Remove("a.log"), NOW, Write("a.log", "2\n")],
        "1 2",
        0,
    );
    // The machine was down, and its devices have other numbers or lost the end of a file.
    check(Beginning, &[Write("a.log", "1\n2\n"), NOW, Boot, Write("a.log", "3\n")], "1 2 3", 0);
}

#[test]
fn truncation() {
    let begin = [Write("a.log", "1 one\n"), NOW, Write("a.log", "2 two\n")];
    let all = |parts: &[&[Do]]| parts.concat();
    // What was written since the last look, is in the copy.
    let copy = [Copy("a.log", "a.log.1"), Truncate("a.log")];
    check(Beginning, &all(&[&begin, &copy, &[Write("a.log", "3\n")]]), "1 one 2 two 3", 0);
    check(
        Beginning,
        &all(&[&begin, &copy, &[NOW, Write("a.log", "3 three and more than before\n")]]),
        "1 one 2 two 3 three and more than before",
        0,
    );
    check(
        Beginning,
        &all(&[&begin, &copy, &[Write("a.log", "3 three and more than before\n")]]),
        "1 one 2 two 3 three and more than before",
        0,
    );
    check(Beginning, &all(&[&begin, &copy, &[Pack("a.log.1"), Write("a.log", "3\n")]]), "1 one 2 two 3", 0);
    check(Beginning, &all(&[&begin, &[Kill], &copy, &[Write("a.log", "3\n")]]), "1 one 2 two 3", 0);
    // Twice, with an older copy in the way.
    let again = [
        NOW,
        Rename("a.log.1", "a.log.2"),
        Write("a.log", "4 four\n"),
        Copy("a.log", "a.log.1"),
        Truncate("a.log"),
        NOW,
        Write("a.log", "5\n"),
    ];
    check(Beginning, &all(&[&begin, &copy, &[Write("a.log", "3\n")], &again]), "1 one 2 two 3 4 four 5", 0);
    // The agent starts when a file that it never saw was copied, and is not truncated yet.
    let before = [Truncate("a.log"), NOW, Kill, Write("a.log", "3 three\n")];
    let between =
        [Rename("a.log.1", "a.log.2"), Copy("a.log", "a.log.1"), NOW, Look(1000), Truncate("a.log")];
    let copied = all(&[&begin, &[Copy("a.log", "a.log.1")], &before, &between]);
    check(Beginning, &all(&[&copied, &[Write("a.log", "4\n")]]), "1 one 2 two 3 three 4", 0);
    check(Beginning, &all(&[&copied, &[Kill, NOW, Write("a.log", "4\n")]]), "1 one 2 two 3 three 4", 0);
    // Without a copy what was not read is gone; nobody can know how much.
    check(Beginning, &all(&[&begin, &[Truncate("a.log"), NOW, Write("a.log", "3\n")]]), "1 one 3", 0);
    // The inode is used again.
    check(
        Beginning,
        &[Write("a.log", "1 one\n"), NOW, Kill, Remove("a.log"), Write("a.log", "2 two and more\n")],
        "1 one 2 two and more",
        0,
    );
    // A writer that does not append leaves a hole.
    check(
        Beginning,
        &all(&[&begin, &[NOW, Truncate("a.log"), NOW, Write("a.log", "\0\0\0\0\0\0\0\0\0\0\0\x003\n"), NOW]]),
        "1 one 2 two 3",
        0,
    );
}

/// An agent that never lives for as long as the last message of a file would wait for further lines.
#[test]
fn the_last_message_of_a_rotated_file_does_not_wait_for_a_long_life() {
    for is_copied in [true, false] {
        let mut scene = Scene::new("a.log", Beginning, true);
        scene.act(Write("a.log", "1 one\n"));
        scene.act(NOW);
        scene.act(Write("a.log", "2 two\n"));
        for what in if is_copied {
            [Copy("a.log", "a.log.1"), Truncate("a.log")]
        } else {
            [Rename("a.log", "a.log.1"), NOW]
        } {
            scene.act(what);
        }
        scene.act(Write("a.log", "3 three\n"));
        for _ in 0..20 {
            [Kill, Look(100), Look(100), Look(100)].into_iter().for_each(|what| scene.act(what));
        }
        [Kill, Remove("a.log.1"), Look(100), Look(2000)].into_iter().for_each(|what| scene.act(what));
        let mut found = scene.found.clone();
        // What was taken in a look that was not kept is taken again; here none was.
        found.sort();
        assert_eq!(
            (found, scene.lost),
            (vec!["a|1 one".into(), "a|2 two".into(), "a|3 three".into()], 0),
            "{is_copied}"
        );
        assert_eq!(scene.lines(), 3, "{is_copied}");
    }
}

#[test]
fn what_is_deleted_before_it_was_read_is_counted() {
    let mut scene = Scene::new("a.log", Beginning, false);
    scene.quota = 4;
    append(&scene.dir.path().join("a.log"), b"1\n2\n3\n4\n5\n");
    scene.look(1);
    scene.start(1);
    std::fs::remove_file(scene.dir.path().join("a.log")).unwrap();
    append(&scene.dir.path().join("a.log"), b"6\n");
    scene.quota = u64::MAX;
    scene.look(1);
    scene.look(1);
    let read = scene.found.len() as u64 - 1;
    assert_eq!((scene.lost + 2 * read, scene.found.last().map(String::as_str)), (10, Some("a|6")));
    assert!(scene.lost > 0 && scene.lines() == read + 1);
    scene.look(1);
    assert_eq!(scene.lost + 2 * read, 10, "told once");
}

#[test]
fn several_lines_may_be_one_message() {
    let check = |is_multiline: bool, steps: &[Do], expected: &[&str], lines: u64| {
        let mut scene = Scene::new("*.log", Beginning, is_multiline);
        steps.iter().chain(&[Look(2000), Look(6000), Look(1)]).for_each(|step| scene.act(*step));
        assert_eq!(scene.found, expected, "{steps:?}");
        assert_eq!(scene.lines(), lines, "{steps:?}");
    };
    let trace = "E: x\n  at a\n\tat b\nCaused by: y\nnext\n";
    let whole = "a|E: x\n  at a\n\tat b\nCaused by: y";
    check(true, &[Write("a.log", trace)], &[whole, "a|next"], 5);
    check(false, &[Write("a.log", "E\n x\n")], &["a|E", "a| x"], 2);
    // A kill in the middle of it changes nothing.
    check(
        true,
        &[Write("a.log", "E: x\n  at a\n"), NOW, Kill, Write("a.log", "\tat b\nCaused by: y\nnext\n")],
        &[whole, "a|next"],
        5,
    );
    // Who waits too long is on his own.
    check(true, &[Write("a.log", "E\n"), NOW, Look(5000), Write("a.log", " x\n")], &["a|E", "a| x"], 2);
    check(
        true,
        &[Write("a.log", "Nov 23 03:24:47 host sshd[7]: in\n  more\nNov 23 03:24:48 host cron: out\n")],
        &["sshd|in\n  more", "cron|out"],
        3,
    );
    let docker = "{\"log\":\"part \",\"stream\":\"stdout\",\"time\":\"2026-11-23T02:24:47Z\"}\n{\"log\":\"one\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-23T02:24:47Z\"}\n";
    check(true, &[Write("b.log", docker)], &["b|part one"], 2);
    check(
        true,
        &[Write("b.log", docker), Look(3000), Kill, Write("b.log", "{\"log\":\"two\\n\",")],
        &["b|part one"],
        2,
    );
    let cri = "2026-11-23T02:24:47Z stdout P pa\n2026-11-23T02:24:47Z stdout F rt\n2026-11-23T02:24:48Z stderr F x\n";
    check(true, &[Write("c.log", cri)], &["c|part", "c|x"], 3);
}

#[test]
fn patterns_find_logs_that_come_later() {
    let mut scene = Scene::new("*/*.log*", End, false);
    let dir = scene.dir.path().to_owned();
    for folder in ["x", "y"] {
        std::fs::create_dir(dir.join(folder)).unwrap();
    }
    append(&dir.join("x/a.log"), b"old\n");
    append(&dir.join("x/a.log.1"), b"older\n");
    append(&dir.join("x/b.log.gz"), b"packed\n");
    scene.look(1);
    append(&dir.join("y/b.log"), b"new\n");
    append(&dir.join("x/a.log"), b"newer\n");
    scene.look(SCAN_MS);
    std::fs::rename(dir.join("x/a.log"), dir.join("x/a.log.1")).unwrap();
    scene.look(SCAN_MS);
    append(&dir.join("x/a.log"), b"newest\n");
    scene.look(SCAN_MS);
    scene.found.sort();
    assert_eq!(scene.found, ["a|newer", "a|newest", "b|new"]);
    assert_eq!(scene.tails.logs.len(), 2);
    std::fs::remove_dir_all(dir.join("y")).unwrap();
    for _ in 0..9 {
        scene.look(SCAN_MS);
    }
    assert_eq!(
        (scene.tails.logs.len(), scene.lines()),
        (1, 3),
        "what is no more is forgotten, but for its lines"
    );
}

#[test]
fn what_is_no_log_is_refused_with_a_reason() {
    let mut scene = Scene::new("*", Beginning, false);
    let dir = scene.dir.path().to_owned();
    std::fs::create_dir(dir.join("folder")).unwrap();
    std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, dir.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    append(&dir.join("wtmp"), &[1, 2, 0, 3, 0, 0, 7]);
    append(&dir.join("good"), b"1\n");
    scene.look(1);
    let refused: Vec<_> =
        scene.tails.refused().map(|(path, why)| (path.file_name().unwrap().to_str().unwrap(), why)).collect();
    let expected = [
        ("folder", "is a folder, no file"),
        ("pipe", "is a pipe, no file"),
        ("socket", "is a socket, no file"),
        ("wtmp", "is binary"),
    ];
    assert_eq!(refused, expected);
    assert_eq!(scene.found, ["good|1"]);
}

#[test]
fn a_line_of_any_length_and_any_bytes() {
    let mut scene = Scene::new("a.log", Beginning, false);
    let path = scene.dir.path().join("a.log");
    append(&path, b"\xff\xfe ok\n");
    for _ in 0..100 {
        append(&path, &vec![b'x'; 1 << 20]);
        scene.look(1);
    }
    append(&path, b"\nshort\n");
    scene.look(1);
    scene.start(1);
    scene.look(1);
    assert_eq!(scene.found.len(), 3);
    assert_eq!(scene.found[1].len(), "a|".len() + crate::logs::lines::HELD);
    assert_eq!((scene.found[2].as_str(), scene.lines()), ("a|short", 3));
}

#[test]
fn a_bomb_is_unpacked_piece_by_piece() {
    let mut scene = Scene::new("a.log", Beginning, false);
    let path = scene.dir.path().join("a.log");
    append(&path, b"1\n");
    scene.look(1);
    scene.start(1);
    // 64 MiB of zeros in 64 KiB.
    for _ in 0..64 {
        append(&path, &vec![0; 1 << 20]);
    }
    append(&path, b"\n2\n");
    std::fs::rename(&path, scene.dir.path().join("a.log.1")).unwrap();
    pack(&scene.dir.path().join("a.log.1"));
    append(&path, b"3\n");
    scene.quota = 1 << 20;
    for looks in 0..70 {
        assert!(looks > 60 || scene.found.len() < 2, "after {looks} looks: {:?}", scene.found);
        scene.look(1);
    }
    scene.look(2000);
    assert_eq!(scene.found.iter().filter(|f| f.len() < 4).collect::<Vec<_>>(), ["a|1", "a|2", "a|3"]);
}

#[test]
fn one_flood_does_not_keep_the_others_waiting() {
    let mut scene = Scene::new("*.log", Beginning, false);
    append(&scene.dir.path().join("a.log"), &b"flood\n".repeat(1 << 20));
    append(&scene.dir.path().join("b.log"), b"1\n");
    scene.quota = 3 << 20;
    scene.look(1);
    assert!(scene.found.iter().any(|f| f == "b|1"));
    assert!(scene.found.len() < 1 << 20, "the rest waits on disk");
    scene.quota = u64::MAX;
    scene.look(1);
    assert_eq!(scene.found.len(), (1 << 20) + 1);
}

/// What a writer, a rotator and a killer may do, in any order.
#[derive(Debug, Clone, Copy)]
enum Chance {
    Lines(u8),
    Rotate,
    CopyTruncate,
    PackOld,
    Look(u16),
    Kill,
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        4 => (1..20_u8).prop_map(Chance::Lines),
        2 => Just(Chance::Rotate),
        1 => Just(Chance::CopyTruncate),
        1 => Just(Chance::PackOld),
        3 => (1..4000_u16).prop_map(Chance::Look),
        1 => Just(Chance::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_line_is_taken_once(chances in prop::collection::vec(chance(), 1..60), quota in 1..200_u64) {
        let mut scene = Scene::new("a.log", Beginning, false);
        let dir = scene.dir.path().to_owned();
        let live = dir.join("a.log");
        let generation = |n: usize| [dir.join(format!("a.log.{n}")), dir.join(format!("a.log.{n}.gz"))];
        let mut written = 0;
        append(&live, b"");
        scene.look(1);
        let shift = || {
            for n in (1..80).rev() {
                for (from, to) in generation(n).iter().zip(generation(n + 1)) {
                    if from.exists() {
                        std::fs::rename(from, to).unwrap();
                    }
                }
            }
        };
        scene.quota = quota;
        for chance in &chances {
            match chance {
                Chance::Lines(n) => for _ in 0..*n {
                    written += 1;
                    append(&live, format!("line {written} is written\n").as_bytes());
                },
                Chance::Rotate => {
                    shift();
                    std::fs::rename(&live, &generation(1)[0]).unwrap();
                    append(&live, b"");
                }
                // An empty file that is copied cannot be told from another.
                Chance::CopyTruncate if live.metadata().unwrap().len() > 0 => {
                    shift();
                    std::fs::copy(&live, &generation(1)[0]).unwrap();
                    OpenOptions::new().write(true).open(&live).unwrap().set_len(0).unwrap();
                    // Until it was looked at: a second one that is as long before would be none.
                    scene.look(1);
                }
                Chance::CopyTruncate => {}
                Chance::PackOld => for n in 2..80 {
                    if generation(n)[0].exists() {
                        pack(&generation(n)[0]);
                    }
                },
                Chance::Look(ms) => scene.look(u64::from(*ms)),
                Chance::Kill => scene.start(1),
            }
        }
        scene.quota = u64::MAX;
        for _ in 0..3 {
            scene.look(6000);
        }
        let expected: Vec<String> = (1..=written).map(|n| format!("a|line {n} is written")).collect();
        let mut found = scene.found.clone();
        found.sort_by_key(|f| f.split(' ').nth(1).and_then(|n| n.parse::<u32>().ok()));
        prop_assert_eq!(found, expected);
        prop_assert_eq!((scene.lost, scene.lines()), (0, written));
    }
}
