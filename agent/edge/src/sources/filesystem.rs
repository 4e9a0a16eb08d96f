//! Space and inodes of every real file system: `/proc/self/mountinfo` and `statvfs`.
//!
//! Left out: kernel file systems, images that are always full, a second mount of the same device, and network and
//! FUSE file systems unless asked for, because `statvfs` on a dead server does not return. Under another root than
//! `/` the answers of `statvfs` are read from `statvfs.txt` there: a line per mount point with
//! `MOUNTPOINT FRAGMENT BLOCKS FREE AVAILABLE FILES FILES_FREE`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use fieldmouse_core::metric::{FILESYSTEM_USAGE, FILESYSTEM_USED, INODES_USED};
use fieldmouse_core::series::{Millis, NoData, SeriesKey};
use serde::Deserialize;

use super::places::{Places, Roster, Values};
use super::text::{TextFile, end_of, label, matches_any, why};
use super::{Kind, Readings, Source, SourceError};

pub(super) const KIND: Kind = Kind {
    name: "filesystem",
    about: "space and inodes of every mounted file system, from mountinfo and statvfs",
    every_ms: 5000,
    build: |table, place| Ok(Box::new(Filesystems::new(super::config(KIND.name, table)?, &place.root))),
};

/// `[source.filesystem]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// The only mount points wanted; empty for all that are not ignored. `*` stands for anything.
    mounts: Vec<String>,
    /// Mount points to leave out.
    ignore_mounts: Vec<String>,
    /// Whether to ask network and FUSE file systems, too.
    network: bool,
}

/// More mounts than this are left out.
const MOST_MOUNTS: usize = 64;

/// File systems that the kernel makes up, and images that are full by nature.
const UNREAL: [&str; 34] = [
    "aufs", "autofs", "bdev", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cramfs", "debugfs", "devfs",
    "devpts", "devtmpfs", "efivarfs", "erofs", "fusectl", "hugetlbfs", "iso9660", "mqueue", "nsfs", "overlay",
    "proc", "pstore", "ramfs", "rootfs", "romfs", "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs",
    "tracefs", "udf", "fuse.lxcfs",
];
const NETWORK: [&str; 18] = [
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "fuse.*", "gfs*", "glusterfs", "lustre", "ncp*", "nfs",
    "nfs4", "ocfs2", "smb*", "virtiofs", "davfs",
];
/// Memory that people and services fill like a disk.
const MEMORY: [&str; 3] = ["/tmp", "/run", "/dev/shm"];

#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    /// `major:minor`.
    device: &'a str,
    point: Cow<'a, str>,
    kind: &'a str,
}

/// `27 1 254:0 / /mnt\040x rw,relatime shared:1 - ext4 /dev/vda rw`.
fn parse(line: &str) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut fields = left.split(' ').skip(2);
    let (device, _root, point) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Mount { device, point: unescape(point), kind: right.split(' ').next()? })
}

/// The kernel writes blanks and backslashes in octal.
fn unescape(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for (code, char) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        if text.contains(code) {
            text = Cow::Owned(text.replace(code, char));
        }
    }
    text
}

impl Config {
    fn wants(&self, mount: &Mount<'_>) -> bool {
        let point = mount.point.as_ref();
        if !self.mounts.is_empty() && !matches_any(&self.mounts, point) || matches_any(&self.ignore_mounts, point) {
            return false;
        }
        match mount.kind {
            "tmpfs" => MEMORY.contains(&point) || !self.mounts.is_empty(),
            // In a container the root is an overlay, and what there is to be seen of the disk.
            "overlay" => point == "/",
            kind if UNREAL.contains(&kind) => false,
            kind => self.network || !matches_any(&NETWORK, kind),
        }
    }

    /// Mount points to ask: one per device, the shortest; what is mounted over another hides it.
    fn choose(&self, text: &str) -> Vec<String> {
        let mut chosen: Vec<Mount<'_>> = Vec::new();
        for mount in text.lines().filter_map(parse) {
            chosen.retain(|m| m.point != mount.point);
            if !self.wants(&mount) {
                continue;
            }
            match chosen.iter_mut().find(|m| m.device == mount.device) {
                Some(same) if mount.point.len() < same.point.len() => same.point = mount.point,
                Some(_) => {}
                None => chosen.push(mount),
            }
        }
        chosen.into_iter().map(|m| m.point.into_owned()).collect()
    }
}

/// What `statvfs` says: bytes per block; blocks in all, free, free for users; files in all, free.
type Space = [u64; 6];

fn values(space: &Space) -> Option<Values<4>> {
    let [fragment, blocks, free, available, files, files_free] = *space;
    // A file system without blocks holds nothing.
    if blocks == 0 {
        return None;
    }
    let bytes = |blocks: u64| blocks as f64 * fragment as f64;
    let used = blocks.saturating_sub(free);
    // As `df` has it: what is kept for the superuser is neither used nor to be had.
    let usable = used as f64 + available as f64;
    Some([
        Some(Ok(if usable > 0.0 { used as f64 / usable } else { 1.0 })),
        Some(Ok(bytes(used))),
        Some(Ok(bytes(available))),
        // Some make inodes as they need them, and say 0.
        (files > 0).then(|| Ok(files.saturating_sub(files_free) as f64 / files as f64)),
    ])
}

/// Under `/`, the kernel's answer; under another root, the answer kept in `statvfs.txt`.
fn ask(root: &Path, point: &str) -> Result<Space, NoData> {
    if root == Path::new("/") {
        let s = rustix::fs::statvfs(point).map_err(|e| why(&e.into()))?;
        return Ok([s.f_frsize, s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree]);
    }
    let text = std::fs::read(root.join("statvfs.txt")).map_err(|e| why(&e))?;
    parse_answer(&String::from_utf8_lossy(&text), point)
}

