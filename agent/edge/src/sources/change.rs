//! `change`: the machine itself is another than before: it was started again (and whether it had been shut down in good
//! order, where wtmp can say), has another kernel, time zone or host name, or runs containers of other images (of Docker
//! and Podman, from their files, where the agent may read them). No series: what happened is told as facts.

mod boots;
mod images;

use std::path::{Path, PathBuf};

use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire::{Detail, Fact};
use serde::Deserialize;

use super::text::{bytes_of, label, name_in};
use super::{Kind, Readings, Source, SourceError};
use crate::inventory::{Difference, Inventory, Kept, differences};

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "change",
    about: "the machine was restarted, or has another kernel, time zone, host name or container images: facts",
    every_ms: 60_000,
    build: |keys, place| {
        let Config { images } = super::config(KIND.name, keys)?;
        Ok(Box::new(Changes { root: place.root.clone(), images, kept: Kept::new(place, "machine") }))
    },
};

/// `[source.change]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Whether to look at the images of containers.
    images: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { images: true }
    }
}

const BOOT: &str = "boot";
const KERNEL: &str = "kernel";
const ZONE: &str = "time-zone";
const HOST: &str = "host-name";

struct Changes {
    root: PathBuf,
    images: bool,
    kept: Kept,
}

impl Source for Changes {
    fn sample(&mut self, _: Millis, out: &mut Readings) -> Result<(), SourceError> {
        self.kept.keep();
        let mut now = Inventory::default();
        look(&self.root, &mut now);
        if self.images {
            images::look(&self.root, &mut now);
        }
        if let Some(was) = self.kept.last(out) {
            images::remember(was, &mut now);
            now.settle();
            let different = differences(was, &now);
            if different.is_empty() {
                return Ok(());
            }
            different.iter().filter_map(|d| fact(&self.root, d)).for_each(|(severity, fact)| out.tell(severity, fact));
        } else {
            now.settle();
        }
        self.kept.set(now);
        Ok(())
    }
}

/// What the machine is. What cannot be known is left out, and then told neither as new nor as gone.
fn look(root: &Path, to: &mut Inventory) {
    let kernel = root.join("proc/sys/kernel");
    for (name, path) in [(BOOT, "random/boot_id"), (KERNEL, "osrelease"), (HOST, "hostname")] {
        if let Some(mark) = name_in(&kernel.join(path)) {
            to.add(name, &mark, 0);
        }
    }
    if let Some(zone) = zone(root) {
        to.add(ZONE, &zone, 0);
    }
}

/// By the link to its file, else by its name or rule in a file of its own, as Debian and OpenWrt have it.
fn zone(root: &Path) -> Option<String> {
    let link = std::fs::read_link(root.join("etc/localtime")).ok();
    let linked = link.and_then(|to| Some(to.to_str()?.split_once("zoneinfo/")?.1.to_owned()));
    linked.map(|zone| label(&zone)).or_else(|| ["etc/timezone", "etc/TZ"].iter().find_map(|file| name_in(&root.join(file))))
}

/// What a difference means, with how grave it is. What was or is not known tells nothing, but for images.
fn fact(root: &Path, difference: &Difference<'_>) -> Option<(u8, Fact)> {
    let told = |severity, kind, about: &str, text: &str| {
        let detail = Detail { about: cut(about), ..Detail::default() };
        Some((severity, Fact { detail: Some(detail), ..Fact::new(kind, text) }))
    };
    if let Some(image) = difference.name.strip_prefix(images::PREFIX) {
        let (kind, text) = ("image", images::words(image, difference)?);
        return told(9, kind, image, &text);
    }
    let (was, now) = (difference.was?, difference.now?);
    match difference.name {
        BOOT => {
            let how = bytes_of(&root.join(boots::FILE)).ok().and_then(|wtmp| boots::was_orderly(&wtmp));
            match how {
                Some(true) => told(9, BOOT, BOOT, "the machine was started again, after it had been shut down in good order"),
                Some(false) => told(13, BOOT, BOOT, "the machine was started again, and had not been shut down in good order"),
                None => told(9, BOOT, BOOT, "the machine was started again"),
            }
        }
        KERNEL => told(9, KERNEL, KERNEL, &format!("kernel {now}, no longer {was}")),
        ZONE => told(9, ZONE, ZONE, &format!("time zone {now}, no longer {was}")),
        HOST => told(9, HOST, HOST, &format!("the host is called {now}, no longer {was}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
