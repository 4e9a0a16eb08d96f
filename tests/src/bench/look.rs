//! A look of the desk at a large site, one uplink of which fails: `bench look [--devices 10000] [--seed 1]`. Events come
//! second by second, as they would to a collector, and after each second the desk looks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fieldmouse_collector::cluster::Sites;
use fieldmouse_collector::correlate::Rules;
use fieldmouse_collector::desk::Desk;
use fieldmouse_collector::desk::patterns::Learn;
use fieldmouse_collector::intake::decode::arrival;
use fieldmouse_collector::store::{Database, Store};
use fieldmouse_collector::topology::Declared;

use crate::fleet::{Fleet, storm};
use crate::results::say;
use crate::wait::timed;

/// Prints the figures.
pub fn main(args: &[String]) {
    let (mut devices, mut seed) = (10_000, 1);
    for pair in args.chunks(2) {
        let value = pair.get(1).map(String::as_str).unwrap_or_default();
        let number: u64 = value.parse().unwrap_or_else(|e| panic!("{} `{value}`: {e}", pair[0]));
        match pair[0].as_str() {
            "--devices" => devices = usize::try_from(number).unwrap(),
            "--seed" => seed = number,
            other => panic!("`{other}` is not understood; usage: look [--devices N] [--seed N]"),
        }
    }
    let fleet = storm::uplink(seed, devices);
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    let mut own = desk(&fleet, &store);
    let (mut commits, mut looks, mut now) = (Duration::ZERO, Vec::new(), 0);
    for second in fleet.sent.chunk_by(|a, b| a.received_ms / 1000 == b.received_ms / 1000) {
        now = second[0].received_ms / 1000 * 1000 + 1000;
        let arrivals: Vec<_> = second
            .iter()
            .map(|sent| {
                let node = &fleet.layout.nodes[sent.node];
                let topic = format!("fieldmouse/1/{}/{}/{}", node.site, node.name, sent.leaf);
                arrival("fieldmouse", &topic, &sent.payload, false, sent.received_ms)
            })
            .collect();
        let (done, took) = timed(|| store.commit(&arrivals).unwrap());
        commits += took;
        looks.push(
            timed(|| {
                own.hear(&done.born, now).unwrap();
                own.look(done.touched, now).unwrap();
            })
            .1,
        );
    }
    let site = fleet.layout.nodes[0].site.clone();
    let touched = BTreeMap::from([(site, now)]);
    let (_, quiet) = timed(|| own.look(touched.clone(), now).unwrap());
    let mut other = desk(&fleet, &store);
    let (_, anew) = timed(|| other.look(touched, now).unwrap());
    let ms = |took: Duration| took.as_millis();
    say(&format!("look.events {} events", fleet.events()));
    say(&format!("look.looks {} looks", looks.len()));
    say(&format!("look.all {} ms", ms(looks.iter().sum())));
    say(&format!("look.longest {} ms", ms(looks.iter().max().copied().unwrap_or_default())));
    say(&format!("look.nothing_new {} ms", ms(quiet)));
    say(&format!("look.all_read_anew {} ms", ms(anew)));
    say(&format!("look.commits {} ms", ms(commits)));
}

fn desk(fleet: &Fleet, store: &Arc<dyn Store>) -> Desk {
    let declared = Declared::read("topology.toml", &fleet.layout.declared()).unwrap();
    Desk::new(Arc::clone(store), Rules::default(), Learn::Automatic, declared, Sites::All, 0).unwrap()
}
