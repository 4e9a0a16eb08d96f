use fieldmouse_core::metric;

use super::scan::name;
use super::*;

/// A machine whose processes do as they are told.
struct Machine {
    root: tempfile::TempDir,
    culprits: Culprits,
}

/// Number, name, parent; what it has used so far.
#[derive(Clone, Copy, Default)]
struct P {
    pid: u32,
    name: &'static str,
    parent: u32,
    cpu: u64,
    child_cpu: u64,
    child_faults: u64,
    rss: u64,
    io: u64,
    wrote: u64,
    start: u64,
    waits: bool,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let culprits = Culprits::new(root.path());
        Self { root, culprits }
    }

    fn shows(&mut self, forks: u64, processes: &[P]) -> &mut Self {
        let proc = self.root.path().join("proc");
        if proc.exists() {
            std::fs::remove_dir_all(&proc).unwrap();
        }
        for p in processes {
            let dir = proc.join(p.pid.to_string());
            std::fs::create_dir_all(&dir).unwrap();
            let P { pid, name, parent, cpu, child_cpu, child_faults, rss, io, wrote, start, waits } = p;
            let state = if *waits { 'D' } else { 'S' };
            let stat = format!(
                "{pid} ({name}) {state} {parent} 1 1 0 -1 0 9 {child_faults} 0 0 {cpu} 0 {child_cpu} 0 20 0 1 0 {start} 0 {rss} 0\n"
            );
            std::fs::write(dir.join("stat"), stat).unwrap();
            std::fs::write(dir.join("io"), format!("wchar: {wrote}\nread_bytes: {io}\nwrite_bytes: 0\n"))
                .unwrap();
        }
        std::fs::write(proc.join("stat"), format!("cpu 1 2 3 4\nprocesses {forks}\n")).unwrap();
        self
    }

    fn blame(&mut self, group: Group, now: Millis) -> Option<(String, u32, u16, f32)> {
        let c = self.culprits.blame(&of(group), now, now)?.culprit;
        Some((c.name.as_str().to_owned(), c.pid, c.count, c.amount))
    }

    /// How much more than its usual the culprit has used since the onset.
    fn beyond(&mut self, group: Group, onset: Millis, now: Millis) -> Option<f32> {
        self.culprits.blame(&of(group), onset, now)?.beyond
    }
}

/// A series of this part of the device.
fn of(group: Group) -> SeriesKey {
    SeriesKey::new(metric::METRICS.iter().find(|m| m.group == group).unwrap().code, &["/"])
}

fn p(pid: u32, name: &'static str) -> P {
    P { pid, name, parent: 1, ..P::default() }
}

fn named(name: &str, pid: u32, count: u16, amount: f32) -> Option<(String, u32, u16, f32)> {
    Some((name.to_owned(), pid, count, amount))
}

fn ticks(seconds: u64) -> u64 {
    seconds * rustix::param::clock_ticks_per_second()
}

#[test]
fn processor_time_is_summed_by_name() {
    let mut m = Machine::new();
    m.shows(0, &[p(5, "db"), p(6, "db"), p(7, "web")]).culprits.observe(0);
    m.shows(
        0,
        &[
            P { cpu: ticks(6), ..p(5, "db") },
            P { cpu: ticks(4), ..p(6, "db") },
            P { cpu: ticks(8), ..p(7, "web") },
        ],
    );
    assert_eq!(m.blame(Group::Cpu, 10_000), named("db", 0, 2, 1.0));
    assert_eq!(m.blame(Group::Network, 10_000), None);
}

#[test]
fn what_is_beyond_the_usual_was_done_since_the_onset() {
    let mut m = Machine::new();
    let at = |s: u64| [P { cpu: ticks(s), ..p(5, "db") }];
    m.shows(0, &at(0)).culprits.observe(0);
    m.shows(0, &at(5)).culprits.observe(10_000);
    assert_eq!(m.shows(0, &at(7)).beyond(Group::Cpu, 13_000, 14_000), Some(0.0), "half a core, as before");
    // Half a core for ten seconds is five; eight more were used in the last four seconds.
    let near = |x: Option<f32>, wanted: f32| assert!(x.is_some_and(|x| (x - wanted).abs() < 1e-4), "{x:?}");
    near(m.shows(0, &at(18)).beyond(Group::Cpu, 16_000, 20_000), 2.0);
    near(m.beyond(Group::Cpu, 2000, 20_000), 0.8);
}

