//! What the collector makes of what devices told: incidents.
//!
//! Nothing here is remembered that cannot be read again. Whatever a commit touched is loaded anew from the store, grouped,
//! diagnosed and compared with the incidents there are; the difference is written in one transaction. So a crash loses
//! nothing, another collector can take over at any time, and what comes late or twice ends in the same incidents.

pub mod incident;
