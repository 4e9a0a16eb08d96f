//! `fieldmouse`: the agent.
fn main() {}
