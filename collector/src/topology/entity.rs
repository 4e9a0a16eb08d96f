//! Names of entities: what incidents are about, and what depends on what.
//!
//! | name | what |
//! |---|---|
//! | `hall` | a site, or something that only the declared file knows: `internet`, `erp` |
//! | `hall/press-1` | a device |
//! | `hall/press-1#service=shop` | a part of it |

use fieldmouse_core::wire;

/// The longest name there is, in bytes.
pub const LONGEST: usize = 256;

/// Attributes of series that name a part of the device, and the word for such a part. A device's own chips, disks and
/// interfaces are none: nobody depends on them but the device itself.
const PARTS: [(&str, &str); 6] = [
    ("service.name", "service"),
    ("container.name", "container"),
    ("container.id", "container"),
    ("systemd.unit", "unit"),
    ("sensor.name", "sensor"),
    ("cicd.pipeline.name", "job"),
];

/// A name taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    /// The site, or the whole of a name that is no device's.
    pub site: &'a str,
    /// The device, if it is one or a part of one.
    pub node: Option<&'a str>,
    /// `service=shop`
    pub part: Option<&'a str>,
}

impl<'a> Name<'a> {
    /// Takes a name apart; nothing if it is none.
    #[must_use]
    pub fn of(text: &'a str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (whole, part) = match text.split_once('#') {
            Some((whole, part)) => (whole, Some(part)),
            None => (text, None),
        };
        let (site, node) = match whole.split_once('/') {
            Some((site, node)) => (site, Some(node)),
            None => (whole, None),
        };
        let named = wire::is_name(site) && node.is_none_or(wire::is_name);
        (named && part.is_none_or(|p| node.is_some() && is_part(p))).then_some(Self { site, node, part })
    }

    /// `service` of `hall/press-1#service=shop`.
    #[must_use]
    pub fn kind(&self) -> &'a str {
        match (self.node, self.part) {
            (_, Some(part)) => part.split_once('=').map_or("part", |(kind, _)| kind),
            (Some(_), None) => "device",
            (None, None) => "site",
        }
    }
}

fn is_part(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=32).contains(&kind.len())
        && kind.bytes().all(word)
        && !name.is_empty()
        && !name.chars().any(char::is_control)
}

/// The device of a part, or a device itself; nothing for sites and declared names.
#[must_use]
pub fn device_of(entity: &str) -> Option<&str> {
    let whole = entity.split_once('#').map_or(entity, |(whole, _)| whole);
    whole.contains('/').then_some(whole)
}

/// The site of a device or part; the whole of another name.
#[must_use]
pub fn site_of(entity: &str) -> &str {
    entity.split_once(['/', '#']).map_or(entity, |(site, _)| site)
}

/// `hall/press-1`
#[must_use]
pub fn device(site: &str, node: &str) -> String {
    format!("{site}/{node}")
}

/// `hall/press-1#service=shop`; the device itself if that would be no name.
#[must_use]
pub fn part(device: &str, kind: &str, name: &str) -> String {
    let whole = format!("{device}#{kind}={name}");
    if Name::of(&whole).is_some() { whole } else { device.to_owned() }
}

/// The part of a device that a series speaks of, if it does: `("service", "shop")` of
/// `span.count{service.name=shop,span.name=buy}`.
#[must_use]
pub fn part_of_series(series: &str) -> Option<(&'static str, &str)> {
    let (_, attributes) = series.split_once('{')?;
    let attributes = attributes.strip_suffix('}').unwrap_or(attributes);
    attributes.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let (_, kind) = PARTS.iter().find(|(attribute, _)| *attribute == key)?;
        (!value.is_empty()).then_some((*kind, value))
    })
}

/// What a series of a device speaks of: a part of it, or all of it.
#[must_use]
pub fn of_series(device: &str, series: &str) -> String {
    part_of_series(series).map_or_else(|| device.to_owned(), |(kind, name)| part(device, kind, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_what_is_none_is_refused() {
        let check = |text: &str, want: Option<(&str, Option<&str>, &str)>| {
            let found = Name::of(text).map(|n| (n.site, n.node, n.kind()));
            assert_eq!(found, want, "{text:.80}");
        };
        check("hall", Some(("hall", None, "site")));
        check("hall/press-1", Some(("hall", Some("press-1"), "device")));
        check("hall/press-1#service=shop", Some(("hall", Some("press-1"), "service")));
        check("hall/press-1#sensor=/dev/tty#0=a b", Some(("hall", Some("press-1"), "sensor")));
        for none in
            ["", "/", "hall/", "/press-1", "Hall/press-1", "a/b/c", "hall#service=x", "hall/p#", "hall/p#x"]
        {
            check(none, None);
        }
        check("hall/p#service=", None);
        check("hall/p#service=a\nb", None);
        check("hall/p#SERVICE=a", None);
        check("../../etc/passwd", None);
        check(&"a".repeat(1 << 20), None);
        check(&format!("hall/p#service={}", "x".repeat(1 << 20)), None);
    }

    #[test]
    fn a_series_says_which_part_it_speaks_of() {
        let check = |series: &str, want: &str| assert_eq!(of_series("hall/p", series), want);
        check("span.count{service.name=shop,span.name=GET /}", "hall/p#service=shop");
        check("sensor.value{sensor.name=tank}", "hall/p#sensor=tank");
        check("orders{key=a,container.name=db}", "hall/p#container=db");
        check("hw.temperature{hw.id=soc,hw.sensor_location=package}", "hall/p");
        check("system.uptime", "hall/p");
        check("span.count{service.name=", "hall/p");
        check(&format!("x{{service.name={}}}", "y".repeat(1 << 20)), "hall/p");
    }
}
