//! What goes on in any fleet, and means nothing.

use fieldmouse_core::wire::phase;

use super::layout::{Layout, Role, SERVICES};
use super::signs::{self, Sign};
use super::tell::{DAY, HOUR, MINUTE, SECOND, Story, Way};

/// Three o'clock at night.
const BACKUP: u64 = 3 * HOUR;

/// How much of it there is: per mille of what is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise(pub u64);

/// From `start`, a midnight, for so many days.
pub fn background(story: &mut Story<'_>, start: u64, days: u64, noise: Noise) {
    for node in 0..story.layout.nodes.len() {
        let role = story.layout.nodes[node].role;
        let mut span = |per_day_mille: u64| events(story, per_day_mille * noise.0 / 1000, start, days);
        // The budget of every device is an alarm a week.
        let spurious = span(143);
        let facts = span(200);
        let reboots = span(30);
        let blips = if role == Role::Sensor { span(40) } else { Vec::new() };
        spurious.into_iter().for_each(|at| odd_moment(story, node, at));
        facts.into_iter().for_each(|at| line(story, node, at));
        for at in reboots {
            let to = at + story.seconds(25, 120);
            story.away(node, at, to, Way::Restart);
        }
        blips.into_iter().for_each(|at| blip(story, node, at));
        match role {
            Role::Sensor if story.rng.chance(15) => weak_signal(story, node, start, days),
            Role::Sensor if story.rng.chance(15) => flapping(story, node, start, days),
            Role::Host => host(story, node, start, days),
            _ => {}
        }
        if role != Role::Sensor && story.rng.chance(80) || story.rng.chance(12) {
            filling(story, node, start, days);
        }
    }
}

/// Times at which something happens so often, by chance.
fn events(story: &mut Story<'_>, per_day_mille: u64, start: u64, days: u64) -> Vec<u64> {
    let mean = per_day_mille * days;
    let count = mean / 1000 + u64::from(story.rng.below(1000) < mean % 1000);
    // As many again, or none: the sum of two chances is rougher than one.
    let count = story.rng.between(0, 2 * count);
    (0..count).map(|_| start + story.rng.below(days * DAY)).collect()
}

/// A false alarm.
pub fn odd_moment(story: &mut Story<'_>, node: usize, at: u64) {
    let sign = any(story, node);
    let more = any(story, node);
    let signs = if story.rng.chance(600) { vec![sign] } else { vec![sign, more] };
    let end = at + story.rng.spread(20 * SECOND, 12 * MINUTE);
    let culprit = story.rng.chance(300).then_some("logrotate");
    story.episode(node, &signs, at, end, culprit);
}

fn any(story: &mut Story<'_>, node: usize) -> Sign {
    let services = story.layout.nodes[node].services.clone();
    let role = story.layout.nodes[node].role;
    let rng = &mut story.rng;
    match (role, rng.below(8)) {
        (Role::Host, 0 | 1) if !services.is_empty() => {
            let service = rng.pick(&services);
            if rng.chance(500) { signs::slow(rng, service) } else { signs::failing(rng, service) }
        }
        (Role::Sensor, 0..=2) => signs::sensor(rng, "vibration"),
        (Role::Sensor, 3) => signs::temperature(rng),
        (_, 0 | 4) => signs::cpu(rng),
        (_, 1) => signs::disk_io(rng),
        (_, 5) => signs::traffic(rng),
        (_, 6) => signs::started(rng),
        (_, 2) => signs::lines(rng, "journal"),
        _ => signs::connections(rng),
    }
}

fn line(story: &mut Story<'_>, node: usize, at: u64) {
    const STREAMS: [&str; 5] = ["sshd", "kernel", "cron", "dhclient", "fieldmouse"];
    let stream = story.rng.pick(&STREAMS);
    match story.rng.below(10) {
        0 => story.burst(node, at, stream, "97 % of them this message: connection reset by <*>"),
        1 => story.fact(
            node,
            at,
            13,
            ("log-rate", "5ad01f20", &format!("{stream}: 40/min instead of 3/min: session opened")),
        ),
        _ => {
            let text = format!("{stream}: new message: renewed lease of <*> after <*>");
            story.fact(node, at, 9, ("log-new", "00c1a7e5", &text));
        }
    }
}

/// A connection that breaks and comes back.
fn blip(story: &mut Story<'_>, node: usize, at: u64) {
    let to = at + story.rng.spread(5 * SECOND, 3 * MINUTE);
    story.away(node, at, to, Way::Cut);
}

