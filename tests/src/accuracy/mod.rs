//! Detection over open data with labels: every recording through `fieldmouse replay` with one configuration, scored by
//! the public definitions. The data is not part of the project: some of its licences forbid that.
//!
//! No metric here adjusts points: a row counts as found only if it was told itself.

pub mod delay;
pub mod episodes;
pub mod nab;
pub mod points;
pub mod ranges;
pub mod references;
pub mod replay;
pub mod report;
pub mod run;
pub mod sets;
