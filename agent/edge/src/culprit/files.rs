//! Who holds which files: all that are open, those of a file system, and sockets that reach the network.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use fieldmouse_core::metric::{FILE_DESCRIPTORS, FILE_DESCRIPTORS_USED, Metric};

use super::scan::{Name, Scan, sum};

/// Of one process no more are looked at: who has more shows by the first.
const MOST: usize = 4096;

/// Whether the metric counts open files.
pub(super) fn is_of_files(metric: &Metric) -> bool {
    matches!(metric.code, FILE_DESCRIPTORS | FILE_DESCRIPTORS_USED)
}

/// Open files by name. A process whose files nobody may see has none.
pub(super) fn holding(proc: &Path, scan: &Scan) -> Vec<(Name, f64)> {
    let count = |pid: u32| open_files(proc, pid).count() as f64;
    sum(scan.procs.iter().map(|p| (p.name.clone(), count(p.pid))))
}

/// Tells whether any process of a name holds a socket of the network.
pub(super) fn online(proc: &Path) -> impl FnMut(&Scan, &Name) -> bool {
    let tables = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"];
    let tables = tables.map(|t| std::fs::read_to_string(proc.join("net").join(t)).unwrap_or_default());
    let sockets: HashSet<u64> = tables.iter().flat_map(|t| t.lines().skip(1)).filter_map(inode).collect();
    let proc = proc.to_path_buf();
    move |scan, name| {
        let own = scan.procs.iter().filter(|p| p.name == *name);
        let mut files = own.flat_map(|p| open_files(&proc, p.pid).take(MOST));
        files.any(|file| socket(&file).is_some_and(|inode| sockets.contains(&inode)))
    }
}

/// Tells whether any process of a name has files of this file system open. Of the root it is not asked: all have.
pub(super) fn writing_to(proc: &Path, mount: &str) -> impl FnMut(&Scan, &Name) -> bool {
    let (proc, mount) = (proc.to_path_buf(), PathBuf::from(mount));
    move |scan, name| {
        let own = scan.procs.iter().filter(|p| p.name == *name);
        let mut files = own.flat_map(|p| open_files(&proc, p.pid).take(MOST));
        let is_there =
            |file: PathBuf| std::fs::read_link(file).is_ok_and(|target| target.starts_with(&mount));
        mount.parent().is_some() && files.any(is_there)
    }
}

fn open_files(proc: &Path, pid: u32) -> impl Iterator<Item = PathBuf> {
    let listing = std::fs::read_dir(proc.join(pid.to_string()).join("fd"));
    listing.into_iter().flatten().flatten().map(|entry| entry.path())
}

/// `socket:[31337]`
fn socket(file: &Path) -> Option<u64> {
    let target = std::fs::read_link(file).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The tenth word of a line of `/proc/net/tcp` and its like; the last of `/proc/net/packet`, which has nine.
fn inode(line: &str) -> Option<u64> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    words.get(9).or(words.get(8))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inodes_stand_in_their_columns() {
        let tcp = "   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   109        0 24567 1 0 100";
        assert_eq!(inode(tcp), Some(24567));
        assert_eq!(inode("ffff8881 3      3    0003   2     1 0      0      31337"), Some(31337));
        assert_eq!(inode(""), None);
        assert_eq!(inode("a b c d e f g h i j"), None);
    }
}
