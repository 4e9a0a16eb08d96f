//! The central program: takes in the events of a fleet, keeps them, and shows them.
//!
//! `broker → intake (decode) → store → api`. Nothing flows back but acknowledgements, and those only after a commit.
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
