//! What there is, and what depends on what: the shape of the fleet, as declared, as learnt and as corrected by people.
//!
//! `declared file, births, edits → Atlas (kept over time) → Topology (one moment) → correlation, diagnosis, page`.
//! Edges point from who depends to what it depends on. A part depends on its device without anybody saying so.
//! A [`Topology`] is a value: it is built from what held at a moment, and then only asked.
//!
//! What is *not* here: records and their store (`desk`), and what anybody makes of the answers.

mod atlas;
mod depends;
mod edge;
mod entity;
mod file;
mod graph;
mod keep;
mod learn;
mod pattern;
#[cfg(test)]
mod tests;

pub use atlas::{Atlas, Heard, Refused};
pub use edge::{Edge, Origin};
pub use entity::{LONGEST, Name, device, device_of, of_series, part, part_of_series, site_of};
pub use file::{Declared, Kpi, Service};
pub use graph::{Known, MOST_IMPORTANT, Topology, USUAL_IMPORTANCE};
pub use pattern::{Entities, Glob};
