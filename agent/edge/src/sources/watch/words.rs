//! What changed of watched files, as facts: one of units, one of the rest.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fieldmouse_core::series::cut;
use fieldmouse_core::wire::{Detail, Fact};

use super::look::file_of;
use crate::inventory::Difference;
use crate::sources::package::age_ms;
use crate::sources::text::end_of;

/// Where systemd has its units.
const UNITS: [&str; 3] = ["/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"];
/// Text that still leaves an event small.
const TEXT: usize = 160;
/// The longest name in it, and the longest that a fact can be about.
const NAME: usize = 96;
const ABOUT: usize = 64;

/// Everything that is told of these differences.
pub(super) fn facts(different: &[Difference<'_>], root: &Path) -> Vec<Fact> {
    let (units, files): (Vec<_>, Vec<_>) = different.iter().partition(|d| unit(d.name).is_some());
    let told = [("unit-changed", "unit", units), ("file-changed", "file", files)];
    told.into_iter().filter_map(|(kind, noun, all)| fact(kind, noun, &all, root)).collect()
}

fn unit(path: &str) -> Option<&str> {
    UNITS.iter().find_map(|folder| path.strip_prefix(folder))
}

fn fact(kind: &str, noun: &str, all: &[&Difference<'_>], root: &Path) -> Option<Fact> {
    let first = all.first()?;
    let names: Vec<&str> = all.iter().map(|d| unit(d.name).unwrap_or(d.name)).collect();
    let text = match (unit(first.name), all) {
        (Some(unit), [alone]) => format!("unit {} {}", end_of(unit, NAME), described(alone)),
        (None, [alone]) => format!("{} {}", end_of(alone.name, NAME), described(alone)),
        _ => several(noun, all, &names),
    };
    let changed_s = all.iter().filter_map(|d| Some(std::fs::symlink_metadata(file_of(root, d.name)).ok()?.ctime())).max();
    let detail = Detail {
        about: cut(&end_of(names.first()?, ABOUT)),
        since_ms: changed_s.map_or(0, age_ms),
        count: u32::try_from(all.len()).unwrap_or(u32::MAX),
        ..Detail::default()
    };
    Some(Fact { detail: Some(detail), ..Fact::new(kind, &text) })
}

/// `3 files changed, 1 made: /etc/hosts, /etc/fstab and 2 more`
fn several(noun: &str, all: &[&Difference<'_>], names: &[&str]) -> String {
    let count = |is: fn(&Difference<'_>) -> bool| all.iter().filter(|d| is(d)).count();
    let counts = [
        ("changed", count(|d| d.was.is_some() && d.now.is_some())),
        ("made", count(|d| d.was.is_none())),
        ("removed", count(|d| d.now.is_none())),
    ];
    let mut text = String::new();
    for (verb, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let s = if count == 1 { "" } else { "s" };
        text += &if text.is_empty() { format!("{count} {noun}{s} {verb}") } else { format!(", {count} {verb}") };
    }
    let mut named = 0;
    for name in names {
        let name = end_of(name, NAME);
        let before = if named == 0 { ": " } else { ", " };
        if named > 0 && text.len() + before.len() + name.len() > TEXT {
            break;
        }
        text += before;
        text += &name;
        named += 1;
    }
    if named < names.len() {
        text += &format!(" and {} more", names.len() - named);
    }
    text
}

/// What a mark says: `size mode owner hash`, or `-> target`.
enum Mark<'a> {
    File([&'a str; 4]),
    Link(&'a str),
}

fn mark(text: &str) -> Mark<'_> {
    if let Some(target) = text.strip_prefix("-> ") {
        return Mark::Link(target);
    }
    let mut words = text.split(' ');
    Mark::File([(); 4].map(|()| words.next().unwrap_or("?")))
}

/// `changed: 3287 to 3301 bytes, mode 644 to 600, sha256 1a2b3c4d5e6f`
fn described(difference: &Difference<'_>) -> String {
    match (difference.was.map(mark), difference.now.map(mark)) {
        (Some(Mark::File(was)), Some(Mark::File(now))) => changed(was, now),
        (Some(Mark::Link(was)), Some(Mark::Link(now))) => format!("points to {now}, no longer to {was}"),
        (None, Some(Mark::File([size, mode, owner, hash]))) => {
            format!("made: {size} bytes, mode {mode}, owner {owner}{}", sha256(hash))
        }
        (None, Some(Mark::Link(target))) => format!("made: it points to {target}"),
        (Some(_), Some(Mark::File([size, ..]))) => format!("is a file of {size} bytes now, no longer a link"),
        (Some(_), Some(Mark::Link(target))) => format!("points to {target} now, it was a file"),
        (_, None) => "removed".to_owned(),
    }
}

fn changed(was: [&str; 4], now: [&str; 4]) -> String {
    let [size, mode, owner, hash] = now;
    let mut parts = Vec::new();
    if was[0] != size {
        parts.push(format!("{} to {size} bytes", was[0]));
    } else if was[3] != hash {
        parts.push(format!("{size} bytes as before, others"));
    }
    if was[1] != mode {
        parts.push(format!("mode {} to {mode}", was[1]));
    }
    if was[2] != owner {
        parts.push(format!("owner {} to {owner}", was[2]));
    }
    let hash = if was[3] == hash { String::new() } else { sha256(hash) };
    format!("changed: {}{hash}", parts.join(", "))
}

/// The hash, if the file could be read.
fn sha256(hash: &str) -> String {
    let hash = hash.split('@').next().unwrap_or_default();
    if hash.is_empty() { String::new() } else { format!(", sha256 {hash}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_and_of_several() {
        let check = |list: &[(&'static str, &'static str, &'static str)], want: &[(&str, &str, &str)]| {
            let some = |mark: &'static str| (!mark.is_empty()).then_some(mark);
            let list: Vec<_> =
                list.iter().map(|(name, was, now)| Difference { name, was: some(was), now: some(now) }).collect();
            let told = facts(&list, Path::new("/nowhere"));
            let told: Vec<_> = told
                .iter()
                .map(|f| (f.kind.as_str(), f.detail.as_ref().unwrap().about.as_str(), f.text.as_str()))
                .collect();
            assert_eq!(told, want);
        };
        check(
            &[("/etc/hosts", "10 644 0:0 aa", "12 600 0:0 bb")],
            &[("file-changed", "/etc/hosts", "/etc/hosts changed: 10 to 12 bytes, mode 644 to 600, sha256 bb")],
        );
        check(
            &[("/etc/hosts", "10 644 0:0 aa", "10 644 0:7 bb")],
            &[("file-changed", "/etc/hosts", "/etc/hosts changed: 10 bytes as before, others, owner 0:0 to 0:7, sha256 bb")],
        );
        check(
            &[("/etc/sudoers", "10 440 0:0 @5.0", "10 440 0:0 @6.0")],
            &[("file-changed", "/etc/sudoers", "/etc/sudoers changed: 10 bytes as before, others")],
        );
        check(
            &[("/etc/systemd/system/web.service", "", "99 644 0:0 cc")],
            &[("unit-changed", "web.service", "unit web.service made: 99 bytes, mode 644, owner 0:0, sha256 cc")],
        );
        check(
            &[("/etc/resolv.conf", "-> a", "-> b"), ("/usr/lib/systemd/system/x.timer", "1 644 0:0 cc", "")],
            &[
                ("unit-changed", "x.timer", "unit x.timer removed"),
                ("file-changed", "/etc/resolv.conf", "/etc/resolv.conf points to b, no longer to a"),
            ],
        );
        check(
            &[
                ("/etc/a", "1 1 0:0 a", "2 1 0:0 b"),
                ("/etc/b", "", "2 1 0:0 b"),
                ("/etc/c", "2 1 0:0 b", ""),
                ("/etc/d", "2 1 0:0 b", ""),
            ],
            &[("file-changed", "/etc/a", "1 file changed, 1 made, 2 removed: /etc/a, /etc/b, /etc/c, /etc/d")],
        );
        let long: &'static str = Box::leak(format!("/etc/{}/end", "ä".repeat(100)).into_boxed_str());
        let end = end_of(long, 64);
        assert!(end.len() <= 64 && end.starts_with('…') && end.ends_with("/end"), "{end}");
        let told = facts(&[Difference { name: long, was: None, now: Some("1 1 0:0 a") }; 9], Path::new("/nowhere"));
        assert!(told[0].text.ends_with("/end and 8 more"), "{}", told[0].text);
    }
}