fn parse_answer(text: &str, point: &str) -> Result<Space, NoData> {
    let line = text.lines().find_map(|l| l.strip_prefix(point)?.strip_prefix(' ')).ok_or(NoData::Absent)?;
    let mut fields = line.split_ascii_whitespace();
    let mut space = Space::default();
    for value in &mut space {
        *value = super::text::count(fields.next())?;
    }
    Ok(space)
}

#[derive(Debug)]
struct Filesystems {
    config: Config,
    root: PathBuf,
    mountinfo: TextFile,
    buf: Vec<u8>,
    /// What `mounts` was chosen from: mounts change rarely.
    seen: String,
    mounts: Vec<String>,
    places: Roster<Places<4>>,
}

impl Filesystems {
    fn new(config: Config, root: &Path) -> Self {
        Self {
            config,
            root: root.to_owned(),
            mountinfo: TextFile::new(root, "proc/self/mountinfo"),
            buf: Vec::new(),
            seen: String::new(),
            mounts: Vec::new(),
            places: Roster::new(MOST_MOUNTS),
        }
    }
}

impl Source for Filesystems {
    fn sample(&mut self, _now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        match self.mountinfo.read(&mut self.buf) {
            Ok(text) if text == self.seen => {}
            Ok(text) => {
                self.mounts = self.config.choose(&text);
                text.as_ref().clone_into(&mut self.seen);
            }
            Err(e) => {
                let path = self.mountinfo.path().to_owned();
                return Err(SourceError { path, what: format!("cannot be read: {e}"), why: why(&e) });
            }
        }
        for point in &self.mounts {
            let Some(places) = self.places.get(point) else { continue };
            match ask(&self.root, point).map(|space| values(&space)) {
                Ok(Some(values)) => places.put_as(|i| key(point, i), &values, out),
                Ok(None) => {}
                Err(e) => places.fail(e, out),
            }
        }
        Ok(())
    }
}

fn key(point: &str, i: usize) -> SeriesKey {
    let point = short(point);
    match i {
        0 => SeriesKey::new(FILESYSTEM_USED, &[&point]),
        1 => SeriesKey::new(FILESYSTEM_USAGE, &[&point, "used"]),
        2 => SeriesKey::new(FILESYSTEM_USAGE, &[&point, "free"]),
        _ => SeriesKey::new(INODES_USED, &[&point]),
    }
}

/// Leaves room in the label for the state. Long mount points differ at their end.
pub(super) fn short(point: &str) -> String {
    end_of(&label(point), 56)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334460k
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
28 27 254:0 /srv/data /bind rw,relatime - ext4 /dev/vda rw
29 27 8:17 / /mnt/old\\040disk rw,relatime - vfat /dev/sdb1 rw
30 27 0:50 / /home rw - nfs4 server:/home rw
31 27 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro
32 27 0:60 / /var/lib/docker/overlay2/ab/merged rw - overlay overlay rw
33 27 0:61 / /run/user/1000 rw - tmpfs tmpfs rw
34 27 8:33 / /over rw - ext4 /dev/sdc1 rw
35 34 8:49 / /over rw - xfs /dev/sdd1 rw
broken line
";

    #[test]
    fn mounts_are_chosen() {
        let check = |config: Config, want: &[&str]| assert_eq!(config.choose(MOUNTS), want);
        check(Config::default(), &["/dev/shm", "/", "/mnt/old disk", "/over"]);
        check(Config { network: true, ..Config::default() }, &["/dev/shm", "/", "/mnt/old disk", "/home", "/over"]);
        check(Config { mounts: vec!["/run/*".into(), "/".into()], ..Config::default() }, &["/", "/run/user/1000"]);
        check(Config { ignore_mounts: vec!["*o*".into()], ..Config::default() }, &["/dev/shm", "/"]);
    }

    #[test]
    fn space() {
        let values = values(&[4096, 1000, 400, 300, 100, 25]).unwrap();
        assert_eq!(values, [600.0 / 900.0, 600.0 * 4096.0, 300.0 * 4096.0, 0.75].map(|v| Some(Ok(v))));
        assert_eq!(super::values(&[4096, 10, 0, 0, 0, 0]).unwrap()[0], Some(Ok(1.0)));
        assert_eq!(super::values(&[4096, 10, 0, 0, 0, 0]).unwrap()[3], None);
        assert_eq!(super::values(&[4096, 0, 0, 0, 0, 0]), None);
        assert_eq!(super::values(&[1, u64::MAX, 0, u64::MAX, 1, 9]).map(|v| v[0]), Some(Some(Ok(0.5))));
    }

    #[test]
    fn answers_of_a_captured_machine() {
        let text = "/ 4096 10 5 4 3 2\n/mnt/old disk 512 1 1 1 x 0\n";
        assert_eq!(parse_answer(text, "/"), Ok([4096, 10, 5, 4, 3, 2]));
        assert_eq!(parse_answer(text, "/mnt/old disk"), Err(NoData::Unparsable));
        assert_eq!(parse_answer(text, "/mnt"), Err(NoData::Absent));
    }

    #[test]
    fn long_mount_points_keep_their_end_and_their_state() {
        let point = format!("/var/lib/containers/{}/ä/data", "x".repeat(80));
        let key = key(&point, 1);
        assert!(key.label.ends_with("/ä/data;used"), "{}", key.label);
        assert_eq!(key.to_string().matches("state=used").count(), 1);
    }
}
