//! Which part of a device a signal is about, as far as the topology knows what runs there. A line of a program, a unit that
//! failed and a container are about the service of the same name; without it they would be about the device, and nobody
//! who calls the service would be held to depend on them.

use crate::signal::{Signal, What};
use crate::topology::Topology;

/// Names each signal's service, if what it tells names exactly one that runs on its device.
pub(super) fn place(signals: &mut [Signal], topology: &Topology) {
    for signal in signals {
        let told = match (signal.entity.split_once('#'), signal.key.what) {
            // Of `unit=shop.service` and `container=shop` the name is what counts.
            (Some((_, part)), _) if !part.starts_with("service=") => part,
            (None, What::Fact | What::Trouble) => signal.text.as_str(),
            _ => continue,
        };
        let device = signal.device().to_owned();
        if let Some(service) = named(told, topology.services(&device)) {
            signal.entity = format!("{device}#service={service}");
        }
    }
}

/// The one of these that stands in the text as a word.
fn named<'t>(text: &str, services: impl Iterator<Item = &'t str>) -> Option<&'t str> {
    let is_of_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let stands = |service: &&str| text.split(|c| !is_of_name(c)).any(|word| word == *service);
    let mut all = services.filter(stands);
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_one_service_or_none() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(named(text, ["shop", "shop-db", "web"].into_iter()), want, "{text}");
        };
        check("unit shop.service failed", Some("shop"));
        check("kernel: out of memory: killed process <*> (web)", Some("web"));
        check("shop-db: 41 errors in 2 min instead of 1", Some("shop-db"));
        check("container=web", Some("web"));
        check("shop: calls of web failed", None);
        check("webserver restarted", None);
        check("", None);
    }
}
