//! The agent: one loop.

use crate::config::Config;
use crate::scorer::Forecaster;

/// Everything a start needs, looked at before anything starts.
#[derive(Debug)]
pub struct Start {
    /// What is meant.
    pub config: Config,
    /// The model, if it is on.
    pub forecaster: Option<Forecaster>,
}

impl Start {
    /// Checks everything that a start needs.
    ///
    /// # Errors
    /// If the broker has no address, or the model cannot be used.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let forecaster = crate::cli::forecaster(&config)?;
        Ok(Self { config, forecaster })
    }
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// If it cannot start.
pub fn main(_start: Start) -> anyhow::Result<()> {
    Ok(())
}
