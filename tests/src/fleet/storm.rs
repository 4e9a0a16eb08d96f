//! One router, and everybody behind it.

use super::Fleet;
use super::MONDAY;
use super::deliver::deliver;
use super::faults::Label;
use super::layout::Layout;
use super::signs;
use super::tell::{HOUR, SECOND, Script, Story, Way};
use crate::sim::rng::Rng;

/// The uplink of `devices` loses most of what goes through it, then all, for half a minute: each device tells four times
/// within a minute, many are lost and come back. The uplink itself tells of it last, in every second seed not at all.
#[must_use]
pub fn uplink(seed: u64, devices: usize) -> Fleet {
    let mut rng = Rng::new(seed);
    let layout = Layout::one_uplink(devices);
    let mut script = Script::default();
    let onset = MONDAY + HOUR;
    let end = onset + 15 * SECOND;
    let mut story = Story { layout: &layout, script: &mut script, rng: rng.fork(), fault: Some(0) };
    let all = layout.behind(0);
    for &node in &all {
        let from = onset + story.seconds(0, 4);
        let signs = [signs::retransmits(&mut story.rng), signs::connections(&mut story.rng)];
        // Opened and closed, a burst of lines, and a source that waits in vain.
        story.brief(node, &signs[..1], from, end);
        let when = from + story.seconds(3, 12);
        story.burst(node, when, "reader", "99 % of them this message: publish timed out");
        let when = when + story.seconds(1, 10);
        story.stumble(node, when, "file", "does not answer before its deadline");
        if story.rng.chance(50) {
            let when = from + story.seconds(8, 15);
            story.burst(node, when, "dhclient", "99 % of them this message: no answer of <*>");
        }
        if story.rng.chance(200) {
            let (from, to) = (onset + story.seconds(8, 14), end + story.seconds(1, 10));
            story.away(node, from, to, Way::Cut);
        }
    }
    if seed.is_multiple_of(2) {
        let from = onset + 2 * SECOND;
        let signs = [signs::link_errors(&mut story.rng)];
        story.brief(0, &signs, from, end);
    } else {
        story.away(0, onset + 8 * SECOND, end + 5 * SECOND, Way::Cut);
    }
    let label = Label {
        fault: 0,
        kind: "uplink",
        site: layout.nodes[0].site.clone(),
        cause: layout.nodes[0].entity(),
        also: Vec::new(),
        onset_ms: onset,
        end_ms: end,
        affected: all.iter().map(|i| layout.nodes[*i].entity()).collect(),
    };
    let (sent, traces) = deliver(&layout, &script, &mut rng, MONDAY);
    Fleet { layout, sent, labels: vec![label], traces }
}
