//! How long to wait before the next attempt: exponential with full jitter, so that a fleet spreads out.

use fieldmouse_core::series::Millis;

/// A number from the node's name, so that every device waits differently and a test can foretell how long.
#[must_use]
pub fn seed(node: &str) -> u64 {
    node.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
}

/// The wait before attempt `attempt` (0 is the first after a failure): evenly spread over `0..=least * 2^attempt`, that
/// capped at `most`, and never less than a tenth of `least`.
#[must_use]
pub fn backoff(attempt: u32, seed: u64, least: Millis, most: Millis) -> Millis {
    let ceiling = least.saturating_mul(1u64.checked_shl(attempt).unwrap_or(u64::MAX)).min(most).max(1);
    // splitmix64
    let mut z = seed.wrapping_add(u64::from(attempt).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) % (ceiling + 1)).max(least / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
