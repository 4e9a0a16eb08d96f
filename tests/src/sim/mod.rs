//! The project on virtual time, on disks that lose power and over networks that break: everything from one seed.

pub mod audit;
pub mod broker;
pub mod device;
pub mod disk;
pub mod gatherer;
pub mod model;
pub mod mutants;
pub mod power;
pub mod queue;
pub mod rng;
pub mod schedule;
pub mod shrink;
pub mod wire;
pub mod world;
