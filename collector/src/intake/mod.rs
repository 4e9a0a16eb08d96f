//! From the broker into the store, and the acknowledgement back.

pub mod decode;
