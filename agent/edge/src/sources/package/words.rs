//! What changed of packages, as one fact: how many, and the names that matter most.

use std::cmp::Ordering;
use std::fmt::Write;

use fieldmouse_core::series::cut;
use fieldmouse_core::wire::{Detail, Fact};

use crate::inventory::Difference;
use crate::sources::matches_any;

/// What a change of it may take down, gravest first: the kernel, then what everything is linked with or started by.
const GRAVE: [&[&str]; 2] = [
    &["kernel", "kernel-core", "linux-image*", "linux-lts", "linux-virt", "linux-rpi*", "raspberrypi-kernel", "kernel-default"],
    &[
        "libc6", "glibc", "musl", "libc", "openssl*", "libssl*", "libcrypto*", "libgnutls*", "libmbedtls*", "libwolfssl*",
        "ca-certificates*", "systemd*", "udev", "procd*", "dbus", "busybox",
    ],
];
/// Text that still leaves an event small.
const TEXT: usize = 180;

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) was: Option<String>,
    pub(super) now: Option<String>,
}

/// Everything that changed at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) all: Vec<Change>,
    /// Said of what has no names: the database grew.
    pub(super) besides: String,
}

impl Changes {
    /// From names like `bash:amd64`.
    pub(super) fn of(different: &[Difference<'_>]) -> Self {
        let own = |mark: Option<&str>| mark.map(ToOwned::to_owned);
        let name = |d: &Difference<'_>| d.name.split(':').next().unwrap_or_default().to_owned();
        let mut all: Vec<Change> =
            different.iter().map(|d| Change { name: name(d), was: own(d.was), now: own(d.now) }).collect();
        // The same for two architectures is said once.
        all.dedup();
        Self { all, besides: String::new() }
    }

    /// Tells it, with what matters most first. `running` are the names of programs.
    pub(super) fn fact(mut self, running: &[String], since_ms: u32) -> Option<Fact> {
        let Some(first) = self.all.first() else {
            let detail = Detail { since_ms, ..Detail::default() };
            let fact = Fact { detail: Some(detail), ..Fact::new("package", &self.besides) };
            return (!self.besides.is_empty()).then_some(fact);
        };
        let text = if self.all.len() == 1 {
            first.alone()
        } else {
            self.all.sort_by_cached_key(|change| (change.rank(running), change.name.clone()));
            self.text()
        };
        let about = self.all.first().map(|change| cut(&change.name)).unwrap_or_default();
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let detail = Detail { about, since_ms, count, ..Detail::default() };
        Some(Fact { detail: Some(detail), ..Fact::new("package", &text) })
    }

    /// `12 packages upgraded, 1 removed, among them openssl 3.0.1 to 3.0.2, libc6 2.36 to 2.37`
    fn text(&self) -> String {
        let mut text = String::new();
        for verb in ["installed", "upgraded", "downgraded", "removed"] {
            let count = self.all.iter().filter(|change| change.verb() == verb).count();
            // Writing to a string cannot fail.
            let _fits = match (count, text.is_empty()) {
                (0, _) => Ok(()),
                (1, true) => write!(text, "1 package {verb}"),
                (_, true) => write!(text, "{count} packages {verb}"),
                (_, false) => write!(text, ", {count} {verb}"),
            };
        }
        let from = text.len();
        let mut named = 0;
        for change in &self.all {
            let more = change.among();
            let before = if named == 0 { ", among them ".len() } else { ", ".len() };
            if text.len() + before + more.len() > TEXT {
                break;
            }
            text.push_str(", ");
            text.push_str(&more);
            named += 1;
        }
        if named == self.all.len() {
            text.replace_range(from..from + 2, ": ");
        } else if named > 0 {
            text.insert_str(from + 2, "among them ");
        }
        text
    }
}

impl Change {
    fn verb(&self) -> &'static str {
        match (&self.was, &self.now) {
            (None, _) => "installed",
            (_, None) => "removed",
            (Some(was), Some(now)) if order(was, now).is_gt() => "downgraded",
            _ => "upgraded",
        }
    }

    fn alone(&self) -> String {
        let Self { name, was, now } = self;
        match (was, now) {
            (Some(was), Some(now)) => format!("package {name} {} from {was} to {now}", self.verb()),
            (was, now) => {
                let version = now.as_ref().or(was.as_ref()).map_or("", String::as_str);
                format!("package {name} {version} {}", self.verb())
            }
        }
    }

    fn among(&self) -> String {
        let Self { name, was, now } = self;
        match (was, now) {
            (Some(was), Some(now)) => format!("{name} {was} to {now}"),
            (None, Some(now)) => format!("{name} {now}"),
            _ => format!("{name} (removed)"),
        }
    }

    /// Small for what matters most.
    fn rank(&self, running: &[String]) -> usize {
        let grave = GRAVE.iter().position(|names| matches_any(names, &self.name));
        grave.unwrap_or(GRAVE.len() + usize::from(!self.runs(running)))
    }

