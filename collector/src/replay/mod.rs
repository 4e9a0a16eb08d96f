//! Recorded events through the very pipeline of the collector, in simulated time.

mod body;
pub mod line;
#[cfg(test)]
mod tests;
