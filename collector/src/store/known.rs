//! What the database knows of the devices and epochs that a batch names, loaded at once, and what the batch changes of it,
//! written at once.

use std::collections::{BTreeMap, BTreeSet};

use super::engine::{Engine, Result};
use super::value::{Value, values};
use super::write::{id, int};
use crate::intake::decode::Message;
use crate::numbers::Numbers;

/// A device of the batch.
pub(super) struct Device {
    pub(super) id: i64,
    /// The epoch it is in.
    pub(super) epoch: u64,
    /// When it was last heard of.
    pub(super) seen_at: u64,
    seen_before: u64,
    is_new: bool,
    /// Whether it began a new epoch.
    pub(super) is_anew: bool,
}

/// An epoch of the batch.
pub(super) struct Epoch {
    pub(super) site: String,
    pub(super) node: String,
    pub(super) numbers: Numbers,
    /// Whether anything was told in it.
    has_told: bool,
    /// Whether its numbers were acknowledged anew, or must be.
    pub(super) answer: bool,
    /// Whether numbers of it were ever declared lost.
    pub(super) has_losses: bool,
    /// First and last number, and the boot they count from, of what was dated later.
    pub(super) clock_sets: Vec<(u64, u64, u64)>,
    pub(super) before: Numbers,
    first_seen: u64,
    // Whether the database has it, and whether a message of the batch was taken in.
    is_stored: bool,
    is_entered: bool,
}

/// All of them.
pub(super) struct Known {
    devices: BTreeMap<(String, String), Device>,
    pub(super) epochs: BTreeMap<(i64, u64), Epoch>,
}

impl Device {
    fn new(id: i64, epoch: u64, seen_at: u64) -> Self {
        Self { id, epoch, seen_at, seen_before: seen_at, is_new: false, is_anew: false }
    }
}

