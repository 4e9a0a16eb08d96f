//! Faults of what others are reached through, or fed by. Their causes are mostly silent.

use super::super::layout::Role;
use super::super::signs;
use super::super::tell::{MINUTE, SECOND, Story, Way};
use super::{Done, Place, entities, one};

/// The site's router fails. Nobody can tell anything until it is back; what is told then comes all at once.
pub(super) fn uplink(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let layout = story.layout;
    let uplink = layout.of(at.site, Role::Uplink)[0];
    let behind = layout.behind(uplink);
    let end = at.onset + story.seconds(16 * 60, 40 * 60);
    // Half of the time it was its power that failed, and it says so afterwards.
    let way = if story.rng.chance(500) { Way::Power } else { Way::Silence };
    story.away(uplink, at.onset, end, way);
    for &node in &behind {
        let from = at.onset + story.seconds(0, 3);
        story.away(node, from, end, Way::Silence);
        match layout.nodes[node].role {
            Role::Gateway if story.rng.chance(700) => {
                let signs = [signs::connections(&mut story.rng), signs::retransmits(&mut story.rng)];
                story.episode(node, &signs, from, end, None);
            }
            Role::Host if !layout.nodes[node].services.is_empty() => {
                let when = from + story.seconds(20, 120);
                story.burst(node, when, "web", "91 % of them this message: no route to <*>");
            }
            Role::Sensor if story.rng.chance(100) => {
                let when = from + story.seconds(20, 200);
                story.burst(node, when, "reader", "99 % of them this message: publish timed out");
            }
            _ => {}
        }
    }
    let affected = entities(layout, &behind);
    Done { cause: layout.nodes[uplink].entity(), also: Vec::new(), end, affected }
}

/// A gateway hangs: it and all behind it are lost, one after another, and it never says why.
pub(super) fn gateway_gone(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let layout = story.layout;
    let gateway = one(layout, &mut story.rng, at.site, Role::Gateway);
    let behind = layout.behind(gateway);
    let end = at.onset + story.seconds(17 * 60, 45 * 60);
    for &node in behind.iter().chain([&gateway]) {
        let from = at.onset + story.seconds(0, 5);
        let way = if node == gateway { Way::Power } else { Way::Silence };
        story.away(node, from, end, way);
        if node != gateway && story.rng.chance(250) {
            let when = from + story.seconds(10, 90);
            story.burst(node, when, "reader", "99 % of them this message: publish timed out");
        }
    }
    let affected = entities(layout, &behind);
    Done { cause: layout.nodes[gateway].entity(), also: Vec::new(), end, affected }
}

/// A bad cable at a gateway: what is behind it sends everything twice. The gateway sees errors last.
pub(super) fn gateway_link(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let layout = story.layout;
    let gateway = one(layout, &mut story.rng, at.site, Role::Gateway);
    let behind = layout.behind(gateway);
    let end = at.onset + story.seconds(8 * 60, 30 * 60);
    for &node in &behind {
        if story.rng.chance(700) {
            let from = at.onset + story.seconds(0, 40);
            let signs = [signs::retransmits(&mut story.rng), signs::connections(&mut story.rng)];
            story.episode(node, &signs, from, end, None);
        } else if story.rng.chance(300) {
            let from = at.onset + story.seconds(10, 200);
            let to = from + story.rng.between(30 * SECOND, 4 * MINUTE);
            story.away(node, from, to, Way::Cut);
        }
    }
    let from = at.onset + story.seconds(0, 60);
    let signs = [signs::link_errors(&mut story.rng), signs::retransmits(&mut story.rng)];
    story.episode(gateway, &signs, from, end, None);
    if story.rng.chance(500) {
        let when = at.onset + story.seconds(20, 120);
        story.fact(
            gateway,
            when,
            13,
            ("log-new", "7be2c401", "kernel: new message: eth0: link is not ready"),
        );
    }
    let affected = entities(layout, &behind);
    Done { cause: layout.nodes[gateway].entity(), also: Vec::new(), end, affected }
}

/// The power supply of hosts and gateways fails. They go first; it says so while it lives on what is left.
pub(super) fn power(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let layout = story.layout;
    let ups = layout.of(at.site, Role::Ups)[0];
    let end = at.onset + story.seconds(18 * 60, 50 * 60);
    let behind = layout.behind(ups);
    for &node in &behind {
        let from = at.onset + story.seconds(0, 90);
        // Sensors have batteries, but their gateways do not.
        let way = if layout.nodes[node].role == Role::Sensor { Way::Silence } else { Way::Power };
        let to = end + story.seconds(0, 60);
        story.away(node, from, to, way);
    }
    let from = at.onset + story.seconds(0, 30);
    let signs = [signs::voltage(&mut story.rng)];
    story.episode(ups, &signs, from, end, None);
    if story.rng.chance(600) {
        let when = at.onset + story.seconds(10, 90);
        story.fact(ups, when, 17, ("log-new", "31f0aa87", "upsd: new message: on battery, <*> % left"));
    }
    let affected = entities(layout, &behind);
    Done { cause: layout.nodes[ups].entity(), also: Vec::new(), end, affected }
}