    /// Whether a program that runs has its name: `nginx` of `nginx-core`.
    fn runs(&self, running: &[String]) -> bool {
        running.iter().filter(|program| program.len() > 2).any(|program| {
            self.name.strip_prefix(program.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
        })
    }
}

/// Which of two versions is later, by dpkg's rules: epoch; then letters and numbers in turn; `~` is before the end.
fn order(a: &str, b: &str) -> Ordering {
    let ((epoch_a, mut a), (epoch_b, mut b)) = (epoch(a), epoch(b));
    let mut order = epoch_a.cmp(&epoch_b);
    while order.is_eq() && !(a.is_empty() && b.is_empty()) {
        let ((words_a, rest_a), (words_b, rest_b)) = (split(a, |c| !c.is_ascii_digit()), split(b, |c| !c.is_ascii_digit()));
        let ((digits_a, rest_a), (digits_b, rest_b)) = (split(rest_a, u8::is_ascii_digit), split(rest_b, u8::is_ascii_digit));
        order = letters(words_a, words_b).then_with(|| number(digits_a).cmp(&number(digits_b)));
        (a, b) = (rest_a, rest_b);
    }
    order
}

fn epoch(version: &str) -> (u32, &[u8]) {
    let parts = version.split_once(':').and_then(|(epoch, rest)| Some((epoch.parse().ok()?, rest)));
    let (epoch, rest) = parts.unwrap_or((0, version));
    (epoch, rest.as_bytes())
}

fn split(text: &[u8], is: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !is(byte)).unwrap_or(text.len()))
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |n: u64, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

fn letters(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |text: &[u8], i: usize| match text.get(i) {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let mut each = (0..a.len().max(b.len())).map(|i| weight(a, i).cmp(&weight(b, i)));
    each.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_by_the_rules_of_dpkg() {
        // As `dpkg --compare-versions` says.
        for (a, b) in [
            ("3.0.1", "3.0.2"),
            ("3.0.9", "3.0.15"),
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0-1"),
            ("1.0-1", "1.0-1+deb12u1"),
            ("9", "1:1"),
            ("1.0a", "1.0b"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+b"),
            ("2.90-r3", "2.90-r10"),
            ("00:1", "2"),
        ] {
            assert_eq!((order(a, b), order(b, a)), (Ordering::Less, Ordering::Greater), "{a} {b}");
        }
        assert_eq!(order("1.01", "1.1"), Ordering::Equal);
    }

    fn differences(list: &[(&'static str, &'static str, &'static str)]) -> Vec<Difference<'static>> {
        let some = |mark: &'static str| (!mark.is_empty()).then_some(mark);
        list.iter().map(|(name, was, now)| Difference { name, was: some(was), now: some(now) }).collect()
    }

    #[test]
    fn one_sentence_for_all_of_it() {
        let running = ["nginx".to_owned(), "sh".to_owned()];
        let check = |list: &[(&'static str, &'static str, &'static str)], about: &str, text: &str| {
            let fact = Changes::of(&differences(list)).fact(&running, 5).unwrap();
            assert_eq!(fact.text, text);
            let detail = fact.detail.unwrap();
            assert_eq!((detail.about.as_str(), detail.since_ms), (about, 5));
        };
        check(&[("openssl:amd64", "3.0.1", "3.0.2")], "openssl", "package openssl upgraded from 3.0.1 to 3.0.2");
        check(&[("openssl:amd64", "3.0.2", "3.0.1")], "openssl", "package openssl downgraded from 3.0.2 to 3.0.1");
        check(&[("htop:amd64", "", "3.2.1")], "htop", "package htop 3.2.1 installed");
        check(&[("htop:amd64", "3.2.1", "")], "htop", "package htop 3.2.1 removed");
        check(&[("a:amd64", "1", "2"), ("a:i386", "1", "2")], "a", "package a upgraded from 1 to 2");
        check(
            &[("aa:all", "1", "2"), ("nginx-core:all", "1", "2"), ("sh-tool:all", "1", "2")],
            "nginx-core",
            "3 packages upgraded: nginx-core 1 to 2, aa 1 to 2, sh-tool 1 to 2",
        );
        check(
            &[
                ("a-long-name-of-a-package:all", "1.0.0-1+deb12u1", "1.0.0-1+deb12u2"),
                ("another-long-name-of-a-package:all", "1.0.0-1+deb12u1", "1.0.0-1+deb12u2"),
                ("libc6:amd64", "2.36-9", "2.36-10"),
                ("linux-image-amd64:amd64", "6.1.90-1", "6.1.94-1"),
                ("new:all", "", "1"),
                ("nginx:all", "1", "2"),
                ("old:all", "1", ""),
            ],
            "linux-image-amd64",
            "1 package installed, 5 upgraded, 1 removed, among them linux-image-amd64 6.1.90-1 to 6.1.94-1, libc6 2.36-9 to \
             2.36-10, nginx 1 to 2",
        );
        assert_eq!(Changes::default().fact(&running, 0), None);
    }

    proptest! {
        #[test]
        fn any_two_versions_have_an_order(a in ".{0,12}", b in "[0-9a-z.:~+-]{0,12}", c in "[0-9a-z.~+-]{0,12}") {
            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            prop_assert_eq!(order(&c, &c), Ordering::Equal);
            if order(&a, &b).is_le() && order(&b, &c).is_le() {
                prop_assert!(order(&a, &c).is_le());
            }
        }

        #[test]
        fn any_names_fit(names in prop::collection::vec((".{0,90}", ".{0,90}"), 1..60)) {
            let list: Vec<_> = names.iter().map(|(name, now)| Difference { name, was: None, now: Some(now) }).collect();
            let fact = Changes::of(&list).fact(&[], 0).unwrap();
            prop_assert!(fact.text.len() <= 200 && !fact.text.is_empty());
        }
    }
}
