//! What Fieldmouse **touches**: files, sockets, clocks, and the ONNX model. What is decided is in `fieldmouse-core`.

pub mod budget;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod culprit;
pub mod dating;
pub mod decode;
pub mod disk;
pub mod drill;
pub mod duration;
pub mod keys;
pub mod link;
pub mod logger;
pub mod once;
pub mod outbox;
pub mod pipeline;
pub mod replay;
pub mod run;
pub mod sampler;
pub mod scorer;
pub mod sources;
pub mod status;
pub mod tls;
