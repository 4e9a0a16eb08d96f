//! Benchmarks: each prints `name value unit` and judges nothing. One program for all: linking is dear.
#![expect(clippy::print_stdout, reason = "the figures are what they are for")]

pub mod append;
pub mod capsule;
pub mod diagnose;
pub mod drain;
pub mod endtoend;
pub mod flash;
pub mod fleet;
pub mod forecast;
pub mod incidents;
pub mod intake;
pub mod learnt;
pub mod logday;
pub mod logs;
pub mod look;
pub mod otlp;
pub mod replay_speed;
pub mod seasons;
pub mod storm;
pub mod tail;
pub mod telemetry;
