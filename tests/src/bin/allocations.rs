//! How often a steady tick asks for memory: none in core, few in edge; and what templates of logs hold. A program of its own, because it counts for the
//! whole process and tests beside it would be counted too.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its trait; this one only counts")]
#![expect(clippy::print_stdout, reason = "the figure is what it is for")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fieldmouse::budget::Budget;
use fieldmouse::logs::book::{Book, Record};
use fieldmouse::pipeline::Pipeline;
use fieldmouse::sampler::{Sampler, default_sources};
use fieldmouse::scorer::{Forecaster, SHIPPED};
use fieldmouse::sources::{Place, Readings};
use fieldmouse_core::episode::{Episodes, Times};
use fieldmouse_core::judge::{Rules, Series};
use fieldmouse_core::logs::line::Line;
use fieldmouse_core::logs::mask::Masker;
use fieldmouse_core::metric;
use fieldmouse_core::series::SeriesKey;
use fieldmouse_core::surprise::Threshold;
use fieldmouse_tests::bench::logs;

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);
/// Bytes that are held.
static HELD: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(size as u64, Ordering::Relaxed);
        HELD.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TICKS: u64 = 20;

fn per_tick(mut tick: impl FnMut(u64)) -> f64 {
    for t in 0..100 {
        tick(t);
    }
    let before = COUNT.load(Ordering::Relaxed);
    for t in 100..100 + TICKS {
        tick(t);
    }
    (COUNT.load(Ordering::Relaxed) - before) as f64 / TICKS as f64
}

fn core() -> f64 {
    let keys: Vec<SeriesKey> =
        (0..200).map(|i: u32| SeriesKey::new(metric::CPU_CORE, &[&i.to_string()])).collect();
    let mut series = vec![Series::default(); keys.len()];
    let threshold = Threshold::of_budget(1.0, 604_800e3, 200, 1000.0, 5000.0);
    let rules = Rules { threshold, overrides: Default::default() };
    let mut episodes = Episodes::new(Times::for_tick(1000), 1);
    per_tick(|t| {
        for (i, (s, key)) in series.iter_mut().zip(&keys).enumerate() {
            let x = (t * 31 + i as u64 * 17) % 100;
            s.observe(key.metric(), &rules, 1000 * t, Ok(x as f64 / 1000.0));
        }
        episodes.step(1000 * t, &keys, &series, &mut |_| {});
    })
}

/// With the model and without: what the runtime of the model asks for is told apart, because it is not ours.
fn edge(forecaster: Option<Forecaster>) -> (f64, usize) {
    let runtime = fieldmouse::once::runtime().expect("a runtime");
    let mut pipeline = Pipeline::new(Budget::default(), forecaster, 1);
    // Only the sources that run at every tick: the others would show as noise.
    let sources = default_sources().into_iter().filter(|s| s.every_ms <= 1000).collect::<Vec<_>>();
    let deadline = Duration::from_millis(800);
    let mut sampler =
        Sampler::new(&sources, &Place::at(Path::new("/")), deadline, 1000).expect("the default sources");
    let mut told = Vec::new();
    let count = per_tick(|t| {
        let now = 1000 * (t + 1);
        let readings = runtime.block_on(sampler.sample(now, &mut pipeline)).to_vec();
        pipeline.tick(now, &readings, &mut told);
        told.clear();
    });
    // The copy of the readings is this test's own.
    (count - 1.0, pipeline.keys().len())
}

/// The miner with 1,000 templates: bytes held, and how often a line of a known template asks for memory.
fn logs() -> (u64, f64, usize) {
    let text = logs::generated(1, 20 * logs::STATEMENTS);
    let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    let before = HELD.load(Ordering::Relaxed);
    let mut miner = logs::learn(&lines);
    let held = HELD.load(Ordering::Relaxed) - before;
    let (mut masker, mut line) = (Masker::default(), Line::default());
    let count = per_tick(|t| {
        masker.mask(lines[t as usize], &mut line);
        miner.learn(&line);
    });
    (held, count, miner.templates().count())
}

/// A book with as many templates: bytes held, and how often a line of a known template and a quiet tick ask for memory.
fn book() -> (u64, f64, f64) {
    let text = logs::generated(1, 20 * logs::STATEMENTS);
    let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    let before = HELD.load(Ordering::Relaxed);
    let (mut book, _) = logs::take(&lines);
    let held = HELD.load(Ordering::Relaxed) - before;
    let take = |book: &mut Book, t: u64| {
        book.take(&Record { stream: "bench", severity: None, text: lines[t as usize], wall_ms: None });
    };
    let per_line = per_tick(|t| take(&mut book, t));
    let mut out = Readings::default();
    let per_tick = per_tick(|t| {
        take(&mut book, t);
        out.begin();
        book.tick(1000 * (100 + t), &mut out);
    });
    (held, per_line, per_tick)
}

fn main() {
    let (bytes, per_line, per_tick) = book();
    println!("book_memory {bytes} By");
    println!("allocations_book_per_line {per_line} count");
    println!("allocations_book_per_tick {per_tick} count");
    assert!(bytes <= 1 << 20, "a book of {} templates takes {bytes} bytes", logs::STATEMENTS);
    assert!(per_line == 0.0 && per_tick < 1.0, "a line of a known template or a quiet tick asked for memory");
    let (bytes, per_line, templates) = logs();
    println!("logs_templates {templates} count");
    println!("logs_memory {bytes} By");
    println!("allocations_logs_per_line {per_line} count");
    assert!(templates >= 900 && bytes <= 1 << 20, "{templates} templates take {bytes} bytes");
    assert!(per_line == 0.0, "a line of a known template asked for memory");
    let core = core();
    let (edge, series) = edge(None);
    let (all, _) = self::edge(Some(Forecaster::new(SHIPPED).expect("the shipped model")));
    println!("series {series} count");
    println!("allocations_core_per_tick {core} count");
    println!("allocations_edge_per_tick {edge} count");
    println!("allocations_model_runtime_per_tick {} count", all - edge);
    assert!(core == 0.0, "core asked for memory in a steady tick");
    assert!(edge <= 50.0, "edge asked for memory {edge} times in a steady tick");
}
