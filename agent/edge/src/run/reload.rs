//! What changes in a running agent when its configuration does.

use fieldmouse_core::wire::{self, Kind};

use super::agent::Agent;
use crate::config::{self, Config};
use crate::sampler::Sampler;
use crate::sources::Place;

impl Agent {
    /// Takes over what may change while running. A bad file changes nothing, and is told.
    pub(super) fn reload(&mut self) {
        let fact = match config::from_here(self.file.as_deref())
            .map_err(anyhow::Error::from)
            .and_then(|config| self.adopt(config))
        {
            Ok(()) => ("reload", "configuration reloaded".to_owned()),
            Err(error) => ("reload-refused", format!("{error:#}")),
        };
        log::warn!("{}: {}", fact.0, fact.1);
        self.push(Kind::Fact, 9, &wire::Fact::new(fact.0, &fact.1));
    }

    fn adopt(&mut self, config: Config) -> anyhow::Result<()> {
        let written = &config.written;
        let place = Place { jobs: self.jobs.clone(), ..config.place() };
        let sampler = Sampler::new(&config.sources, &place, config.deadline(), written.agent.tick.0)?;
        self.load_models(written.model.clone());
        let needs_restart = self.config.differs_beyond_reload(&config);
        self.pipeline.set_windows(config.windows.clone());
        self.pipeline.set_tables(written.series.clone());
        self.pipeline.set_budget(written.detect.false_alarms);
        self.keeper.set_budget(written.detect.flash_bytes_per_day);
        self.pipeline.set_horizon(written.forecast.horizon.0);
        self.sampler = sampler;
        // The loop keeps its rhythm and its links; only these may change under it.
        self.config.sources = config.sources.clone();
        self.config.written.detect = config.written.detect.clone();
        self.config.written.forecast = config.written.forecast.clone();
        self.config.written.maintenance = config.written.maintenance.clone();
        self.config.written.series = config.written.series.clone();
        self.config.written.capsule = config.written.capsule.clone();
        self.recording.restart(&self.config);
        match needs_restart {
            Some(section) => {
                anyhow::bail!(
                    "sources, models, budget, horizon, decisions and maintenance are reloaded; changes in [{section}] need a restart"
                )
            }
            None => Ok(()),
        }
    }
}
