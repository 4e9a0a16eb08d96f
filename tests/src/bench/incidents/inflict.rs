//! The incidents: what is done to this machine, and what a person would call its first sign.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is done.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// stress-ng with these words.
    Stress(&'static str),
    /// A program in Python that takes something bit by bit.
    Leak(&'static str),
    /// The sensor of the `file` source stands still.
    Freeze,
}

/// An incident.
#[derive(Debug, Clone, Copy)]
pub struct Incident {
    /// Its name in the table.
    pub name: &'static str,
    /// What is done.
    pub fault: Fault,
    /// Series that may be the first contributor: their names begin so.
    pub first: &'static [&'static str],
    /// The name of the process behind it begins so.
    pub culprit: Option<&'static str>,
    /// Seen within so many seconds is in time: of a leak, when half of the resource is gone.
    pub in_time_s: f64,
}

/// Size of the file system that is filled, and bytes a second.
const FILL_MIB: u32 = 240;

/// 3 MiB a second, so half is gone after 40 s.
const FILL: &str = "
import os, sys, time
with open(sys.argv[1] + '/filling', 'wb') as f:
    while True:
        try:
            f.write(bytes(300 * 1024)); f.flush()
        except OSError:
            pass
        time.sleep(0.1)
";

/// 200 a second of 20,000, so half is gone after 50 s.
const DESCRIPTORS: &str = "
import os, resource, time
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, max(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
while True:
    try:
        for _ in range(20):
            os.open('/dev/null', os.O_RDONLY)
    except OSError:
        pass
    time.sleep(0.1)
";

const WITHIN: f64 = 10.0;

/// All of them, in the order in which they are done.
pub const INCIDENTS: [Incident; 9] = [
    Incident {
        name: "cpu",
        fault: Fault::Stress("--cpu 0"),
        first: &["system.cpu.", "system.linux.cpu.", "system.linux.pressure.stall{resource=cpu"],
        culprit: Some("stress-ng"),
        in_time_s: WITHIN,
    },
    Incident {
        name: "vm",
        fault: Fault::Stress("--vm 1 --vm-bytes 25% --vm-keep"),
        first: &["system.memory.", "system.paging.", "system.linux.pressure.stall{resource=memory"],
        culprit: Some("stress-ng"),
        in_time_s: WITHIN,
    },
    Incident {
        name: "io",
        fault: Fault::Stress("--io 4"),
        first: &[
            "system.disk.",
            "system.memory.linux.dirty",
            "system.memory.linux.writeback",
            "system.linux.pressure.stall{resource=io",
            "system.cpu.utilization{cpu.mode=iowait}",
            "system.cpu.utilization{cpu.mode=system}",
        ],
        culprit: Some("stress-ng"),
        in_time_s: WITHIN,
    },
    Incident {
        name: "hdd",
        fault: Fault::Stress("--hdd 1"),
        first: &[
            "system.disk.",
            "system.memory.linux.dirty",
            "system.memory.linux.writeback",
            "system.linux.pressure.stall{resource=io",
        ],
        culprit: Some("stress-ng"),
        in_time_s: WITHIN,
    },
    Incident {
        name: "fork",
        fault: Fault::Stress("--fork 4"),
        first: &["system.process.", "system.thread."],
        culprit: Some("stress-ng"),
        in_time_s: WITHIN,
    },
    Incident {
        name: "sock",
        fault: Fault::Stress("--sock 2"),
        first: &["system.network.", "system.linux.sockets", "system.linux.tcp."],
        culprit: Some("stress-ng"),
        in_time_s: WITHIN,
    },
    Incident {
        name: "disk fill",
        fault: Fault::Leak(FILL),
        first: &["system.filesystem."],
        culprit: Some("python3"),
        in_time_s: 40.0,
    },
    Incident {
        name: "fd leak",
        fault: Fault::Leak(DESCRIPTORS),
        first: &["system.linux.file_descriptor."],
        culprit: Some("python3"),
        in_time_s: 50.0,
    },
    Incident {
        name: "sensor freeze",
        fault: Fault::Freeze,
        first: &["sensor.value"],
        culprit: None,
        in_time_s: WITHIN,
    },
];

/// A small file system of its own, gone when this is.
#[derive(Debug)]
pub struct Small(pub PathBuf);

impl Small {
    /// Mounts it below `dir`.
    #[must_use]
    pub fn mounted(dir: &Path) -> Self {
        let place = dir.join("small");
        std::fs::create_dir(&place).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={FILL_MIB}m"), "small"])
            .arg(&place)
            .status();
        assert!(mount.is_ok_and(|s| s.success()), "a tmpfs cannot be mounted; run as root");
        Self(place)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // What cannot be unmounted now goes when the last who uses it does.
        let _told = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A sensor of the `file` source that somebody writes every second.
#[derive(Debug)]
pub struct Sensor {
    state: Arc<(AtomicBool, AtomicBool)>,
    thread: Option<JoinHandle<()>>,
}

impl Sensor {
    /// Writes `dir/sensor` until dropped.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let (path, state) = (dir.join("sensor"), Arc::new((AtomicBool::new(false), AtomicBool::new(false))));
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let mut x = 7u32;
            while !shared.1.load(Ordering::Relaxed) {
                if !shared.0.load(Ordering::Relaxed) {
                    x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                }
                std::fs::write(&path, format!("{:.2}\n", 40.0 + f64::from(x >> 16) / 65_536.0)).unwrap();
                std::thread::park_timeout(Duration::from_secs(1));
            }
        });
        Self { state, thread: Some(thread) }
    }

    fn freeze(&self, frozen: bool) {
        self.state.0.store(frozen, Ordering::Relaxed);
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.state.1.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing to say.
            let _ended = thread.join();
        }
    }
}

/// A fault that goes on until this is dropped.
#[derive(Debug)]
pub struct Going<'a> {
    child: Option<Child>,
    sensor: &'a Sensor,
    filling: PathBuf,
}

impl<'a> Going<'a> {
    /// Begins it.
    #[must_use]
    pub fn start(fault: Fault, scratch: &Path, small: &Small, sensor: &'a Sensor) -> Self {
        let mut command = match fault {
            Fault::Stress(words) => {
                let mut command = Command::new("stress-ng");
                command.args(words.split(' ')).arg("--temp-path").arg(scratch);
                command
            }
            Fault::Leak(script) => {
                let mut command = Command::new("python3");
                command.args(["-c", script]).arg(&small.0);
                command
            }
            Fault::Freeze => {
                sensor.freeze(true);
                return Self { child: None, sensor, filling: PathBuf::new() };
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| {
            let program = command.get_program().display();
            panic!("{program}: {e}; install it: apt-get install {program}")
        });
        Self { child: Some(child), sensor, filling: small.0.join("filling") }
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.sensor.freeze(false);
        if let Some(child) = &mut self.child {
            let pid = rustix::process::Pid::from_child(child);
            // It may have ended already. stress-ng ends its own children on this signal; an interrupt is ignored by whatever was
            // started in the background of a shell.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _gone = child.wait();
        }
        // Only one of them left it.
        let _gone = std::fs::remove_file(&self.filling);
    }
}
