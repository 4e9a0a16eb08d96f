//! Where to go next and how long to wait before: exponential with full jitter, so that a fleet spreads out.
//!
//! What one device suffers alone (its network, a silent peer) is tried again within `least`. A broker that closes a
//! connection that stood closes those of the whole fleet at the same moment: then the first attempt is spread over a
//! quarter of `most`, and while the broker stays away, every further one over all of `most`. So with the defaults no
//! second sees more than a twentieth of a fleet, and two minutes after the broker is back everybody has come.

use fieldmouse_core::series::Millis;

use super::fault::Fault;

/// A number from the node's name, so that every device waits differently and a test can foretell how long.
#[must_use]
pub fn seed(node: &str) -> u64 {
    node.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
}

/// The wait before attempt `attempt` (0 is the first after a failure): evenly spread over `0..=least * 2^attempt`, that
/// capped at `most`, and never less than a tenth of `least`.
#[must_use]
pub fn backoff(attempt: u32, seed: u64, least: Millis, most: Millis) -> Millis {
    jitter(seed, attempt, ceiling(attempt, least, most)).max(least / 10)
}

fn ceiling(attempt: u32, least: Millis, most: Millis) -> Millis {
    least.saturating_mul(1u64.checked_shl(attempt).unwrap_or(u64::MAX)).min(most).max(1)
}

/// Evenly spread over `0..=ceiling`.
fn jitter(seed: u64, draw: u32, ceiling: Millis) -> Millis {
    // splitmix64
    let mut z = seed.wrapping_add(u64::from(draw).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % (ceiling + 1)
}

/// How a connection, or the attempt at one, ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) fault: Fault,
    /// It stood, if only for a moment.
    pub(super) stood: bool,
    /// It stood long and did its work.
    pub(super) good: bool,
}

/// Which broker of the list is next, and when.
#[derive(Debug)]
pub(super) struct Retry {
    least: Millis,
    most: Millis,
    refused_most: Millis,
    seed: u64,
    /// How many brokers there are.
    brokers: usize,
    /// The one to try.
    pub(super) broker: usize,
    /// Rounds through the list since the last good connection.
    attempt: u32,
    /// Attempts in vain since a connection last stood.
    vain: u32,
    /// The last one that stood was closed as those of others will have been.
    crowd: bool,
    /// A broker of this round does not want us.
    refused: bool,
    draws: u32,
}

impl Retry {
    pub(super) fn new(
        seed: u64,
        brokers: usize,
        (least, most, refused_most): (Millis, Millis, Millis),
    ) -> Self {
        Self {
            least,
            most,
            refused_most,
            seed,
            brokers: brokers.max(1),
            broker: 0,
            attempt: 0,
            vain: 0,
            crowd: false,
            refused: false,
            draws: 0,
        }
    }

    /// The first broker is to be tried, and soon.
    pub(super) fn back_to_first(&mut self) -> Millis {
        (self.broker, self.attempt, self.crowd) = (0, 0, false);
        self.draws = self.draws.wrapping_add(1);
        jitter(self.seed, self.draws, self.least).max(self.least / 10)
    }

