//! The central program: takes in the events of a fleet, keeps them, and shows them.

pub mod broker;
pub mod clock;
pub mod config;
pub mod intake;
pub mod numbers;
#[cfg(test)]
mod sample;
pub mod store;
pub mod words;
