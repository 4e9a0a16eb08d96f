//! What a calm day costs the flash: the outbox on a real file system, on virtual time, with its own account beside what
//! the device counted.

use fieldmouse::clock::{self, Stamp};
use fieldmouse::disk::Folder;
use fieldmouse::outbox::{self, Outbox};
use fieldmouse_core::wire::Kind;

use super::append::Device;
use crate::results::Row;

const SECOND: u64 = 1000;
const DAY: u64 = 24 * 3600 * SECOND;
/// An episode every two hours is much for a device that is well: opened, updated twice, closed.
const EPISODE_EVERY: u64 = 2 * 3600 * SECOND;
const TOLD_AFTER: [u64; 4] = [0, 30 * SECOND, 300 * SECOND, 600 * SECOND];
const BYTES: usize = 200;

/// Prints the figures.
pub fn main(args: &[String]) {
    let device = Device::new(args.first().map_or(".", String::as_str));
    let before = device.written();
    let now = clock::stamp();
    let at = |ms: u64| Stamp { mono_ms: ms, wall_ms: now.wall_ms.map(|w| w + ms), ..now };
    let options = outbox::Options::new(16 << 20);
    let disk = Box::new(Folder::new(&device.mount));
    let (mut outbox, _) = Outbox::open(disk, options, outbox::entropy(), at(0));
    let mut events = 0;
    for now in (0..DAY).step_by(1000) {
        if TOLD_AFTER.contains(&(now % EPISODE_EVERY)) {
            outbox.push(at(now), Kind::Episode, 1, 13, &[7; BYTES]);
            outbox.sync_now(now);
            events += 1;
        }
        // The collector answers at once.
        outbox.acked(now, outbox.epoch(), outbox.next_seq() - 1);
        outbox.sync(now);
    }
    assert!(!outbox.is_memory_only());
    let mut row = Row::new("flash", "a calm day of the outbox, on virtual time", None);
    row.count("flash.events", events, "events");
    row.figure("flash.by_own_account", outbox.flash_bytes_day(), "By/day");
    row.figure(
        "flash.by_the_device",
        device.written() - before,
        "By/day, the file system's journal included",
    );
}
