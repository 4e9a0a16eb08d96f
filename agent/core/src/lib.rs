//! What Fieldmouse **decides**, on any machine from a microcontroller to a server.
//!
//! Data flows one way: reading → [`quality`] → [`window`] → scorer → [`surprise`] → [`episode`] → event
//! ([`wire`]). Nothing here knows a clock, a file, a socket or an allocator; every entry takes `now` and is total:
//! whatever arrives, it returns.
//!
//! What is *not* here: how readings are taken (`edge::sources`), how quantiles are predicted (`edge::scorer`),
//! how events survive (`edge::outbox`).
#![no_std]
#![warn(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod array;
pub mod baseline;
pub mod calendar;
pub mod drift;
pub mod episode;
pub mod explain;
pub mod forecast;
pub mod job;
pub mod joint;
pub mod judge;
pub mod logs;
pub mod metric;
pub mod near;
pub mod novelty;
pub mod often;
pub mod quality;
pub mod rules;
pub mod season;
pub mod series;
pub mod shape;
pub mod surprise;
pub mod usual;
pub mod window;
pub mod wire;
