//! What goes wrong when: drawn from a seed, and then a plain list, so that a failing run can be tried with less of it.

use super::broker::Keeps;
use super::disk::Fault as DiskFault;
use super::rng::Rng;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The agent is killed.
    Kill(usize),
    /// The agent is stopped and started.
    Restart(usize),
    /// The device loses power.
    Power(usize),
    /// The device loses power at a writing call to come.
    PowerAtCall(usize, u64),
    /// The device sleeps.
    Suspend(usize),
    /// The device's wall clock is set: beside the world's, or to never set.
    Wall(usize, Option<i64>),
    /// The device's disk has room for no more than this many bytes.
    DiskFull(usize, u64),
    /// The device's disk fails: after so many calls, so many times.
    DiskFails(usize, u64, u64, DiskFault),
    /// The agent's link takes no commands.
    Stall(usize),
    /// A client's connection breaks.
    Break(usize),
    /// A client has no way to the broker.
    Partition(usize),
    /// A client's connection goes dark: up, down.
    HalfOpen(usize, bool, bool),
    /// A client's way is slow, by so many milliseconds.
    Slow(usize, u64),
    /// The broker dies.
    BrokerCrash(Keeps),
    /// The broker loses so many of a thousand messages.
    Drops(u64),
    /// It delivers so many twice.
    Doubles(u64),
    /// It changes the order of so many.
    Shuffles(u64),
    /// It refuses so many.
    Refuses(u64),
    /// It leaves so many unanswered.
    Silent(u64),
    /// It refuses so many connections.
    Unwelcoming(u64),
    /// It forgets the subscriptions of so many sessions that it says it has.
    Forgetful(u64),
    /// A collector dies.
    CollectorKill(usize),
    /// A collector dies within so many milliseconds after its next commit began.
    CollectorKillInCommit(usize),
    /// A collector's commits take so long.
    CollectorSlow(usize, u64),
    /// A collector's store refuses.
    CollectorFails(usize),
    /// A collector's wall clock is set beside the world's.
    CollectorWall(usize, i64),
}

impl What {
    /// Whether it sets a wall clock.
    #[must_use]
    pub fn sets_a_clock(self) -> bool {
        matches!(self, Self::Wall(..) | Self::CollectorWall(..))
    }
}

/// When, what, how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Milliseconds since the beginning.
    pub at: u64,
    /// What goes wrong.
    pub what: What,
    /// How long, if it lasts.
    pub ms: u64,
}

/// A run: everything about it follows from this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where all other chance comes from.
    pub seed: u64,
    /// Devices; clients of the broker from 0 on.
    pub devices: usize,
    /// Collectors; clients behind the devices.
    pub collectors: usize,
    /// How long things happen, in milliseconds.
    pub ms: u64,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const YEAR: i64 = 365 * 24 * 3_600_000;

impl Plan {
    /// The plan of a seed: a day.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let devices = rng.between(1, 3) as usize;
        let collectors = if rng.chance(100) { 2 } else { 1 };
        let ms = 24 * HOUR;
        let mut faults: Vec<Fault> = (0..rng.spread(3, 80))
            .map(|_| {
                let what = what(&mut rng, devices, collectors);
                // Most are short; some last for hours.
                let ms = if rng.chance(850) {
                    rng.spread(100, 20 * MINUTE)
                } else {
                    rng.spread(20 * MINUTE, 8 * HOUR)
                };
                Fault { at: rng.below(ms_of_day(ms)), what, ms }
            })
            .collect();
        if rng.chance(250) {
            // Nothing that comes later hides what this leaves behind.
            let what = rng.pick(&[What::Silent(1000), What::Drops(1000), What::Refuses(1000)]);
            faults.push(Fault { at: ms - 20 * MINUTE, what, ms: 20 * MINUTE - 1 });
        }
        if rng.chance(250) {
            // Long enough to fill an outbox.
            let what = What::Partition(rng.index(devices));
            faults.push(Fault { at: rng.below(4 * HOUR), what, ms: rng.between(8 * HOUR, 18 * HOUR) });
        }
        faults.sort_by_key(|f| f.at);
        Self { seed, devices, collectors, ms, faults }
    }
}

fn ms_of_day(lasts: u64) -> u64 {
    (24 * HOUR).saturating_sub(lasts / 2).max(HOUR)
}

fn what(rng: &mut Rng, devices: usize, collectors: usize) -> What {
    let d = rng.index(devices);
    let any = rng.index(devices + collectors);
    let c = rng.index(collectors);
    let odds = rng.pick(&[30, 150, 500, 1000]);
    let steps = [1, 1000, 60_000, 3_600_000, 7_200_000, 366 * 86_400_000];
    let wall = |rng: &mut Rng| {
        let step = rng.pick(&steps);
        // To 1970, 2038, 2106, ten years either way, and the steps of NTP and of summer time.
        rng.pick(&[step, -step, 10 * YEAR, -10 * YEAR, -57 * YEAR, 352_000_000_000, 80 * YEAR])
    };
    match rng.below(100) {
        0..7 => What::Kill(d),
        7..10 => What::Restart(d),
        10..14 => What::Power(d),
        14..22 => What::PowerAtCall(d, rng.below(12)),
        22..26 => What::Suspend(d),
        26..31 => What::Wall(d, if rng.chance(150) { None } else { Some(wall(rng)) }),
        31..34 => What::DiskFull(d, rng.pick(&[0, 1000, 20_000])),
        34..40 => {
            let fault =
                rng.pick(&[DiskFault::Eio, DiskFault::LostPages, DiskFault::ReadOnly, DiskFault::Full]);
            What::DiskFails(d, rng.below(6), rng.pick(&[1, 2, 3, 20, u64::MAX]), fault)
        }
        40..42 => What::Stall(d),
        42..49 => What::Break(any),
        49..56 => What::Partition(any),
        56..61 => {
            let (up, down) = rng.pick(&[(true, true), (true, false), (false, true)]);
            What::HalfOpen(any, up, down)
        }
        61..64 => What::Slow(any, rng.spread(100, 30_000)),
        64..72 => What::BrokerCrash(rng.pick(&[Keeps::All, Keeps::Sessions, Keeps::Nothing])),
        72..75 => What::Drops(odds),
        75..78 => What::Doubles(odds),
        78..81 => What::Shuffles(odds),
        81..83 => What::Refuses(odds),
        83..85 => What::Silent(odds),
        85..87 => What::Unwelcoming(odds),
        87..89 => What::Forgetful(odds),
        89..92 => What::CollectorKill(c),
        92..95 => What::CollectorKillInCommit(c),
        95..97 => What::CollectorSlow(c, rng.spread(50, 20_000)),
        97..99 => What::CollectorFails(c),
        _ => What::CollectorWall(c, wall(rng)),
    }
}
