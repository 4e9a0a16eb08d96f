//! Journals that systemd's own programs wrote, and that its own reader reads beside ours.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const WRITER: &str = "/lib/systemd/systemd-journal-remote";
const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// Entries in the export format; those after the tenth have long messages, which are compressed.
fn export(numbers: std::ops::Range<u64>) -> String {
    let mut text = String::new();
    for n in numbers {
        let long = if n % 10 == 9 { " and so on".repeat(200) } else { String::new() };
        text += &format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=00000000000000000000000000000abc\n\
             _MACHINE_ID={MACHINE}\nPRIORITY={}\nSYSLOG_IDENTIFIER=prog{}\n_SYSTEMD_UNIT=unit{}.service\n\
             _HOSTNAME=host\nMESSAGE=message {n}{long}\n\n",
            1_795_400_687_000_000 + n * 1000,
            5_000_000 + n * 1000,
            n % 8,
            n % 3,
            n % 2,
        );
    }
    text
}

fn write(path: &Path, text: &str, is_compact: bool) {
    let folder = path.parent().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    let mut writer = Command::new(WRITER)
        .env("SYSTEMD_JOURNAL_COMPACT", if is_compact { "1" } else { "0" })
        .arg(format!("--output={}", path.display()))
        .arg("--split-mode=none")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{WRITER}: {e}; apt-get install -y systemd-journal-remote"));
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}

/// What systemd's own reader says: messages, in order.
fn oracle(path: &Path) -> Vec<String> {
    let out = Command::new("journalctl")
        .args(["--output=json", "--all", "--file"])
        .arg(path)
        .output()
        .unwrap_or_else(|e| panic!("journalctl: {e}; apt-get install -y systemd"));
    let lines = String::from_utf8(out.stdout).unwrap();
    let said =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["MESSAGE"].as_str().unwrap().to_owned();
    lines.lines().map(said).collect()
}

struct Scene {
    dir: tempfile::TempDir,
    journals: Journals,
    now: Millis,
    found: Vec<String>,
}

impl Scene {
    fn new(from: Begin) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journals = Journals::new(vec![dir.path().to_owned()], from, None);
        Self { dir, journals, now: 0, found: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(MACHINE).join(name)
    }

    fn look(&mut self, quota: u64) {
        self.now += SCAN_MS;
        self.journals.look(self.now);
        let found = &mut self.found;
        self.journals.read(&mut Quota::bytes(quota), &mut |r: &Record<'_>| {
            found.push(String::from_utf8_lossy(r.text).into_owned());
        });
    }

    fn restart(&mut self) {
        let kept = postcard::to_extend(self.journals.kept(), Vec::new()).unwrap();
        let kept = postcard::from_bytes(&kept).unwrap();
        self.journals = Journals::new(vec![self.dir.path().to_owned()], Begin::End, Some(kept));
    }

    #[track_caller]
    fn check(&self, numbers: std::ops::Range<u64>) {
        let expected: Vec<String> = numbers.map(|n| format!("message {n}")).collect();
        let found: Vec<String> =
            self.found.iter().map(|f| f.split(" and").next().unwrap().to_owned()).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn entries_are_those_that_systemd_reads() {
    for is_compact in [false, true] {
        let mut scene = Scene::new(Begin::Beginning);
        let path = scene.path("system.journal");
        write(&path, &export(0..500), is_compact);
        scene.look(u64::MAX);
        assert_eq!(scene.found.len(), 500);
        let header = Journal::new(File::open(&path).unwrap()).header().unwrap();
        assert_eq!((header.is_compact(), header.is_packed()), (is_compact, true), "this is what is tried");
        assert!(scene.found == oracle(&path), "also long messages, which are compressed");
        assert_eq!(scene.journals.about()["unreadable"], 0);
        scene.look(u64::MAX);
        scene.check(0..500);
    }
}

#[test]
fn who_and_how_grave() {
    let mut scene = Scene::new(Begin::Beginning);
    write(&scene.path("system.journal"), &export(3..4), false);
    scene.journals.look(1);
    let mut found = Vec::new();
    scene.journals.read(&mut Quota::bytes(u64::MAX), &mut |r: &Record<'_>| {
        found.push((r.stream.to_owned(), r.severity, r.wall_ms, r.text.to_vec()));
    });
    assert_eq!(found, [("unit1".to_owned(), Some(17), Some(1_795_400_687_003), b"message 3".to_vec())]);
}

