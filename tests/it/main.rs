//! One binary for all integration tests: linking is dear.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

/// Open data with labels, scored.
mod accuracy;
/// A running agent and a real broker: comings, goings, refusals.
mod agent;
/// Input that nobody wants, and what it may cost.
mod badinput;
/// What users of other systems know, and the tests that show it.
mod behaviours;
/// What is kept of the readings around an episode.
mod capsule;
/// Agent, broker and collector together.
mod chain;
/// What changes on a device and what is deployed on it, told by real programs.
mod changes;
/// Exit codes and every command that needs no running agent.
mod cli;
/// The corpus of configurations, and the example file.
mod config;
/// What people decide about series, and maintenance.
mod decide;
/// A list of brokers.
mod failover;
/// A generated fleet: what is generated, and what the collector makes of it.
mod fleet;
/// Parsers under bent input.
mod fuzz;
/// Brokers that misbehave, at random.
mod hostile;
/// From many events to one incident.
mod incidents;
/// What must stay true of the source tree.
mod invariants;
/// A real journal daemon.
mod journal;
/// What outlives a restart.
mod learnt;
/// Capsules for collectors that ask.
mod lending;
/// Models of the user's own in a running agent.
mod models;
/// What happened near an episode.
mod near;
/// A real OpenTelemetry SDK and a running agent.
mod otlp;
/// Unit files, users and code name the same paths.
mod packaging;
/// The page in a real browser.
mod page;
/// The replay is the agent.
mod replay;
/// Virtual time: power cuts and the whole system.
mod sim;
/// Many devices at once.
mod storm;
/// What systemd hears.
mod supervisor;
/// Real senders of syslog.
mod syslog;
/// Log files under kills and rotation.
mod tail;
/// Suspend and pauses.
mod time;
/// Golden bytes of every message.
mod wire;
