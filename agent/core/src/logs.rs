//! Lines of logs: who wrote them, what in them is text that always comes again, and what is a value that nobody may keep.
//!
//! `mask` is the boundary: nothing of a line goes further but the [`line::Line`] it makes, in which values are
//! gone. What may be a secret is told in `secret`. How grave a line is, whether it tells of a crash, how often something
//! comes and whether it is late stand beside it, each in a file of its own.

pub mod beat;
pub mod head;
pub mod line;
pub mod mask;
pub mod pattern;
pub mod rate;
mod secret;
pub mod severity;
pub mod sign;
pub mod syslog;
