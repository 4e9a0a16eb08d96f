//! Several collectors that share one PostgreSQL store, and are one collector to every agent.
pub mod plan;