impl Known {
    /// Loads what is known of those that `messages` name. Devices that are new get their row, as last heard of at `heard`.
    pub(super) fn load<'m>(
        db: &mut dyn Engine,
        messages: impl Iterator<Item = &'m Message> + Clone,
        heard: impl Fn(&Message) -> u64,
    ) -> Result<Self> {
        let mut own = Self { devices: BTreeMap::new(), epochs: BTreeMap::new() };
        let names: BTreeSet<(&str, &str)> =
            messages.clone().map(|m| (m.site.as_str(), m.node.as_str())).collect();
        let names: Vec<Vec<Value>> =
            names.into_iter().map(|(site, node)| values![site, node].into()).collect();
        let known = db.many(
            "WITH k (site, node) AS (VALUES (?1, ?2))
             SELECT d.id, d.site, d.node, d.epoch, h.seen_at
             FROM k JOIN devices d ON d.site = k.site AND d.node = k.node JOIN heard h ON h.device = d.id",
            &names,
        )?;
        for row in &known {
            let device = Device::new(row.get("id")?, row.get("epoch")?, row.get("seen_at")?);
            own.devices.insert((row.get("site")?, row.get("node")?), device);
        }
        if own.devices.len() < names.len() {
            let mut new: BTreeMap<(&str, &str), &Message> = BTreeMap::new();
            for m in messages.clone().filter(|m| own.device(m).is_none()) {
                new.entry((&m.site, &m.node)).or_insert(m);
            }
            let rows =
                new.values().map(|m| values![&m.site, &m.node, int(m.received_ms), id(m.epoch)].into());
            let made = db.many(
                "INSERT INTO devices (site, node, first_seen, epoch) VALUES (?1, ?2, ?3, ?4) RETURNING id",
                &rows.collect::<Vec<_>>(),
            )?;
            let rows = made.iter().zip(new.values());
            let rows = rows.map(|(row, m)| Ok(values![row.get::<i64>("id")?, int(heard(m)), 0_i64].into()));
            db.many(
                "INSERT INTO heard (device, seen_at, told) VALUES (?1, ?2, ?3)",
                &rows.collect::<Result<Vec<_>>>()?,
            )?;
            for (row, m) in made.iter().zip(new.into_values()) {
                let device = Device::new(row.get("id")?, m.epoch, heard(m));
                own.devices.insert((m.site.clone(), m.node.clone()), Device { is_new: true, ..device });
            }
        }
        own.load_epochs(db, messages)?;
        Ok(own)
    }

    fn load_epochs<'m>(
        &mut self,
        db: &mut dyn Engine,
        messages: impl Iterator<Item = &'m Message>,
    ) -> Result<()> {
        for m in messages {
            let Some(device) = self.device(m).map(|d| d.id) else { continue };
            self.epochs.entry((device, m.epoch)).or_insert_with(|| Epoch {
                site: m.site.clone(),
                node: m.node.clone(),
                numbers: Numbers::default(),
                has_told: false,
                answer: false,
                has_losses: false,
                clock_sets: Vec::new(),
                before: Numbers::default(),
                first_seen: m.received_ms,
                is_stored: false,
                is_entered: false,
            });
        }
        let keys: Vec<Vec<Value>> =
            self.epochs.keys().map(|(device, epoch)| values![*device, id(*epoch)].into()).collect();
        let (mut with_gaps, mut with_clock_sets) = (Vec::new(), Vec::new());
        for row in db.many(
            "WITH k (device, epoch) AS (VALUES (?1, ?2)) SELECT e.device, e.epoch, e.high,
             EXISTS (SELECT 1 FROM gaps g WHERE g.device = e.device AND g.epoch = e.epoch) AS has_gaps,
             EXISTS (SELECT 1 FROM losses l WHERE l.device = e.device AND l.epoch = e.epoch) AS has_losses,
             EXISTS (SELECT 1 FROM clock_sets c WHERE c.device = e.device AND c.epoch = e.epoch) AS has_clock_sets
             FROM k JOIN epochs e ON e.device = k.device AND e.epoch = k.epoch",
            &keys,
        )? {
            let key: (i64, u64) = (row.get("device")?, row.get("epoch")?);
            let Some(epoch) = self.epochs.get_mut(&key) else { continue };
            epoch.is_stored = true;
            epoch.numbers = Numbers::restore(row.get("high")?, []);
            epoch.has_losses = row.get("has_losses")?;
            let parameters = || values![key.0, id(key.1)].into();
            if row.get("has_gaps")? {
                with_gaps.push(parameters());
            }
            if row.get("has_clock_sets")? {
                with_clock_sets.push(parameters());
            }
        }
        let mut gaps: BTreeMap<(i64, u64), Vec<(u64, u64)>> = BTreeMap::new();
        for row in db.many(
            "WITH k (device, epoch) AS (VALUES (?1, ?2)) SELECT g.device, g.epoch, g.first, g.last
             FROM k JOIN gaps g ON g.device = k.device AND g.epoch = k.epoch",
            &with_gaps,
        )? {
            let of = gaps.entry((row.get("device")?, row.get("epoch")?)).or_default();
            of.push((row.get("first")?, row.get("last")?));
        }
        for (key, mut gaps) in gaps {
            gaps.sort_unstable();
            if let Some(epoch) = self.epochs.get_mut(&key) {
                epoch.numbers = Numbers::restore(epoch.numbers.high(), gaps);
            }
        }
        for row in db.many(
            "WITH k (device, epoch) AS (VALUES (?1, ?2)) SELECT c.device, c.epoch, c.first, c.last, c.boot_ms
             FROM k JOIN clock_sets c ON c.device = k.device AND c.epoch = k.epoch",
            &with_clock_sets,
        )? {
            if let Some(epoch) = self.epochs.get_mut(&(row.get("device")?, row.get("epoch")?)) {
                epoch.is_dated(row.get("first")?, row.get("last")?, row.get("boot_ms")?);
            }
        }
        for epoch in self.epochs.values_mut() {
            epoch.before = epoch.numbers.clone();
        }
        Ok(())
    }

    fn device(&self, m: &Message) -> Option<&Device> {
        // Two allocations for a look-up; the alternative is a map of maps.
        self.devices.get(&(m.site.clone(), m.node.clone()))
    }

    /// Site and node of the devices that were not known before.
    pub(super) fn born(&self) -> impl Iterator<Item = (String, String)> {
        self.devices.iter().filter(|(_, device)| device.is_new).map(|(name, _)| name.clone())
    }

    /// The device of a message.
    pub(super) fn device_mut(&mut self, m: &Message) -> Option<&mut Device> {
        self.devices.get_mut(&(m.site.clone(), m.node.clone()))
    }

    /// A device told something; its site.
    pub(super) fn told(&mut self, device: i64, epoch: u64) -> Option<&str> {
        let epoch = self.epochs.get_mut(&(device, epoch))?;
        epoch.has_told = true;
        Some(&epoch.site)
    }

    /// Takes the epoch of a message as heard of; true if it never was before.
    pub(super) fn enter(&mut self, device: i64, epoch: u64) -> bool {
        let Some(epoch) = self.epochs.get_mut(&(device, epoch)) else { return false };
        !std::mem::replace(&mut epoch.is_entered, true) && !epoch.is_stored
    }

    /// Writes what is different now.
    pub(super) fn save(&self, db: &mut dyn Engine) -> Result<()> {
        let told = self.epochs.iter().filter(|(_, e)| e.has_told).map(|((device, _), _)| *device);
        let told: BTreeSet<i64> = told.collect();
        let heard = self.devices.values().filter_map(|d| {
            let has_told = d.is_anew || told.contains(&d.id);
            let is_heard = has_told || d.seen_at > d.seen_before;
            is_heard.then(|| values![d.id, int(d.seen_at), i64::from(has_told)].into())
        });
        db.many(
            "WITH k (device, seen_at, told) AS (VALUES (?1, ?2, ?3))
             UPDATE heard SET seen_at = k.seen_at, told = heard.told + k.told FROM k WHERE heard.device = k.device",
            &heard.collect::<Vec<_>>(),
        )?;
        let (mut highs, mut gone, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
        for (&(device, epoch), e) in self.epochs.iter().filter(|(_, e)| e.is_entered) {
            if e.numbers != e.before || !e.is_stored {
                highs.push(values![device, id(epoch), int(e.first_seen), int(e.numbers.high())].into());
            }
            if e.numbers.gaps() != e.before.gaps() {
                gone.push(values![device, id(epoch)].into());
                gaps.extend(
                    e.numbers
                        .gaps()
                        .iter()
                        .map(|&(first, last)| Vec::from(values![device, id(epoch), int(first), int(last)])),
                );
            }
        }
        // The row of the epoch is written whenever any of its numbers changed: two collectors that take in events of one
        // epoch at once meet there, and one of them has to begin anew.
        db.many(
            "INSERT INTO epochs (device, epoch, first_seen, high) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (device, epoch) DO UPDATE SET high = excluded.high",
            &highs,
        )?;
        db.many(
            "WITH k (device, epoch) AS (VALUES (?1, ?2))
             DELETE FROM gaps WHERE (device, epoch) IN (SELECT device, epoch FROM k)",
            &gone,
        )?;
        db.many("INSERT INTO gaps (device, epoch, first, last) VALUES (?1, ?2, ?3, ?4)", &gaps)?;
        Ok(())
    }
}

impl Epoch {
    /// Numbers `first` to `last` count from `boot_ms`.
    pub(super) fn is_dated(&mut self, first: u64, last: u64, boot_ms: u64) {
        self.clock_sets.retain(|set| set.0 != first);
        self.clock_sets.push((first, last, boot_ms));
        self.clock_sets.sort_unstable();
    }
}
