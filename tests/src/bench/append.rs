//! What a durable append costs: the outbox beside SQLite, redb and queue-file, each committing about 4 KiB at a time.
//!
//! `bench append [DIRECTORY]`: on the disk of DIRECTORY, else of this working directory

use std::path::Path;

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
    let (mut outbox, _) = Outbox::open(Box::new(Folder::new(dir)), options, stamp);
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

/// Bytes this process has caused to be written to disks so far.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|l| l.strip_prefix("write_bytes: ")).unwrap().parse().unwrap()
}

/// Prints the figures.
pub fn main(args: &[String]) {
    let place = args.first().map_or(".", String::as_str);
    let groups: Vec<Vec<u8>> = (0..GROUP).map(|i| vec![u8::try_from(i).unwrap(); BYTES]).collect();
    let mut best = [(0.0_f64, f64::MAX); CONTESTANTS.len()];
    for _ in 0..ROUNDS {
        for ((_, open), best) in CONTESTANTS.iter().zip(&mut best) {
            let dir = tempfile::tempdir_in(place).unwrap();
            let mut commit = open(dir.path());
            let before = written();
            let ((), took) = timed(|| (0..GROUPS).for_each(|_| commit(&groups)));
            let events = (GROUP * GROUPS) as f64;
            best.0 = best.0.max(events / took.as_secs_f64());
            best.1 = best.1.min((written() - before) as f64 / events);
        }
    }
    for ((name, _), (speed, bytes)) in CONTESTANTS.iter().zip(best) {
        println!("append.{name}.rate {speed:.0} events/s");
        println!("append.{name}.written {bytes:.0} By/event");
    }
}
