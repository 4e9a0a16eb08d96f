//! The source over databases that change, and a real dpkg.

use std::process::Command;

use super::*;

/// A machine, and the source on it, which can be started anew.
struct Machine {
    dir: tempfile::TempDir,
    source: Packages,
    out: Readings,
}

// Within a tick of the file system's clock two writes of one size are one: so sizes differ here.
impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Packages::new(Config::default(), &Self::place(dir.path()));
        Self { dir, source, out: Readings::default() }
    }

    fn place(dir: &Path) -> Place {
        Place { state: Some(dir.join("state")), ..Place::at(&dir.join("root")) }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn restart(&mut self) {
        self.source = Packages::new(Config::default(), &Self::place(self.dir.path()));
    }

    /// What is told in three samples: one sees the change, one reads it, one keeps it.
    fn told(&mut self) -> Vec<String> {
        for now in 0..3 {
            self.source.sample(now, &mut self.out).unwrap();
        }
        self.out.told().map(|t| t.fact.text.to_string()).collect()
    }
}

fn stanzas(packages: &[(&str, &str)]) -> String {
    let stanza = |(name, version): &(&str, &str)| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
    };
    packages.iter().map(stanza).collect()
}

const STATUS: &str = "var/lib/dpkg/status";

#[test]
fn what_changes_is_told_also_if_it_changed_while_nobody_looked() {
    let mut machine = Machine::new();
    assert_eq!(machine.told(), [""; 0], "no manager");
    machine.write(STATUS, &stanzas(&[("bash", "5.2"), ("htop", "3.2")]));
    assert_eq!(machine.told(), [""; 0], "all of it is new: that is no news");
    machine.write(STATUS, &stanzas(&[("bash", "5.3.1"), ("htop", "3.2")]));
    assert_eq!(machine.told(), ["package bash upgraded from 5.2 to 5.3.1"]);
    assert_eq!(machine.told(), [""; 0], "once");
    machine.write(STATUS, &stanzas(&[("bash", "5.3.1"), ("curl", "8.0"), ("git", "2.4")]));
    machine.restart();
    assert_eq!(machine.told(), ["2 packages installed, 1 removed: curl 8.0, git 2.4, htop (removed)"]);
    machine.restart();
    assert_eq!(machine.told(), [""; 0], "once, over restarts too");
    // Another manager has packages of its own.
    machine.write("lib/apk/db/installed", "P:musl\nV:1.2.5-r0\nA:x86_64\n");
    assert_eq!(machine.told(), [""; 0]);
    machine.write("lib/apk/db/installed", "P:musl\nV:1.2.6-r10\nA:x86_64\n");
    assert_eq!(machine.told(), ["package musl upgraded from 1.2.5-r0 to 1.2.6-r10"]);
}

#[test]
fn of_some_nothing_is_told() {
    let mut machine = Machine::new();
    machine.source.ignore = vec!["tzdata*".into()];
    machine.write(STATUS, &stanzas(&[("bash", "5.2"), ("tzdata", "2025a")]));
    assert_eq!(machine.told(), [""; 0]);
    machine.write(STATUS, &stanzas(&[("bash", "5.2"), ("tzdata", "2025a-1")]));
    assert_eq!(machine.told(), [""; 0]);
    machine.write(STATUS, &stanzas(&[("bash", "5.3.1"), ("tzdata", "2025b-11")]));
    assert_eq!(machine.told(), ["package bash upgraded from 5.2 to 5.3.1"]);
}

#[test]
fn a_database_that_is_being_written_is_left_alone_but_not_for_ever() {
    let mut machine = Machine::new();
    machine.write(STATUS, &stanzas(&[("bash", "5.2")]));
    assert_eq!(machine.told(), [""; 0]);
    let mut told = 0;
    for i in 0..=MOST_WAITS {
        assert_eq!(told, 0, "it waits for sample {i}");
        machine.write(STATUS, &stanzas(&[("bash", &format!("5.2{}", ".0".repeat(i.into())))]));
        machine.source.sample(0, &mut machine.out).unwrap();
        told += machine.out.told().len();
    }
    assert_eq!(told, 1);
}

/// `cargo test -p fieldmouse cost_of_packages -- --ignored --nocapture`
#[test]
#[ignore = "a benchmark: it prints times of this machine and checks nothing"]
fn cost_of_packages() {
    let mut machine = Machine::new();
    let filler = format!("Description: {}\n", "long text of what it is good for; ".repeat(40));
    let all: String = (0..2000)
        .map(|i| stanzas(&[(&format!("some-package-name-{i}"), "1.22.0-3+deb12u1")]).replace("\nVersion", &format!("\n{filler}Version")))
        .collect();
    machine.write(STATUS, &all);
    let mut look = |text: &str| {
        let start = clock::instant();
        machine.source.sample(0, &mut machine.out).unwrap();
        println!("package_{text} {:.0} us", clock::since(start).as_secs_f64() * 1e6);
    };
    look("stat_and_wait");
    look("read_2000");
    look("write_2000");
    look("idle");
    let state = std::fs::metadata(machine.dir.path().join("state/packages.dpkg")).unwrap().len();
    println!("package_database {} bytes\npackage_state_2000 {state} bytes", all.len());
}

fn run(program: &str, args: &[&std::ffi::OsStr]) {
    let done = Command::new(program).args(args).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output();
    let done = done.unwrap_or_else(|e| panic!("{program}: {e}; install: apt-get install -y dpkg"));
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Builds a package of one file.
fn build(dir: &Path, version: &str) -> PathBuf {
    let tree = dir.join(format!("tree-{version}"));
    std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    std::fs::create_dir_all(tree.join("usr/share/mouse")).unwrap();
    std::fs::write(tree.join("usr/share/mouse/version"), version).unwrap();
    let control = format!(
        "Package: mouse\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a test\n"
    );
    std::fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let deb = dir.join(format!("mouse-{version}.deb"));
    run("dpkg-deb", &["--build".as_ref(), "--root-owner-group".as_ref(), tree.as_os_str(), deb.as_os_str()]);
    deb
}

#[test]
fn a_real_dpkg_installs_upgrades_and_removes() {
    let mut machine = Machine::new();
    let root = machine.root();
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    machine.write(STATUS, "");
    let (one, two) = (build(machine.dir.path(), "1.0-1"), build(machine.dir.path(), "1.0-2"));
    assert_eq!(machine.told(), [""; 0]);
    // Its own tree, its own database: nothing of this machine is touched.
    let dpkg = |words: &[&std::ffi::OsStr]| {
        let here = format!("--root={}", root.display());
        let log = format!("--log={}", root.join("var/log/dpkg.log").display());
        let mut args: Vec<&std::ffi::OsStr> =
            vec![here.as_ref(), log.as_ref(), "--force-not-root".as_ref(), "--force-script-chrootless".as_ref()];
        args.extend(words);
        run("dpkg", &args);
    };
    dpkg(&["--install".as_ref(), one.as_os_str()]);
    assert_eq!(machine.told(), ["package mouse 1.0-1 installed"]);
    dpkg(&["--install".as_ref(), two.as_os_str()]);
    assert_eq!(machine.told(), ["package mouse upgraded from 1.0-1 to 1.0-2"]);
    dpkg(&["--install".as_ref(), one.as_os_str()]);
    assert_eq!(machine.told(), ["package mouse downgraded from 1.0-2 to 1.0-1"]);
    dpkg(&["--remove".as_ref(), "mouse".as_ref()]);
    assert_eq!(machine.told(), ["package mouse 1.0-1 removed"]);
}
