//! What can be seen of rpm without its library: that its database is another, and what dnf and yum wrote into their logs
//! of which packages. The database itself (`SQLite`, Berkeley DB or rpm's own) is not read: what rpm alone or dnf 5 did is told
//! without names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::stanza::each_line;
use super::words::{Change, Changes};
use crate::inventory::Inventory;

/// Where databases are, of all ages.
pub(super) const DATABASES: &[&str] = &[
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/share/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
];
/// Logs that name packages.
const LOGS: [&str; 2] = ["var/log/dnf.rpm.log", "var/log/yum.log"];
const DATABASE: &str = "database";
/// What is read of a log at once.
const MOST_BYTES: u64 = 256 << 10;

/// The database's size and time, and how far the logs were read.
///
/// # Errors
/// If there is no database.
pub(super) fn read(root: &Path, path: &Path, to: &mut Inventory) -> io::Result<()> {
    let meta = std::fs::metadata(path)?;
    to.add(DATABASE, &format!("{} {}.{}", meta.len(), meta.mtime(), meta.mtime_nsec()), 0);
    for log in LOGS {
        if let Ok(meta) = std::fs::metadata(root.join(log)) {
            to.add(log, &format!("{} {}", meta.len(), meta.ino()), 0);
        }
    }
    Ok(())
}

/// What changed between two such looks.
pub(super) fn changes(root: &Path, was: &Inventory, now: &Inventory) -> Changes {
    let mut all = BTreeMap::new();
    for log in LOGS {
        let Some((end, inode)) = now.get(log).map(|item| numbers(item.mark)) else { continue };
        // Another file: the old one was put away, this one is new from its beginning.
        let from = was.get(log).map(|item| numbers(item.mark)).filter(|(_, old)| *old == inode).map_or(0, |(end, _)| end);
        if let Err(e) = read_log(&root.join(log), from, end, &mut all) {
            log::debug!("{log}: {e}");
        }
    }
    let size = |inventory: &Inventory| inventory.get(DATABASE).map_or(0, |item| numbers(item.mark).0);
    let (before, after) = (size(was), size(now));
    let how = if after >= before { "more" } else { "less" };
    let besides = format!("packages changed: the database of rpm is another, {} bytes {how}", after.abs_diff(before));
    let all = all.into_iter().map(|(name, (was, now))| Change { name, was, now }).filter(|c| c.was != c.now).collect();
    Changes { all, besides }
}

fn numbers(mark: &str) -> (u64, u64) {
    let mut words = mark.split(' ').map(|word| word.parse().unwrap_or(0));
    (words.next().unwrap_or(0), words.next().unwrap_or(0))
}

type Versions = BTreeMap<String, (Option<String>, Option<String>)>;

fn read_log(path: &Path, from: u64, end: u64, to: &mut Versions) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(MOST_BYTES))))?;
    each_line(&mut BufReader::new(file.take(MOST_BYTES)), |line| note(&String::from_utf8_lossy(line), to))
}

/// Takes what a line says into account. dnf writes both sides of an exchange, yum only the new one.
fn note(line: &str, to: &mut Versions) {
    const VERBS: [(&str, bool, bool); 9] = [
        (" Installed: ", false, true),
        (" Upgrade: ", false, true),
        (" Downgrade: ", false, true),
        (" Updated: ", true, true),
        (" Upgraded: ", true, false),
        (" Downgraded: ", true, false),
        (" Erase: ", true, false),
        (" Erased: ", true, false),
        (" Removed: ", true, false),
    ];
    let found = VERBS.iter().find_map(|(verb, was, now)| Some((line.split_once(verb)?.1, *was, *now)));
    let Some((rest, is_was, is_now)) = found else { return };
    let Some((name, version)) = rest.split_whitespace().next().and_then(name_and_version) else { return };
    let (was, now) = to.entry(name.to_owned()).or_default();
    if is_was {
        *was = Some(if is_now { "an older one" } else { version }.to_owned());
    }
    if is_now {
        *now = Some(version.to_owned());
    }
}

/// `openssl-libs-1:3.2.2-6.el9.x86_64`: its name, and `1:3.2.2-6.el9`.
fn name_and_version(word: &str) -> Option<(&str, &str)> {
    const ARCHITECTURES: [&str; 9] =
        ["x86_64", "aarch64", "noarch", "i686", "i586", "armv7hl", "ppc64le", "s390x", "riscv64"];
    let word = word.rsplit_once('.').filter(|(_, end)| ARCHITECTURES.contains(end)).map_or(word, |(start, _)| start);
    let release = word.rfind('-')?;
    let version = word[..release].rfind('-')?;
    Some((&word[..version], &word[version + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_dnf_and_yum() {
        let check = |lines: &str, want: &[(&str, Option<&str>, Option<&str>)]| {
            let mut all = Versions::new();
            lines.lines().for_each(|line| note(line, &mut all));
            let found: Vec<_> =
                all.iter().map(|(name, (was, now))| (name.as_str(), was.as_deref(), now.as_deref())).collect();
            assert_eq!(found, want);
        };
        check(
            "\
2026-02-14T09:30:12+0000 INFO --- logging initialized ---
2026-02-14T09:30:12+0000 SUBDEBUG Upgrade: openssl-libs-1:3.2.2-6.el9.x86_64
2026-02-14T09:30:13+0000 SUBDEBUG Installed: htop-3.3.0-1.el9.x86_64
2026-02-14T09:30:14+0000 SUBDEBUG Upgraded: openssl-libs-1:3.0.7-27.el9.x86_64
2026-02-14T09:30:15+0000 SUBDEBUG Erase: flac-1.3.3-3.fc29.noarch
2026-02-14T09:30:16+0000 INFO warning: /etc/ssh/sshd_config created as /etc/ssh/sshd_config.rpmnew
",
            &[
                ("flac", Some("1.3.3-3.fc29"), None),
                ("htop", None, Some("3.3.0-1.el9")),
                ("openssl-libs", Some("1:3.0.7-27.el9"), Some("1:3.2.2-6.el9")),
            ],
        );
        check(
            "Oct 10 10:10:10 Updated: bash-4.2.46-34.el7.x86_64\nOct 10 10:10:11 Erased: nano\n",
            &[("bash", Some("an older one"), Some("4.2.46-34.el7"))],
        );
    }

    #[test]
    fn without_a_log_there_is_a_database_at_least() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(DATABASES[0]);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let look = |bytes: usize| {
            std::fs::write(&path, vec![0; bytes]).unwrap();
            let mut inventory = Inventory::default();
            read(root.path(), &path, &mut inventory).unwrap();
            inventory.settle();
            inventory
        };
        let (was, now) = (look(8192), look(12288));
        let told = changes(root.path(), &was, &now).fact(&[], 0).unwrap();
        assert_eq!(told.text, "packages changed: the database of rpm is another, 4096 bytes more");
        std::fs::create_dir_all(root.path().join("var/log")).unwrap();
        std::fs::write(root.path().join(LOGS[0]), "x SUBDEBUG Installed: a-1-1.noarch\n").unwrap();
        let named = look(12288);
        let told = changes(root.path(), &now, &named).fact(&[], 0).unwrap();
        assert_eq!(told.text, "package a 1-1 installed");
        assert!(changes(root.path(), &named, &look(12288)).all.is_empty(), "lines are read once");
    }

    proptest! {
        #[test]
        fn any_line_returns(line in ".{0,80}", word in "[a-z.:-]{0,20}") {
            let mut all = Versions::new();
            note(&line, &mut all);
            note(&format!("x Upgrade: {word}"), &mut all);
            prop_assert!(all.len() <= 2);
        }
    }
}
