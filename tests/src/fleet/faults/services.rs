//! Faults of services and of the hosts they run on. Who calls suffers, and often says so first.

use fieldmouse_core::wire::phase;

use super::super::layout::{Role, SERVICES, callers};
use super::super::signs;
use super::super::tell::{HOUR, MINUTE, SECOND, Story};
use super::{Done, Place, one};

/// A service of the site with its host.
fn service(story: &mut Story<'_>, site: &str, among: &[&'static str]) -> (&'static str, usize) {
    let service = story.rng.pick(among);
    (service, story.layout.host_of(site, service))
}

/// Who calls fails or waits, directly and through others; some of them notice before the service itself does.
fn callers_suffer(
    story: &mut Story<'_>,
    at: Place<'_>,
    service: &'static str,
    end: u64,
    errors: bool,
) -> Vec<String> {
    let mut affected = Vec::new();
    for (caller, far) in callers(service) {
        let node = story.layout.host_of(at.site, caller);
        affected.push(story.layout.nodes[node].part("service", caller));
        // The farther away, the less is seen of it.
        if !story.rng.chance(950 - 150 * far) {
            continue;
        }
        let onset = at.onset + story.seconds(0, 10 + 15 * far);
        let (slow, failing) = (signs::slow(&mut story.rng, caller), signs::failing(&mut story.rng, caller));
        let signs = if errors { [failing, slow] } else { [slow, failing] };
        story.episode(node, &signs, onset, end, None);
        if story.rng.chance(500) {
            let operation = signs::operation(caller);
            let text = format!("{caller}: 44 of 60 calls of {operation} failed within 10 s, usually 0.1 %");
            let when = onset + story.seconds(5, 60);
            story.fact(node, when, 17, ("trace-error", &format!("{caller} {operation}"), &text));
        }
    }
    affected
}

fn done(story: &Story<'_>, host: usize, service: &str, end: u64, affected: Vec<String>) -> Done {
    let node = &story.layout.nodes[host];
    let also = vec![node.part("unit", &format!("{service}.service")), node.part("container", service)];
    Done { cause: node.part("service", service), also, end, affected }
}

/// A bad version is deployed: the service fails, and whoever calls it.
pub(super) fn deployment(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let (service, host) = service(story, at.site, &["shop", "auth", "orders", "cache", "mail"]);
    let end = at.onset + story.seconds(6 * 60, 40 * 60);
    let before = at.onset - story.seconds(10, 240);
    let text = format!("deployment of {service} to production succeeded after 38 s: main 9f31c0de (github)");
    story.fact(host, before, 9, ("deployment", "production", &text));
    let signs = [signs::failing(&mut story.rng, service), signs::slow(&mut story.rng, service)];
    let onset = at.onset + story.seconds(0, 20);
    story.episode(host, &signs, onset, end, None);
    if story.rng.chance(700) {
        let when = onset + story.seconds(5, 60);
        story.burst(host, when, service, "88 % of them this message: no such column <*>");
    }
    let affected = callers_suffer(story, at, service, end, true);
    done(story, host, service, end, affected)
}

/// A library is upgraded, and the service that uses it is restarted with it and gets slow.
pub(super) fn package(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let (service, host) = service(story, at.site, &["auth", "orders", "mail", "cache"]);
    let end = at.onset + story.seconds(10 * 60, 50 * 60);
    let before = at.onset - story.seconds(20, 400);
    let text = format!("2 packages upgraded, among them {service}-server 4.1.2 to 4.2.0");
    story.fact(host, before, 9, ("package", &format!("{service}-server"), &text));
    let onset = at.onset + story.seconds(0, 30);
    let signs = [signs::slow(&mut story.rng, service), signs::cpu(&mut story.rng)];
    story.episode(host, &signs, onset, end, Some(service));
    let affected = callers_suffer(story, at, service, end, false);
    done(story, host, service, end, affected)
}

