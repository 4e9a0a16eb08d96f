//! What it costs to keep what was learnt: bytes per series, time, and the flash that a day wears.

use fieldmouse::budget::Budget;
use fieldmouse::clock::Stamp;
use fieldmouse::disk::Folder;
use fieldmouse::learnt::Learnt;
use fieldmouse::learnt::keeper::{File, Keeper};
use fieldmouse::pipeline::Pipeline;
use fieldmouse_core::metric;
use fieldmouse_core::series::{Reading, SeriesKey};

use super::append::Device;
use crate::results::Row;
use crate::wait::timed;

const SERIES: usize = 200;
const SECOND: u64 = 1000;
const DAY: u64 = 86_400 * SECOND;
/// An episode every two hours is much for a device that is well: opened and closed.
const CHANGE_EVERY: u64 = 3600 * SECOND;

/// Prints the figures.
pub fn main(args: &[String]) {
    let mut row = Row::new("learnt", "what was learnt of 200 series, kept for a day on virtual time", None);
    let pipeline = learn(3600);
    let (bytes, took) = timed(|| pipeline.save(at(3600 * SECOND), 1));
    row.figure("learnt.state", bytes.len() / SERIES, "By/series");
    row.figure("learnt.save", took.as_micros(), "us");
    let mut again = Pipeline::new(Budget::default(), None, 1);
    let ((), took) = timed(|| {
        again.restore(Learnt::read(&bytes), at(3601 * SECOND), 1);
        pipeline.keys().iter().for_each(|k| assert!(again.index(k, 0) < SERIES));
    });
    assert_eq!(again.standing().restored, SERIES);
    row.figure("learnt.restore", took.as_micros(), "us");

    let device = Device::new(args.first().map_or(".", String::as_str));
    let before = device.written();
    let (keeper, files) = keep_a_day(&device, &pipeline);
    row.count("learnt.files", files[0], "files of everything");
    row.count("learnt.device_files", files[1], "files of the device");
    row.figure("learnt.flash", keeper.state.worn, "By/day by own account");
    row.figure(
        "learnt.flash_device",
        device.written() - before,
        "By/day, the file system's journal included",
    );
}

fn at(mono_ms: u64) -> Stamp {
    Stamp { mono_ms, wall_ms: None, clock: 0 }
}

fn learn(seconds: u64) -> Pipeline {
    let mut pipeline = Pipeline::new(Budget::default(), None, 1);
    for i in 0..SERIES {
        let key = match i % 4 {
            0 => SeriesKey::new(metric::CPU_CORE, &[&i.to_string()]),
            1 => SeriesKey::new(metric::DISK_IO, &[&format!("sd{i}"), "write"]),
            2 => SeriesKey::new(metric::NETWORK_IO, &[&format!("eth{i}"), "receive"]),
            _ => SeriesKey::new(metric::TEMPERATURE, &["chip", &i.to_string()]),
        };
        pipeline.index(&key, 0);
    }
    let (mut x, mut told) = (1u64, Vec::new());
    for t in 0..seconds {
        let row: Vec<Option<Reading>> = (0..SERIES)
            .map(|_| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                Some(Ok(0.4 + 0.1 * ((x >> 40) as f64 / f64::from(1u32 << 24))))
            })
            .collect();
        pipeline.tick(t * SECOND, &row, &mut told);
        told.clear();
    }
    pipeline
}

fn keep_a_day(device: &Device, pipeline: &Pipeline) -> (Keeper, [u64; 2]) {
    let runtime = fieldmouse::once::runtime().unwrap();
    runtime.block_on(async {
        let (mut keeper, _) = Keeper::open(Box::new(Folder::new(&device.mount)), Some(2 << 20), 0);
        let mut files = [0; 2];
        for now in (0..DAY).step_by(1000) {
            if now % CHANGE_EVERY == 0 {
                keeper.note_change();
            }
            let Some(file) = keeper.due(now).await else { continue };
            let bytes = match file {
                File::Series => pipeline.save(at(now), 1),
                File::Device => pipeline.save_device(at(now), 1),
            };
            files[usize::from(file == File::Device)] += 1;
            keeper.write(now, file, bytes, now);
            keeper.settle().await;
            assert_eq!(keeper.state.trouble, None);
        }
        (keeper, files)
    })
}
