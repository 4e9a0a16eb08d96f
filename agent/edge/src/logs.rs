//! Logs: lines are masked (`core::logs`), and told apart by the statement that wrote them.
//!
//! The miner stands here and not in core, because it wants an allocator: it takes what its templates need, not what
//! they might.

pub mod book;
pub mod file;
pub mod journal;
pub mod keep;
pub mod lines;
pub mod miner;
mod names;
pub(crate) mod shown;
pub mod tail;
pub mod template;
#[cfg(test)]
mod tests;