#[test]
fn it_goes_on_where_it_stood() {
    let mut scene = Scene::new(Begin::Beginning);
    let path = scene.path("system.journal");
    write(&path, &export(0..100), false);
    // In small pieces, with a restart after each.
    for _ in 0..400 {
        scene.look(4000);
        scene.restart();
    }
    scene.check(0..100);
    // It grows while it is open.
    scene.look(u64::MAX);
    write(&path, &export(100..150), false);
    scene.look(u64::MAX);
    scene.check(0..150);
    // It is archived, and a new one takes its place; the agent was away meanwhile.
    write(&path, &export(150..160), false);
    std::fs::rename(&path, scene.path("system@0123-1-2.journal")).unwrap();
    scene.restart();
    write(&path, &export(160..170), false);
    scene.look(u64::MAX);
    scene.look(u64::MAX);
    scene.check(0..170);
    // The same while it looks on.
    write(&path, &export(170..180), false);
    std::fs::rename(&path, scene.path("system@0456-1-2.journal")).unwrap();
    write(&path, &export(180..190), false);
    scene.look(u64::MAX);
    scene.restart();
    scene.look(u64::MAX);
    scene.check(0..190);
    assert_eq!((scene.journals.about()["lines"].as_u64(), scene.journals.take_lost()), (Some(190), 0));
}

#[test]
fn the_first_time_it_begins_at_the_end() {
    let mut scene = Scene::new(Begin::End);
    write(&scene.path("system.journal"), &export(0..20), false);
    scene.look(u64::MAX);
    assert!(scene.found.is_empty());
    write(&scene.path("system.journal"), &export(20..30), false);
    // Another lineage is new, and all of it.
    write(&scene.path("user-1000.journal"), &export(30..32), false);
    scene.look(u64::MAX);
    scene.found.sort();
    scene.check(20..32);
}

#[test]
fn a_journal_that_moves_to_the_disk_is_read_once() {
    let mut scene = Scene::new(Begin::Beginning);
    write(&scene.path("system.journal"), &export(0..20), false);
    scene.look(u64::MAX);
    // Copied entries have other numbers and the same times.
    std::fs::remove_file(scene.path("system.journal")).unwrap();
    write(&scene.path("system.journal"), &export(0..30), false);
    scene.look(u64::MAX);
    scene.check(0..30);
}

#[test]
fn what_is_no_journal_is_refused() {
    let mut scene = Scene::new(Begin::Beginning);
    std::fs::create_dir_all(scene.path("")).unwrap();
    std::fs::write(scene.path("system.journal"), vec![b'x'; 4096]).unwrap();
    std::fs::write(scene.path("user-1.journal"), b"short").unwrap();
    scene.look(u64::MAX);
    assert_eq!(scene.journals.refused.len(), 2, "{:?}", scene.journals.refused);
    assert!(scene.journals.refused.iter().any(|(_, why)| why == "is no journal"));
}

#[test]
fn whatever_is_damaged_it_returns() {
    let scene = Scene::new(Begin::Beginning);
    let path = scene.path("system.journal");
    write(&path, &export(0..40), false);
    let whole = std::fs::read(&path).unwrap();
    let used = whole.iter().rposition(|b| *b != 0).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let damage = (prop::collection::vec((0..used, any::<u8>()), 1..20), used / 2..used);
    runner
        .run(&damage, |(changes, cut)| {
            let mut bytes = whole[..cut].to_vec();
            for (at, with) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = with;
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            let mut journals = Journals::new(vec![scene.dir.path().to_owned()], Begin::Beginning, None);
            let mut count = 0;
            for now in [1, 2 * SCAN_MS] {
                journals.look(now);
                journals.read(&mut Quota::bytes(1 << 20), &mut |_: &Record<'_>| count += 1);
            }
            prop_assert!(count <= 4100, "no more than the quota allows");
            Ok(())
        })
        .unwrap();
}
