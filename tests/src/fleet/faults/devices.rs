//! Faults of single devices, and of the room they stand in.

use fieldmouse_core::shape::Shape;
use fieldmouse_core::wire::phase;

use super::super::layout::Role;
use super::super::signs::{self, Sign};
use super::super::tell::{HOUR, MINUTE, Story};
use super::{Done, Place, entities, one};

/// A gateway's disk is full: it takes no more messages. Its sensors cannot publish, and notice within seconds.
pub(super) fn gateway_disk(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let layout = story.layout;
    let gateway = one(layout, &mut story.rng, at.site, Role::Gateway);
    let behind = layout.behind(gateway);
    let end = at.onset + story.seconds(10 * 60, 45 * 60);
    let disk = signs::filesystem(&mut story.rng, "/var");
    if story.rng.chance(500) {
        let early = at.onset - story.rng.between(HOUR, 3 * HOUR);
        story.forecast(gateway, &disk, early, at.onset, phase::OPENED);
        story.forecast(gateway, &disk, end + MINUTE, at.onset, phase::CLOSED);
    }
    let from = at.onset + story.seconds(0, 40);
    story.episode(gateway, &[disk], from, end, None);
    if story.rng.chance(600) {
        let when = at.onset + story.seconds(5, 120);
        story.burst(gateway, when, "mosquitto", "99 % of them this message: no space left on device");
    }
    for &node in &behind {
        if story.rng.chance(500) {
            let when = at.onset + story.seconds(5, 90);
            story.burst(node, when, "reader", "99 % of them this message: publish refused: quota exceeded");
        } else if story.rng.chance(400) {
            let from = at.onset + story.seconds(5, 90);
            let signs = [signs::connections(&mut story.rng)];
            story.episode(node, &signs, from, end, None);
        }
    }
    let affected = entities(layout, &behind);
    Done { cause: layout.nodes[gateway].entity(), also: Vec::new(), end, affected }
}

/// A gateway's clock jumps: nobody's certificate is valid for it, nor its own for others.
pub(super) fn clock(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let layout = story.layout;
    let gateway = one(layout, &mut story.rng, at.site, Role::Gateway);
    let behind = layout.behind(gateway);
    let end = at.onset + story.seconds(10 * 60, 40 * 60);
    let when = at.onset + story.seconds(0, 60);
    let text = "chronyd: new message: system clock wrong by <*> seconds";
    story.fact(gateway, when, 17, ("log-new", "9920b1c4", text));
    let when = when + story.seconds(5, 40);
    story.burst(gateway, when, "stunnel", "97 % of them this message: certificate is not yet valid");
    for &node in &behind {
        if story.rng.chance(450) {
            let when = at.onset + story.seconds(10, 150);
            story.burst(node, when, "reader", "98 % of them this message: tls handshake with <*> failed");
        } else if story.rng.chance(300) {
            let from = at.onset + story.seconds(10, 90);
            story.trouble(node, from, end, "file", "does not answer before its deadline");
        }
    }
    let affected = entities(layout, &behind);
    Done { cause: layout.nodes[gateway].entity(), also: Vec::new(), end, affected }
}

/// A sensor stands still. Nobody else says a word.
pub(super) fn sensor_frozen(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let sensor = one(story.layout, &mut story.rng, at.site, Role::Sensor);
    let end = at.onset + story.seconds(20 * 60, 90 * 60);
    let value = signs::sensor(&mut story.rng, "vibration");
    let frozen = Sign { now: value.usual, shape: Shape::Frozen, ..value };
    story.episode(sensor, &[frozen], at.onset, end, None);
    let node = &story.layout.nodes[sensor];
    Done { cause: node.entity(), also: vec![node.part("sensor", "vibration")], end, affected: Vec::new() }
}

/// The hall gets hot: sensors all over the site rise together, whatever they are behind.
pub(super) fn heat(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let layout = story.layout;
    let end = at.onset + story.seconds(30 * 60, 90 * 60);
    let mut affected = Vec::new();
    for node in layout.of(at.site, Role::Sensor).into_iter().chain(layout.of(at.site, Role::Host)) {
        if story.rng.chance(800) {
            let from = at.onset + story.seconds(0, 240);
            let signs = [signs::temperature(&mut story.rng)];
            story.episode(node, &signs, from, end, None);
            affected.push(node);
        }
    }
    Done { cause: at.site.to_owned(), also: Vec::new(), end, affected: entities(layout, &affected) }
}
