//! What Fieldmouse **touches**: files, sockets, clocks, and the ONNX model. What is decided is in `fieldmouse-core`.

pub mod clock;
pub mod disk;
pub mod duration;
pub mod link;
pub mod outbox;
pub mod sources;
pub mod tls;