/// A sensor at the edge of its radio's reach.
fn weak_signal(story: &mut Story<'_>, node: usize, start: u64, days: u64) {
    for at in events(story, 8000, start, days) {
        blip(story, node, at);
    }
}

/// The same again and again within an hour.
fn flapping(story: &mut Story<'_>, node: usize, start: u64, days: u64) {
    for at in events(story, 900, start, days) {
        let sign = any(story, node);
        let mut spans = Vec::new();
        let mut from = at;
        for _ in 0..story.rng.between(3, 9) {
            let to = from + story.seconds(20, 180);
            spans.push((from, to));
            from = to + story.seconds(120, 400);
        }
        story.episodes(node, &[sign], &spans, None);
    }
}

/// What is done on servers: backups, packages, deployments that are good, jobs that fail.
fn host(story: &mut Story<'_>, node: usize, start: u64, days: u64) {
    let backs_up = story.rng.chance(400);
    let minute = story.rng.between(0, 20) * MINUTE;
    for day in 0..days {
        let midnight = start + day * DAY;
        if backs_up {
            let at = midnight + BACKUP + minute + story.seconds(0, 20);
            let end = at + story.seconds(500, 1500);
            let signs = [signs::disk_io(&mut story.rng), signs::traffic(&mut story.rng)];
            story.episode(node, &signs, at, end, Some("backup"));
        }
        if story.rng.chance(250) {
            let at = midnight + 6 * HOUR + story.seconds(0, 3600);
            packages(story, node, at);
        }
        if story.rng.chance(150) {
            let at = midnight + 9 * HOUR + story.rng.below(8 * HOUR);
            let service = story.rng.pick(&SERVICES);
            deployed(story, node, at, service);
        }
        if story.rng.chance(60) {
            let at = midnight + story.rng.below(DAY);
            story.fact(node, at, 17, ("unit-failed", "apt-daily.service", "unit apt-daily.service failed"));
        }
        if story.rng.chance(60) {
            let at = midnight + story.rng.below(DAY);
            let text = "job nightly-report failed after 41 s: main 1a2b3c4d (jenkins)";
            story.fact(node, at, 13, ("job", "nightly-report", text));
        }
    }
}

/// Packages that are upgraded by the clock.
pub fn packages(story: &mut Story<'_>, node: usize, at: u64) {
    const WHAT: [(&str, &str); 4] = [
        ("openssl", "openssl upgraded from 3.0.15 to 3.0.16"),
        ("tzdata", "tzdata upgraded from 2026a to 2026b"),
        ("libc6", "3 packages upgraded, among them libc6 2.36 to 2.36-9"),
        ("linux-image", "linux-image installed"),
    ];
    let (about, text) = story.rng.pick(&WHAT);
    story.fact(node, at, 9, ("package", about, text));
}

/// A deployment after which nothing happens.
pub fn deployed(story: &mut Story<'_>, node: usize, at: u64, service: &str) {
    let text = format!("deployment of {service} to production succeeded after 41 s: main 5e0c1d2a (github)");
    story.fact(node, at, 9, ("deployment", "production", &text));
}

/// A file system that will be full, and is cleaned in time.
fn filling(story: &mut Story<'_>, node: usize, start: u64, days: u64) {
    let sign = signs::filesystem(&mut story.rng, "/var");
    let from = start + story.rng.below(days * DAY * 2 / 3);
    let full = from + 6 * DAY;
    story.forecast(node, &sign, from, full, phase::OPENED);
    let over = from + DAY + story.rng.below(DAY);
    story.forecast(node, &sign, over, full, phase::CLOSED);
}

/// Chance does not keep away from faults: something unrelated nearby, and something that was changed elsewhere.
pub fn red_herrings(story: &mut Story<'_>, site: &str, onset: u64, not: &[usize]) {
    let others: Vec<usize> = (0..story.layout.nodes.len())
        .filter(|i| story.layout.nodes[*i].site == site && !not.contains(i))
        .collect();
    let Some(hosts) = Some(Layout::of(story.layout, site, Role::Host)).filter(|h| !h.is_empty()) else {
        return;
    };
    if story.rng.chance(500) && !others.is_empty() {
        let node = story.rng.pick(&others);
        let at = (onset + story.seconds(0, 600)).saturating_sub(5 * MINUTE);
        odd_moment(story, node, at);
    }
    if story.rng.chance(400) {
        let node = story.rng.pick(&hosts);
        let at = onset.saturating_sub(story.seconds(30, 900));
        packages(story, node, at);
    }
}