    /// Chooses the broker to try next, and says how long to wait before.
    pub(super) fn next(&mut self, ended: Ended) -> Millis {
        let Ended { fault, stood, good } = ended;
        self.draws = self.draws.wrapping_add(1);
        self.broker = if good { 0 } else { (self.broker + 1) % self.brokers };
        if good {
            self.attempt = 0;
        }
        if stood {
            (self.vain, self.crowd) = (0, fault == Fault::Closed);
        }
        self.refused |= matches!(fault, Fault::Refused | Fault::TakenOver);
        if !stood && self.broker != 0 {
            // The rest of the list first. The fleet is spread already.
            return jitter(self.seed, self.draws, self.least).max(self.least / 10);
        }
        let most = if self.refused { self.refused_most } else { self.most };
        let usual = ceiling(self.attempt, self.least, most);
        let ceiling = match (self.crowd, self.vain) {
            (true, 0) => usual.max(self.most / 4),
            (true, _) => usual.max(self.most),
            (false, _) => usual,
        };
        let mut wait = jitter(self.seed, self.draws, ceiling).max(self.least / 10);
        if fault == Fault::TakenOver {
            // Two of one name must not throw each other out in turn.
            wait = wait.max(self.most / 2);
        }
        self.refused = false;
        self.attempt = self.attempt.saturating_add(1);
        self.vain = self.vain.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: (Millis, Millis, Millis) = (1000, 120_000, 600_000);

    #[test]
    fn a_fleet_spreads_and_nobody_hammers() {
        let mut per_second = [0u32; 33];
        for node in 0..10_000 {
            let wait = backoff(5, seed(&format!("node-{node}")), 1000, 120_000);
            per_second[usize::try_from(wait / 1000).unwrap()] += 1;
        }
        assert!(per_second.iter().all(|n| *n < 500), "{per_second:?}");
        for attempt in 0..200 {
            for node in ["a", "b", "edge-17"] {
                let wait = backoff(attempt, seed(node), 1000, 120_000);
                assert!((100..=120_000).contains(&wait));
                assert_eq!(wait, backoff(attempt, seed(node), 1000, 120_000));
            }
        }
        let hour: Millis = (7..67).map(|a| backoff(a, seed("edge-17"), 1000, 120_000)).sum();
        assert!(hour > 1_800_000, "at most 120 attempts an hour");
    }

    fn ended(fault: Fault, stood: bool, good: bool) -> Ended {
        Ended { fault, stood, good }
    }

    /// When each of 10,000 devices attempts and connects after their broker closed every connection at 0 and listens
    /// again at `back`: the largest number of attempts in any second, and when the last one is connected.
    fn storm(name: impl Fn(u32) -> String, back: Millis, good: bool) -> (u32, Millis) {
        let (mut attempts, mut last) = (vec![0; 1000], 0);
        for device in 0..10_000 {
            let mut retry = Retry::new(seed(&name(device)), 1, DEFAULTS);
            let mut at = retry.next(ended(Fault::Closed, true, good));
            loop {
                attempts[usize::try_from(at / 1000).unwrap()] += 1;
                if at >= back {
                    break;
                }
                at += retry.next(ended(Fault::Other, false, false));
            }
            last = last.max(at);
        }
        (attempts.into_iter().max().unwrap(), last)
    }

    #[test]
    fn a_restarted_broker_is_not_stormed() {
        let names: [fn(u32) -> String; 3] = [
            |n| format!("node-{n}"),
            |n| format!("press-{n:05}"),
            |n| format!("{:08x}", n.wrapping_mul(2_654_435_761)),
        ];
        for name in names {
            for back_s in [0, 1, 5, 10, 20, 29, 30, 45, 60, 120, 300] {
                let (most, last) = storm(name, back_s * 1000, true);
                assert!(most <= 500, "back after {back_s} s: {most} attempts of 10,000 in one second");
                assert!(
                    last <= (back_s + 120) * 1000,
                    "back after {back_s} s: the last one comes after {last} ms"
                );
                println!("back after {back_s} s: at most {most} a second, the last one after {last} ms");
            }
        }
    }

    #[test]
    fn a_blip_of_one_device_is_over_within_a_second() {
        for node in ["a", "press-4", "edge-17"] {
            let mut retry = Retry::new(seed(node), 1, DEFAULTS);
            assert!(retry.next(ended(Fault::Other, true, true)) <= 1000);
        }
    }

    #[test]
    fn the_list_is_tried_in_order_and_quickly_and_then_patience_grows() {
        let mut retry = Retry::new(seed("n-1"), 3, DEFAULTS);
        let mut seen = Vec::new();
        for _ in 0..9 {
            let wait = retry.next(ended(Fault::Other, false, false));
            seen.push(retry.broker);
            assert!(retry.broker == 0 || wait <= 1000, "the rest of the list is tried at once");
        }
        assert_eq!((seen, retry.attempt), (vec![1, 2, 0, 1, 2, 0, 1, 2, 0], 3));
        retry.next(ended(Fault::Other, false, false));
        // Connected to the second one, well, and for long: the first one has its turn again.
        retry.next(ended(Fault::Other, true, true));
        assert_eq!((retry.broker, retry.attempt), (0, 1));
        // One that does not want us makes the round a slow one, though others are only away.
        let mut retry = Retry { attempt: 20, ..Retry::new(seed("n-1"), 2, DEFAULTS) };
        assert!(retry.next(ended(Fault::Refused, false, false)) <= 1000);
        let waits = (0..40).map(|_| {
            retry.next(ended(Fault::Refused, false, false)).max(retry.next(ended(Fault::Other, false, false)))
        });
        assert!(waits.max().unwrap() > 120_000);
    }

    #[test]
    fn a_fleet_that_moves_to_the_second_broker_does_not_storm_it() {
        let mut arrivals = vec![0u32; 200];
        for device in 0..10_000 {
            let mut retry = Retry::new(seed(&format!("node-{device}")), 2, DEFAULTS);
            let first = retry.next(ended(Fault::Closed, true, true));
            assert_eq!(retry.broker, 0);
            let at = first + retry.next(ended(Fault::Other, false, false));
            assert_eq!(retry.broker, 1);
            arrivals[usize::try_from(at / 1000).unwrap()] += 1;
        }
        assert!(arrivals.iter().all(|n| *n <= 500), "{arrivals:?}");
        assert!(arrivals[40..].iter().all(|n| *n == 0));
    }
}
