//! The constants of diagnosis, in one place so that each can be shaken to see what hangs on it (`bench diagnose`).

use super::Kind;

/// All that was chosen, and for everything: no metric, system or case has constants of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Degrees of freedom of the heavy-tailed law by which a deviation becomes strength: how little a rare deviation proves.
    pub freedom: f64,
    /// A change that matters to nobody, as a share of the usual level: of what varies by nature.
    pub floor: f64,
    /// The same for what is held, which changes smoothly.
    pub stock_floor: f64,
    /// The same for shares of failed answers, of one.
    pub ratio_floor: f64,
    /// How many rows the spread of the same metric elsewhere is worth, beside those of the series itself.
    pub pooled_rows: f64,
    /// How much of the strength hangs on moving together with the alert, 0..1.
    pub together: f64,
    /// How much symptoms count, which may be another's.
    pub symptom: f64,
    /// How much load counts.
    pub load: f64,
    /// How much the machine counts, which others share.
    pub host: f64,
    /// How much metrics of unknown meaning count.
    pub other: f64,
    /// How much symptoms count that are of another kind than the alert.
    pub beside: f64,
    /// Strength from which on somebody is affected.
    pub affected: f64,
    /// Strength beyond which more of it says nothing more about who began.
    pub plenty: f64,
    /// How much of what its dependents suffer is added to a suspect.
    pub covers: f64,
    /// What it is worth that somebody who depends on it is unusual, by what is no symptom.
    pub below: f64,
    /// How much of its own symptoms is explained by those of what it depends on.
    pub explained: f64,
    /// What is left of the belief in one on whom the alert's entity does not depend.
    pub apart: f64,
    /// What it is worth to have begun first.
    pub first: f64,
    /// By how many seconds another has to be later for that.
    pub first_s: f64,
    /// What a change is worth that came right before.
    pub change: f64,
    /// After how many seconds half of that is left.
    pub change_s: f64,
    /// How many nats of belief make one share 2.7 times another.
    pub doubt: f64,
}

impl Tuning {
    /// What is in force.
    pub const DEFAULT: Self = Self {
        freedom: 4.0,
        floor: 0.1,
        stock_floor: 0.01,
        ratio_floor: 0.003,
        pooled_rows: 4.0,
        together: 0.7,
        symptom: 0.6,
        load: 0.2,
        host: 0.2,
        other: 0.3,
        beside: 0.3,
        affected: 3.0,
        plenty: 12.0,
        covers: 0.5,
        below: 0.2,
        explained: 0.5,
        apart: 0.3,
        first: 1.0,
        first_s: 600.0,
        change: 6.0,
        change_s: 600.0,
        doubt: 2.0,
    };

    /// Each constant by name, to be shaken.
    pub fn each(&mut self) -> [(&'static str, &mut f64); 22] {
        [
            ("freedom", &mut self.freedom),
            ("floor", &mut self.floor),
            ("stock_floor", &mut self.stock_floor),
            ("ratio_floor", &mut self.ratio_floor),
            ("pooled_rows", &mut self.pooled_rows),
            ("together", &mut self.together),
            ("symptom", &mut self.symptom),
            ("load", &mut self.load),
            ("host", &mut self.host),
            ("other", &mut self.other),
            ("beside", &mut self.beside),
            ("affected", &mut self.affected),
            ("plenty", &mut self.plenty),
            ("covers", &mut self.covers),
            ("below", &mut self.below),
            ("explained", &mut self.explained),
            ("apart", &mut self.apart),
            ("first", &mut self.first),
            ("first_s", &mut self.first_s),
            ("change", &mut self.change),
            ("change_s", &mut self.change_s),
            ("doubt", &mut self.doubt),
        ]
    }

    /// How much evidence of a kind counts.
    pub(super) fn weight(&self, kind: Kind) -> f64 {
        match kind {
            Kind::Latency | Kind::Errors | Kind::Lost => self.symptom,
            Kind::Usage | Kind::Stock | Kind::Log | Kind::Culprit | Kind::Change => 1.0,
            Kind::Load => self.load,
            Kind::Host => self.host,
            Kind::Other => self.other,
        }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self::DEFAULT
    }
}
