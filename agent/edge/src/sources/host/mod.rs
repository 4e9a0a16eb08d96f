//! The machine itself: processor, pressure, memory, block devices, network, kernel tables.
//!
//! From `/proc`, every second. Counters are handed on as they stand; what the kernel gives as time spent becomes a
//! share of the time since the last sample. Nothing here asks one file per process, connection or partition.

mod cpu;
mod disk;
mod kernel;
mod memory;
mod network;
mod pressure;

use std::path::Path;

use fieldmouse_core::series::Millis;
use serde::Deserialize;

use super::{Kind, Readings, Source, SourceError};

pub(super) const KIND: Kind = Kind {
    name: "host",
    about: "processor, pressure, memory, disks, network and kernel tables, from /proc",
    every_ms: 1000,
    build: |table, place| Ok(Box::new(Host::new(&super::config(KIND.name, table)?, &place.root))),
};

/// `[source.host]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Cores with a series of their own; 0 for none.
    cores: u16,
    /// Disks to leave out; `*` stands for anything.
    ignore_disks: Vec<String>,
    /// The only interfaces wanted; empty for all that are not ignored.
    interfaces: Vec<String>,
    /// Interfaces to leave out. The default leaves out what only containers and tests see, unless `interfaces` is given.
    ignore_interfaces: Option<Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self { cores: 64, ignore_disks: Vec::new(), interfaces: Vec::new(), ignore_interfaces: None }
    }
}

#[derive(Debug)]
struct Host {
    cpu: cpu::Cpu,
    pressure: pressure::Pressure,
    memory: memory::Memory,
    disk: disk::Disks,
    network: network::Network,
    kernel: kernel::Kernel,
    buf: Vec<u8>,
}

impl Host {
    fn new(config: &Config, root: &Path) -> Self {
        Self {
            cpu: cpu::Cpu::new(root, config.cores),
            pressure: pressure::Pressure::new(root),
            memory: memory::Memory::new(root),
            disk: disk::Disks::new(root, config.ignore_disks.clone()),
            network: network::Network::new(
                root,
                config.interfaces.clone(),
                config.ignore_interfaces.clone(),
            ),
            kernel: kernel::Kernel::new(root),
            buf: Vec::new(),
        }
    }
}

impl Source for Host {
    fn sample(&mut self, now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        // Without it this is no /proc at all.
        self.cpu.sample(&mut self.buf, out)?;
        self.pressure.sample(now, &mut self.buf, out);
        self.memory.sample(&mut self.buf, out);
        self.disk.sample(now, &mut self.buf, out);
        self.network.sample(&mut self.buf, out);
        self.kernel.sample(&mut self.buf, out);
        Ok(())
    }
}
