//! The central program: takes in the events of a fleet, makes few incidents of them, tells people, and shows all of it.
//!
//! `broker → intake → store (what devices told) → desk → records (what is made of it) → notify, api`. Back to devices go
//! acknowledgements, and those only after a commit, and questions for capsules.
#![warn(missing_docs)]

pub mod api;
pub mod broker;
mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod correlate;
pub mod counters;
pub mod desk;
pub mod diagnose;
pub mod health;
pub mod intake;
mod listen;
pub mod notify;
pub mod numbers;
pub mod priority;
pub mod replay;
mod run;
#[cfg(test)]
mod sample;
pub mod signal;
mod stderr;
pub mod store;
mod supervisor;
mod tls;
pub mod topology;
#[cfg(test)]
mod whole;
pub mod words;

pub use cli::main;
pub use config::{Config, ConfigError};
pub use run::{Bound, run, run_and_tell};