#[test]
fn who_is_busy_and_has_sockets_is_at_work_on_the_network() {
    let mut m = Machine::new();
    let processes = [p(5, "iperf3"), p(6, "cc")];
    m.shows(0, &processes).culprits.observe(0);
    let busy = [P { cpu: ticks(4), ..p(5, "iperf3") }, P { cpu: ticks(9), ..p(6, "cc") }];
    m.shows(0, &busy);
    let proc = m.root.path().join("proc");
    std::fs::create_dir(proc.join("net")).unwrap();
    let head =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    let line = "   0: 0100007F:0CEA 0100007F:9C40 01 00000000:00000000 00:00000000 00000000   109        0 24567 1\n";
    std::fs::write(proc.join("net/tcp"), format!("{head}{line}")).unwrap();
    for (pid, target) in [(5, "socket:[24567]"), (6, "socket:[999]"), (6, "/dev/null")] {
        let fd = proc.join(format!("{pid}/fd"));
        std::fs::create_dir_all(&fd).unwrap();
        std::os::unix::fs::symlink(target, fd.join(target.len().to_string())).unwrap();
    }
    assert_eq!(m.blame(Group::Network, 10_000), named("iperf3", 5, 1, 0.4));
    let files = SeriesKey::new(metric::FILE_DESCRIPTORS, &[]);
    let most = m.culprits.blame(&files, 9000, 10_000).unwrap().culprit;
    assert_eq!((most.name.as_str(), most.amount), ("cc", 2.0), "who has most files open");
}

#[test]
fn who_fills_a_file_system_has_files_there() {
    let mut m = Machine::new();
    m.shows(0, &[p(5, "log"), p(6, "cc")]).culprits.observe(0);
    let log = P { wrote: 9_000_000, cpu: 1, ..p(5, "log") };
    let cc = P { wrote: 90_000_000, io: 90_000_000, cpu: 9, ..p(6, "cc") };
    m.shows(0, &[log, cc]);
    for (pid, target) in [(5, "/mnt/ram/big"), (6, "/home/a.o")] {
        let fd = m.root.path().join(format!("proc/{pid}/fd"));
        std::fs::create_dir_all(&fd).unwrap();
        std::os::unix::fs::symlink(target, fd.join("3")).unwrap();
    }
    for (mount, culprit) in [("/mnt/ram", "log"), ("/", "cc"), ("/var", "cc")] {
        let key = SeriesKey::new(metric::FILESYSTEM_USED, &[mount]);
        let found = m.culprits.blame(&key, 9000, 10_000).unwrap().culprit;
        assert_eq!(found.name, culprit, "{mount}");
    }
}

#[test]
fn children_that_ended_count_for_their_parent_but_not_twice() {
    let mut m = Machine::new();
    let known = P { cpu: ticks(100), parent: 9, ..p(50, "cc") };
    m.shows(0, &[p(9, "make"), known, p(60, "web")]).culprits.observe(0);
    m.shows(0, &[P { child_cpu: ticks(105), ..p(9, "make") }, P { cpu: ticks(3), ..p(60, "web") }]);
    assert_eq!(m.blame(Group::Cpu, 10_000), named("make", 9, 1, 0.5));
}

#[test]
fn what_a_grandchild_wrote_is_not_its_heirs() {
    let mut m = Machine::new();
    let job = P { parent: 9, ..p(50, "job") };
    let writer = P { parent: 50, io: 50_000_000, ..p(51, "writer") };
    m.shows(0, &[p(9, "cron"), job, writer, p(60, "web")]).culprits.observe(0);
    m.shows(0, &[P { io: 60_000_000, child_faults: 40, ..p(9, "cron") }, p(60, "web")]);
    assert_eq!(m.blame(Group::Disk, 10_000), named("writer", 0, 1, 1e6));
}

#[test]
fn a_number_used_again_is_another_process() {
    let mut m = Machine::new();
    m.shows(0, &[P { cpu: ticks(90), ..p(5, "old") }]).culprits.observe(0);
    m.shows(0, &[P { cpu: ticks(10), start: 700, ..p(5, "new") }]);
    assert_eq!(m.blame(Group::Cpu, 10_000), named("new", 5, 1, 1.0));
}

#[test]
fn the_youngest_look_may_be_too_young() {
    let mut m = Machine::new();
    m.shows(0, &[p(5, "db")]);
    assert_eq!(m.blame(Group::Cpu, 1000), None, "nothing to compare with");
    m.culprits.observe(0);
    m.shows(0, &[P { cpu: ticks(10), ..p(5, "db") }]).culprits.observe(10_000);
    assert_eq!(m.blame(Group::Cpu, 10_001).map(|c| c.0), Some("db".to_owned()), "since the look before");
    assert_eq!(m.blame(Group::Cpu, 13_000), None, "since the last look it did nothing");
}

#[test]
fn memory_is_growth_within_minutes_else_size() {
    let mut m = Machine::new();
    let page = rustix::param::page_size() as u64;
    let pages = |bytes: u64| bytes / page;
    let large = P { rss: pages(1 << 30), ..p(5, "db") };
    m.shows(0, &[large, p(6, "leak")]);
    assert_eq!(m.blame(Group::Memory, 0), named("db", 5, 1, (1 << 30) as f32));
    m.culprits.observe(0);
    m.shows(0, &[large, P { rss: pages(8 << 20), ..p(6, "leak") }]).culprits.observe(60_000);
    m.shows(0, &[large, P { rss: pages(9 << 20), ..p(6, "leak") }]);
    assert_eq!(m.blame(Group::Memory, 70_000), named("leak", 6, 1, (9 << 20) as f32));
}

