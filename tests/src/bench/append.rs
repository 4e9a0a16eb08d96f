//! What a durable append costs: the outbox beside SQLite, redb and queue-file, each committing about 4 KiB at a time.
//!
//! `bench append [DIRECTORY]`: on the disk of DIRECTORY, else of this working directory

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::results::Row;
use crate::wait::timed;
use fieldmouse::clock::{self, Stamp};
use fieldmouse::disk::Folder;
use fieldmouse::outbox::{self, Outbox};
use fieldmouse_core::wire::Kind;

/// An ordinary event.
const BYTES: usize = 200;
/// Events of one commit: 4 KiB.
const GROUP: usize = 20;
const GROUPS: usize = 1000;
/// Every contestant has as many tries, in turn; the best counts: the disk is shared.
const ROUNDS: usize = 3;

/// A queue that has taken a group when this returns, whatever happens to the power afterwards.
type Commit = Box<dyn FnMut(&[Vec<u8>])>;
type Contestant = (&'static str, fn(&Path) -> Commit);

fn fieldmouse(dir: &Path) -> Commit {
    let stamp = Stamp { mono_ms: 0, ..clock::stamp() };
    let options = outbox::Options { flash_bytes_per_day: u64::MAX, ..outbox::Options::new(64 << 20) };
    let (mut outbox, _) = Outbox::open(Box::new(Folder::new(dir)), options, outbox::entropy(), stamp);
    Box::new(move |group| {
        for event in group {
            outbox.push(stamp, Kind::Fact, 1, 9, event);
        }
        outbox.sync_now(0);
        assert!(!outbox.is_memory_only());
    })
}

fn sqlite(dir: &Path) -> Commit {
    let mut db = rusqlite::Connection::open(dir.join("queue.db")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.execute("CREATE TABLE queue (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)", []).unwrap();
    Box::new(move |group| {
        let tx = db.transaction().unwrap();
        for event in group {
            tx.prepare_cached("INSERT INTO queue (body) VALUES (?1)").unwrap().execute([event]).unwrap();
        }
        tx.commit().unwrap();
    })
}

fn redb(dir: &Path) -> Commit {
    const QUEUE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("queue");
    let db = redb::Database::create(dir.join("queue.redb")).unwrap();
    let mut seq = 0;
    Box::new(move |group| {
        // Durability is "immediate" unless said otherwise.
        let tx = db.begin_write().unwrap();
        {
            let mut table = tx.open_table(QUEUE).unwrap();
            for event in group {
                seq += 1;
                table.insert(seq, event.as_slice()).unwrap();
            }
        }
        tx.commit().unwrap();
    })
}

fn queue_file(dir: &Path) -> Commit {
    let mut queue = queue_file::QueueFile::open(dir.join("queue.file")).unwrap();
    queue.set_sync_writes(true);
    Box::new(move |group| queue.add_n(group.iter().map(Vec::as_slice)).unwrap())
}

const CONTESTANTS: [Contestant; 4] =
    [("fieldmouse", fieldmouse), ("sqlite_wal", sqlite), ("redb", redb), ("queue_file", queue_file)];

/// A file system of its own in a file, so that all that reaches its device is counted, the journal included, and nothing
/// of others.
pub(super) struct Device {
    dir: tempfile::TempDir,
    pub(super) mount: PathBuf,
    sectors: PathBuf,
}

impl Device {
    pub(super) fn new(place: &str) -> Self {
        let dir = tempfile::tempdir_in(place).unwrap();
        let (image, mount) = (dir.path().join("image"), dir.path().join("mount"));
        std::fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
        std::fs::create_dir(&mount).unwrap();
        run("mkfs.ext4", &["-q".as_ref(), image.as_ref()]);
        run("mount", &["-o".as_ref(), "loop,noatime".as_ref(), image.as_ref(), mount.as_ref()]);
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let real = mount.canonicalize().unwrap();
        let device = mounts.lines().find(|l| l.split(' ').nth(1) == real.to_str()).unwrap();
        let name = device.split(' ').next().unwrap().trim_start_matches("/dev/");
        let sectors = Path::new("/sys/block").join(name).join("stat");
        Self { dir, mount, sectors }
    }

    /// Bytes ever written to the device.
    pub(super) fn written(&self) -> u64 {
        run("sync", &["-f".as_ref(), self.mount.as_ref()]);
        let stat = std::fs::read_to_string(&self.sectors).unwrap();
        stat.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap() * 512
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        run("umount", &[self.mount.as_ref()]);
        debug_assert!(self.dir.path().exists());
    }
}

fn run(program: &str, args: &[&OsStr]) {
    let done = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{program}: {said}; it needs root, e2fsprogs and loop devices");
}

/// Prints the figures.
pub fn main(args: &[String]) {
    let place = args.first().map_or(".", String::as_str);
    let groups: Vec<Vec<u8>> = (0..GROUP).map(|i| vec![u8::try_from(i).unwrap(); BYTES]).collect();
    let events = (GROUP * GROUPS) as f64;
    let mut best = [0.0_f64; CONTESTANTS.len()];
    for _ in 0..ROUNDS {
        for ((_, open), best) in CONTESTANTS.iter().zip(&mut best) {
            let dir = tempfile::tempdir_in(place).unwrap();
            let mut commit = open(dir.path());
            let ((), took) = timed(|| (0..GROUPS).for_each(|_| commit(&groups)));
            *best = best.max(events / took.as_secs_f64());
        }
    }
    let mut row = Row::new("append", "durable commits of 4 KiB, beside peers in the same run", None);
    row.count("append.commits", (GROUPS * ROUNDS) as u64, "commits each");
    for ((name, _), speed) in CONTESTANTS.iter().zip(best) {
        row.figure(&format!("append.{name}"), format!("{speed:.0}"), "events/s");
    }
    for (name, open) in CONTESTANTS {
        let device = Device::new(place);
        let mut commit = open(&device.mount);
        let before = device.written();
        (0..GROUPS).for_each(|_| commit(&groups));
        drop(commit);
        let bytes = (device.written() - before) as f64 / events;
        row.figure(&format!("append.{name}_bytes"), format!("{bytes:.0}"), "By/event");
    }
}
