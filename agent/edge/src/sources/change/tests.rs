//! The source over a machine that changes.

use std::os::unix::fs::symlink;

use super::*;
use crate::sources::Place;

struct Machine {
    dir: tempfile::TempDir,
    source: Box<dyn Source>,
    out: Readings,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Self::source(dir.path());
        Self { dir, source, out: Readings::default() }
    }

    fn source(dir: &Path) -> Box<dyn Source> {
        let place = Place { state: Some(dir.join("state")), ..Place::at(&dir.join("root")) };
        (KIND.build)(toml::Table::new(), &place).unwrap()
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.dir.path().join("root").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }

    fn zone(&self, zone: &str) {
        let link = self.path("etc/localtime");
        // There may be none yet.
        let _none = std::fs::remove_file(&link);
        symlink(format!("/usr/share/zoneinfo/{zone}"), link).unwrap();
    }

    fn container(&self, name: &str, image: &str, id: &str) {
        let text = format!(
            r#"{{"Name":"/{name}","Image":"sha256:{id}","Config":{{"Image":"{image}"}},"State":{{"Running":true}}}}"#
        );
        self.write(&format!("var/lib/docker/containers/{name}/config.v2.json"), &text);
    }

    /// Starts the agent anew.
    fn restart(&mut self) {
        self.source = Self::source(self.dir.path());
    }

    /// What is told in two samples: one sees it, one keeps it.
    fn told(&mut self) -> Vec<String> {
        for now in 0..2 {
            self.source.sample(now, &mut self.out).unwrap();
        }
        self.out.told().map(|t| format!("{} {}: {}", t.severity, t.fact.kind, t.fact.text)).collect()
    }
}

const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";
const RELEASE: &str = "proc/sys/kernel/osrelease";

#[test]
fn a_reboot_into_another_kernel_a_new_name_and_a_new_zone() {
    let mut machine = Machine::new();
    assert_eq!(machine.told(), [""; 0], "nothing is known");
    machine.write(BOOT_ID, "11\n");
    machine.write(RELEASE, "6.1.0-20-amd64\n");
    machine.write("proc/sys/kernel/hostname", "press-4\n");
    machine.zone("Europe/Berlin");
    assert_eq!(machine.told(), [""; 0], "what was not known before is no news");
    machine.zone("Asia/Tokyo");
    machine.write("proc/sys/kernel/hostname", "press-5\n");
    assert_eq!(
        machine.told(),
        [
            "9 host-name: the host is called press-5, no longer press-4",
            "9 time-zone: time zone Asia/Tokyo, no longer Europe/Berlin"
        ]
    );
    machine.write(BOOT_ID, "12\n");
    machine.write(RELEASE, "6.1.0-21-amd64\n");
    machine.restart();
    assert_eq!(
        machine.told(),
        ["9 boot: the machine was started again", "9 kernel: kernel 6.1.0-21-amd64, no longer 6.1.0-20-amd64"]
    );
    assert_eq!(machine.told(), [""; 0]);
    let record = |kind: u8| [vec![kind], vec![0; 383]].concat();
    std::fs::write(machine.path("var/log/wtmp"), [record(2), record(2)].concat()).unwrap();
    machine.write(BOOT_ID, "13\n");
    machine.restart();
    assert_eq!(machine.told(), ["13 boot: the machine was started again, and had not been shut down in good order"]);
}

#[test]
fn zones_are_known_in_several_ways() {
    let machine = Machine::new();
    let root = machine.dir.path().join("root");
    assert_eq!(zone(&root), None);
    machine.write("etc/TZ", "CET-1CEST,M3.5.0,M10.5.0/3\n");
    assert_eq!(zone(&root).as_deref(), Some("CET-1CEST,M3.5.0,M10.5.0/3"));
    machine.write("etc/timezone", "Europe/Paris\n");
    assert_eq!(zone(&root).as_deref(), Some("Europe/Paris"));
    machine.zone("America/Lima");
    assert_eq!(zone(&root).as_deref(), Some("America/Lima"));
}

#[test]
fn images_count_and_not_their_containers() {
    let mut machine = Machine::new();
    machine.container("web", "app:latest", "aaaaaaaaaaaa11");
    assert_eq!(machine.told(), [""; 0]);
    machine.container("job-1", "job:1", "cccccccccccc11");
    assert_eq!(machine.told(), ["9 image: image job:1 (cccccccccccc) is new here, in container job-1"]);
    std::fs::remove_dir_all(machine.path("var/lib/docker/containers/job-1")).unwrap();
    assert_eq!(machine.told(), [""; 0]);
    machine.restart();
    machine.container("job-2", "job:1", "cccccccccccc11");
    assert_eq!(machine.told(), [""; 0], "its next container is no change");
    machine.container("web", "app:latest", "bbbbbbbbbbbb11");
    assert_eq!(
        machine.told(),
        ["9 image: image app:latest is bbbbbbbbbbbb now, no longer aaaaaaaaaaaa, in container web"]
    );
    assert_eq!(machine.told(), [""; 0]);
}
