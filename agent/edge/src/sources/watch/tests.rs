//! The source over a folder in which things happen.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;

struct Machine {
    dir: tempfile::TempDir,
    source: Watch,
    out: Readings,
}

impl Machine {
    fn new(paths: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Self::source(dir.path(), paths);
        Self { dir, source, out: Readings::default() }
    }

    fn source(dir: &Path, paths: &[&str]) -> Watch {
        let place = Place { state: Some(dir.join("state")), ..Place::at(&dir.join("root")) };
        Watch::new(Config { paths: paths.iter().map(|p| (*p).to_owned()).collect(), ..Config::default() }, &place)
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.dir.path().join("root").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }

    /// What is told in one whole look.
    fn told(&mut self) -> Vec<String> {
        self.samples();
        self.out.told().map(|t| t.fact.text.to_string()).collect()
    }

    /// How many samples one look takes.
    fn samples(&mut self) -> usize {
        for n in 1..1000 {
            self.source.sample(0, &mut self.out).unwrap();
            if self.source.look.is_none() {
                return n;
            }
        }
        panic!("a look without end");
    }
}

#[test]
fn files_are_made_changed_and_removed() {
    let mut machine = Machine::new(&["/etc/hosts", "/etc/cron.*", "/etc/none", "/etc/link"]);
    machine.write("etc/hosts", "127.0.0.1 localhost\n");
    machine.write("etc/cron.d/backup", "0 3 * * * root backup\n");
    machine.write("etc/passwd", "not watched\n");
    assert_eq!(machine.told(), [""; 0], "all of it is new: that is no news");
    assert_eq!(machine.told(), [""; 0]);

    // Of one size, and within the same tick of the file system's clock.
    machine.write("etc/hosts", "127.0.0.2 localhost\n");
    let told = machine.told();
    assert!(told[0].starts_with("/etc/hosts changed: 20 bytes as before, others, sha256 "), "{told:?}");
    machine.write("etc/hosts", "127.0.0.2 localhost\n");
    assert_eq!(machine.told(), [""; 0], "what is written again as it was is no change");
    std::fs::set_permissions(machine.path("etc/hosts"), PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(machine.told(), ["/etc/hosts changed: mode 644 to 600"]);

    machine.write("etc/cron.d/deep/er/x", "1");
    machine.write("etc/cron.d/y.swp", "an editor's");
    std::fs::remove_file(machine.path("etc/cron.d/backup")).unwrap();
    symlink("/etc/hosts", machine.path("etc/link")).unwrap();
    assert_eq!(
        machine.told(),
        ["2 files made, 1 removed: /etc/cron.d/backup, /etc/cron.d/deep/er/x, /etc/link"]
    );
    assert_eq!(machine.told(), [""; 0]);
}

#[test]
fn what_changed_while_nobody_looked_is_told_at_the_start() {
    let paths = ["/etc/systemd/system"];
    let mut machine = Machine::new(&paths);
    machine.write("etc/systemd/system/web.service", "[Service]\n");
    assert_eq!(machine.told(), [""; 0]);
    assert_eq!(machine.told(), [""; 0]);
    machine.write("etc/systemd/system/web.service.d/limit.conf", "[Service]\nMemoryMax=1G\n");
    machine.source = Machine::source(machine.dir.path(), &paths);
    let told = machine.told();
    assert!(told.len() == 1 && told[0].starts_with("unit web.service.d/limit.conf made: 23 bytes"), "{told:?}");
    let killed = std::mem::replace(&mut machine.source, Machine::source(machine.dir.path(), &paths));
    std::mem::forget(killed);
    assert_eq!(machine.told().len(), 1, "twice rather than not at all: it was not kept yet");
    assert_eq!(machine.told(), [""; 0]);
    machine.source = Machine::source(machine.dir.path(), &paths);
    assert_eq!(machine.told(), [""; 0]);
}

#[test]
fn much_to_hash_takes_several_samples_and_too_much_is_told() {
    let mut machine = Machine::new(&["/data"]);
    for i in 0..9 {
        machine.write(&format!("data/{i}"), &"x".repeat(1 << 20));
    }
    assert!(machine.samples() > 3, "2 MiB a sample");
    assert_eq!(machine.out.told().len(), 0);
    for i in 9..2010 {
        machine.write(&format!("data/{i}"), "");
    }
    let error = (0..100).find_map(|_| machine.source.sample(0, &mut machine.out).err()).expect("ten files too many");
    assert_eq!(error.what, "2000 files are watched and 10 are not: name less in source.watch.paths");
}

#[test]
fn what_is_no_file_is_left_alone() {
    let mut machine = Machine::new(&["/etc"]);
    machine.write("etc/a", "");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        machine.path("etc/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    symlink("loop", machine.path("etc/loop")).unwrap();
    assert_eq!(machine.told(), [""; 0]);
    assert_eq!(machine.source.kept.last(&mut machine.out).unwrap().len(), 2);
}

#[test]
fn odd_paths_are_refused() {
    let check = |paths: &[&str], want: &str| {
        let keys = toml::Table::from_iter([("paths".to_owned(), toml::Value::from(paths.to_vec()))]);
        let Err(e) = (KIND.build)(keys, &Place::default()) else { panic!("{paths:?}") };
        assert_eq!(e.to_string(), want);
    };
    check(&["etc/hosts"], "in [source.watch]: `paths`: `etc/hosts` does not begin with /");
    check(&["/a"; 300], "in [source.watch]: `paths`: 300 of them; at most 256");
}

/// `cargo test -p fieldmouse cost_of_watching -- --ignored --nocapture`
#[test]
#[ignore = "a benchmark: it prints times of this machine and checks nothing"]
fn cost_of_watching() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place { state: Some(dir.path().join("state")), ..Place::at(Path::new("/")) };
    let mut source = Watch::new(Config::default(), &place);
    let mut out = Readings::default();
    for text in ["first", "second", "idle"] {
        let start = crate::clock::instant();
        source.sample(0, &mut out).unwrap();
        println!("watch_{text} {:.0} us", crate::clock::since(start).as_secs_f64() * 1e6);
    }
    let last = source.kept.last(&mut out).unwrap();
    println!("watch_files {} files\nwatch_memory {} bytes", last.len(), last.bytes());
    let state = std::fs::metadata(dir.path().join("state/files")).unwrap().len();
    println!("watch_state {state} bytes");
}