/// The database waits for its disk. Those who call notice first; in one of three cases its own host sees nothing odd.
pub(super) fn database(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let host = story.layout.host_of(at.site, "db");
    let end = at.onset + story.seconds(8 * 60, 40 * 60);
    let affected = callers_suffer(story, at, "db", end, false);
    let onset = at.onset + story.seconds(0, 50);
    let slow = [signs::slow(&mut story.rng, "db")];
    story.episode(host, &slow, onset, end, None);
    if story.rng.chance(660) {
        let onset = at.onset + story.seconds(0, 60);
        let signs = [signs::disk_busy(&mut story.rng), signs::disk_io(&mut story.rng)];
        story.episode(host, &signs, onset, end, Some("postgres"));
    }
    let mut done = done(story, host, "db", end, affected);
    // Its host's disk is what it waits for.
    done.also.push(story.layout.nodes[host].entity());
    done
}

/// A service eats the memory of its host, is killed for it, and takes its callers along.
pub(super) fn leak(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let (service, host) = service(story, at.site, &["shop", "orders", "auth", "mail"]);
    let killed = at.onset + story.seconds(12 * 60, 35 * 60);
    let end = killed + story.seconds(3 * 60, 10 * 60);
    let memory = signs::memory(&mut story.rng);
    if story.rng.chance(500) {
        let early = at.onset - story.rng.between(20 * MINUTE, 2 * HOUR);
        story.forecast(host, &memory, early, killed, phase::OPENED);
        story.forecast(host, &memory, end + MINUTE, killed, phase::CLOSED);
    }
    story.episode(host, &[memory], at.onset, killed, Some(service));
    // Before the end, everything is slow.
    let late = Place { onset: killed - story.seconds(60, 240), ..at };
    let affected = callers_suffer(story, late, service, end, false);
    let unit = format!("{service}.service");
    let text = format!("kernel: out of memory: killed process <*> ({service})");
    story.fact(host, killed, 17, ("log-crash", &unit, &text));
    story.fact(host, killed + 2 * SECOND, 17, ("unit-failed", &unit, &format!("unit {unit} failed")));
    let mut done = done(story, host, service, end, affected);
    done.also.push(story.layout.nodes[host].entity());
    done
}

/// A job beside services takes the processor; they are slow without a fault of their own.
pub(super) fn neighbour(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let host = one(story.layout, &mut story.rng, at.site, Role::Host);
    let end = at.onset + story.seconds(6 * 60, 30 * 60);
    let services = story.layout.nodes[host].services.clone();
    let mut affected = Vec::new();
    for service in services {
        let onset = at.onset + story.seconds(0, 25);
        let slow = [signs::slow(&mut story.rng, service)];
        story.episode(host, &slow, onset, end, None);
        affected.push(story.layout.nodes[host].part("service", service));
        affected.extend(callers_suffer(story, at, service, end, false));
    }
    let onset = at.onset + story.seconds(0, 20);
    let signs = [signs::cpu(&mut story.rng), signs::started(&mut story.rng)];
    story.episode(host, &signs, onset, end, Some("transcode"));
    let node = &story.layout.nodes[host];
    let also = vec![node.part("container", "transcode"), node.part("unit", "transcode.service")];
    Done { cause: node.entity(), also, end, affected }
}

/// A service dies at once and is not started again for a while; it itself tells nothing but that.
pub(super) fn crash(story: &mut Story<'_>, at: Place<'_>) -> Done {
    let (service, host) = service(story, at.site, &SERVICES[1..]);
    let end = at.onset + story.seconds(5 * 60, 25 * 60);
    let unit = format!("{service}.service");
    let when = at.onset + story.seconds(0, 8);
    story.fact(host, when, 17, ("unit-failed", &unit, &format!("unit {unit} failed")));
    if story.rng.chance(400) {
        let text = format!("{service} was ended by SIGSEGV and left a core");
        story.fact(host, when + SECOND, 17, ("coredump", &unit, &text));
    }
    let affected = callers_suffer(story, at, service, end, true);
    done(story, host, service, end, affected)
}