#[test]
fn bytes_read_and_written_are_per_second() {
    let mut m = Machine::new();
    let done = P { io: 9_000_000, cpu: 1, ..p(5, "backup") };
    m.shows(0, &[done, p(6, "idle")]).culprits.observe(0);
    m.shows(0, &[P { io: 19_000_000, cpu: 2, ..done }, p(6, "idle")]);
    assert_eq!(m.blame(Group::Disk, 10_000), named("backup", 5, 1, 1e6));
    assert_eq!(m.blame(Group::Filesystem, 10_000), named("backup", 5, 1, 1e6));
}

#[test]
fn who_waits_for_a_disk_is_named_where_nobody_reads_or_writes() {
    let mut m = Machine::new();
    m.shows(0, &[p(5, "syncer"), p(6, "syncer"), p(7, "idle")]).culprits.observe(0);
    let waits = |pid| P { waits: true, ..p(pid, "syncer") };
    let kernel = P { waits: true, parent: 2, ..p(8, "kworker/0:1") };
    m.shows(0, &[waits(5), waits(6), p(7, "idle"), kernel]);
    assert_eq!(m.blame(Group::Disk, 10_000), named("syncer", 0, 2, 0.0));
    let writer = P { io: 10_000_000, cpu: 1, ..p(7, "idle") };
    m.shows(0, &[waits(5), waits(6), writer, kernel]);
    assert_eq!(m.blame(Group::Disk, 12_000), named("idle", 7, 1, 10e6 / 12.0));
}

#[test]
fn short_lives_show_at_their_parent() {
    let mut m = Machine::new();
    m.shows(1000, &[p(9, "cron"), p(10, "web")]).culprits.observe(0);
    m.shows(1500, &[P { child_faults: 60_000, ..p(9, "cron") }, p(10, "web"), p(11, "sh")]);
    assert_eq!(m.blame(Group::Process, 10_000), named("cron", 9, 1, 49.9));
}

#[test]
fn new_processes_are_counted_by_name() {
    let mut m = Machine::new();
    m.shows(7, &[p(9, "web")]).culprits.observe(0);
    let many: Vec<P> = (0..40).map(|i| p(100 + i, "worker")).chain([p(9, "web"), p(10, "sh")]).collect();
    m.shows(7, &many);
    assert_eq!(m.blame(Group::Process, 10_000), named("worker", 0, 40, 4.0));
}

#[test]
fn the_agent_is_named_only_where_nobody_comes_near() {
    let mut m = Machine::new();
    m.culprits.own = Some(5);
    m.shows(0, &[p(5, "fieldmouse"), p(6, "web")]).culprits.observe(0);
    m.shows(0, &[P { cpu: ticks(9), ..p(5, "fieldmouse") }, P { cpu: ticks(5), ..p(6, "web") }]);
    assert_eq!(m.blame(Group::Cpu, 10_000).map(|c| c.0), Some("web".to_owned()));
    m.shows(0, &[P { cpu: ticks(9), ..p(5, "fieldmouse") }, P { cpu: ticks(4), ..p(6, "web") }]);
    assert_eq!(m.blame(Group::Cpu, 10_001).map(|c| c.0), Some("fieldmouse".to_owned()));
}

#[test]
fn the_top_is_of_the_last_two_looks() {
    let mut m = Machine::new();
    m.shows(0, &[p(5, "db"), P { rss: 10, ..p(6, "web") }]).culprits.observe(0);
    assert!(m.culprits.top(3).cpu.is_empty());
    m.shows(0, &[P { cpu: ticks(1), rss: 5, ..p(5, "db") }, P { rss: 10, ..p(6, "web") }])
        .culprits
        .observe(1000);
    let top = m.culprits.top(1);
    assert_eq!((top.cpu[0].name.as_str(), top.cpu[0].amount), ("db", 1.0));
    assert_eq!((top.memory.len(), top.memory[0].name.as_str()), (1, "web"));
}

#[test]
fn kernel_threads_share_a_name() {
    let text = b"31 (kworker/u8:1-ev) I 2 0 0 0 -1 69238880 0 0 0 0 0 7 0 0 20 0 1 0 9 0 0 0";
    assert_eq!(name(&crate::sources::parse_stat(text).unwrap()), "kworker");
    let text = b"31 (a/b) S 1 0 0 0 -1 69238880 0 0 0 0 0 7 0 0 20 0 1 0 9 0 0 0";
    assert_eq!(name(&crate::sources::parse_stat(text).unwrap()), "a/b");
}

#[test]
fn nothing_to_see_blames_nobody() {
    let mut culprits = Culprits::new(Path::new("/nowhere"));
    culprits.observe(0);
    for group in [Group::Cpu, Group::Memory, Group::Disk, Group::Process] {
        assert_eq!(culprits.blame(&of(group), 5000, 10_000), None);
    }
    assert_eq!(culprits.top(3), Top::default());
}
