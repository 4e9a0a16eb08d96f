//! Programs under strace: killed before a call, or with calls that fail; and whether what they did to their files was
//! enough for what they promised.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// The calls by which an outbox changes its folder. `?`: not every processor has each.
pub const CALLS: &str = "?write,?pwrite64,?fsync,?fdatasync,?rename,?renameat,?renameat2,?unlink,?unlinkat,\
                         ?ftruncate,?openat,?mkdir,?mkdirat";

/// One call of one program: the `nth` of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub call: String,
    /// Counted from 1.
    pub nth: u64,
    /// What strace shows of it.
    pub shown: String,
}

/// A command that runs `program` under strace with these options. Its output is the program's.
#[must_use]
pub fn command(program: &Path, options: &[&str]) -> Command {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|p| p.join("strace").exists());
    assert!(found, "strace is not installed; install it: apt-get install strace");
    let mut command = Command::new("strace");
    command.arg("-f").args(options).arg("--").arg(program).stdin(Stdio::null());
    command
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// The program's own end, as strace hands it on.
    pub status: ExitStatus,
    /// Standard output.
    pub out: String,
    /// What strace noted.
    pub trace: String,
}

impl Ran {
    /// Whether the kill came.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

/// Runs a program with these arguments to its end, under strace with these options.
#[must_use]
pub fn run(program: &Path, args: &[&str], options: &[&str]) -> Ran {
    let trace = super::folder();
    let file = trace.path().join("trace");
    let mut all = vec!["-y", "-s", "64", "-o", file.to_str().unwrap()];
    all.extend(options);
    let done = command(program, &all).args(args).output().unwrap();
    Ran {
        status: done.status,
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        trace: std::fs::read_to_string(&file).unwrap_or_default(),
    }
}

/// Every call that `wanted` takes, with its number among those of its name and thread: so strace counts.
#[must_use]
pub fn places(trace: &str, wanted: impl Fn(&str) -> bool) -> Vec<Place> {
    let mut counts: HashMap<(&str, &str), u64> = HashMap::new();
    let mut places = Vec::new();
    for line in trace.lines() {
        let Some((call, rest)) = call_of(line) else { continue };
        let thread = line.split(' ').next().unwrap_or_default();
        let nth = counts.entry((thread, call)).or_default();
        *nth += 1;
        if wanted(rest) {
            places.push(Place { call: call.to_owned(), nth: *nth, shown: rest.to_owned() });
        }
    }
    places
}

/// `PID call(rest` → the call and the rest. What continues an earlier line is none.
fn call_of(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(' ')?;
    let (call, rest) = rest.trim_start().split_once('(')?;
    call.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_').then_some((call, rest))
}

/// A file, as far as its durability goes.
#[derive(Debug, Default, Clone)]
struct File {
    len: u64,
    /// From here on it was written to since the last sync.
    dirty: Option<u64>,
    /// A sync failed: what it holds from here on cannot be relied upon any more, whatever later syncs say.
    suspect: Option<u64>,
    name: Name,
}

/// Whether a power cut would leave the name with the file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Name {
    #[default]
    Synced,
    /// It would be another, whole file again, of which this one is a part.
    Part,
    Unsynced,
}

impl File {
    fn write(&mut self, at: u64, len: u64) {
        self.len = self.len.max(at + len);
        self.dirty = Some(self.dirty.map_or(at, |dirty| dirty.min(at)));
        if self.name == Name::Part {
            self.name = Name::Unsynced;
        }
    }

    fn sync(&mut self, done: bool) {
        if done {
            self.dirty = None;
        } else {
            self.suspect = [self.suspect, self.dirty].into_iter().flatten().min();
        }
    }

    fn cut(&mut self, len: u64) {
        self.len = len;
        self.dirty = self.dirty.filter(|from| *from < len);
        self.suspect = self.suspect.filter(|from| *from < len);
    }

    fn is_safe(&self) -> bool {
        self.dirty.is_none() && self.suspect.is_none() && self.name != Name::Unsynced
    }
}

/// The last argument, a number.
fn last(args: &str) -> u64 {
    let number = args.trim_end().trim_end_matches(')').rsplit(' ').next();
    number.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no number at the end of {args}"))
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "seg")
}

/// Reads a trace of [`super::script`] and returns every promise (`durable …`) that was told too early: while a segment
/// held bytes that were not synced, or had failed a sync, or had a name that was not. (The cursor may be behind: it is
/// a cache.)
#[must_use]
pub fn early_promises(trace: &str, dir: &Path) -> Vec<String> {
    let mut files: BTreeMap<PathBuf, File> = BTreeMap::new();
    let mut early = Vec::new();
    for line in trace.lines() {
        let Some((call, rest)) = call_of(line) else { continue };
        let Some((args, result)) = rest.rsplit_once(" = ") else { continue };
        let done = !result.starts_with(['-', '?']);
        let path =
            |nth: usize| args.split('"').nth(2 * nth + 1).map(PathBuf::from).filter(|p| p.starts_with(dir));
        let open = args.split_once('<').and_then(|(_, a)| Some(PathBuf::from(a.split_once('>')?.0)));
        let open = open.filter(|p| p.starts_with(dir));
        match call {
            "openat" if done && args.contains("O_CREAT") => {
                if let Some(path) = path(0) {
                    files.entry(path).or_insert(File { name: Name::Unsynced, ..File::default() });
                }
            }
            "write" | "pwrite64" if done => {
                if let Some(file) = open.and_then(|p| files.get_mut(&p)) {
                    let len = result.split(' ').next().and_then(|n| n.parse().ok()).unwrap();
                    let at = if call == "write" { file.len } else { last(args) };
                    file.write(at, len);
                }
            }
            "ftruncate" if done => {
                if let Some(file) = open.and_then(|p| files.get_mut(&p)) {
                    file.cut(last(args));
                }
            }
            "fsync" | "fdatasync" => match open {
                Some(path) if path == dir => {
                    files.values_mut().filter(|_| done).for_each(|f| f.name = Name::Synced);
                }
                Some(path) => {
                    if let Some(file) = files.get_mut(&path) {
                        file.sync(done);
                    }
                }
                None => {}
            },
            "rename" | "renameat" | "renameat2" if done => {
                if let (Some(from), Some(to)) = (path(0), path(1)) {
                    let mut file = files.remove(&from).unwrap_or_default();
                    let is_part = files.get(&to).is_some_and(|old| old.is_safe() && file.len <= old.len);
                    file.name = if is_part { Name::Part } else { Name::Unsynced };
                    files.insert(to, file);
                }
            }
            "unlink" | "unlinkat" if done => {
                path(0).map(|p| files.remove(&p));
            }
            "writev" if args.contains("\"durable ") => {
                let bad = files.iter().find(|(path, f)| is_segment(path) && !f.is_safe());
                if let Some((path, file)) = bad {
                    early.push(format!("{}: {file:?}: {args}", path.display()));
                }
            }
            _ => {}
        }
    }
    early
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"1 openat(AT_FDCWD</x>, "/d/0.seg", O_WRONLY|O_CREAT|O_APPEND, 0600) = 4</d/0.seg>
1 write(4</d/0.seg>, "..", 9) = 9
1 fdatasync(4</d/0.seg>) = 0
1 fsync(5</d>) = 0
1 writev(1<pipe:[2]>, [{iov_base="durable 1 2 3\n", iov_len=14}], 1) = 14
"#;

    fn check(without: &str, with: &str, early: usize) {
        let trace = GOOD.replace(without, with);
        assert_eq!(early_promises(&trace, Path::new("/d")).len(), early, "{trace}");
    }

    #[test]
    fn a_promise_before_its_sync_is_seen() {
        check("nothing", "", 0);
        check("1 fsync(5</d>) = 0\n", "", 1);
        check("1 fsync(5</d>) = 0", "1 fsync(5</d>) = -1 EIO (Input/output error) (INJECTED)", 1);
        check("1 fdatasync(4</d/0.seg>) = 0\n", "", 1);
        check(
            "fdatasync(4</d/0.seg>) = 0",
            "fdatasync(4</d/0.seg>) = -1 EIO (Input/output error) (INJECTED)",
            1,
        );
        // A second attempt proves nothing: the bytes may be gone from the page cache.
        let twice = "fdatasync(4</d/0.seg>) = -1 EIO (x) (INJECTED)\n1 fdatasync(4</d/0.seg>) = 0";
        check("fdatasync(4</d/0.seg>) = 0", twice, 1);
    }

    #[test]
    fn calls_are_counted_by_name() {
        let trace = "1 write(1, \"a\", 1) = 1\n1 openat(AT) = 3\n1 write(3</d/x>, \"b\", 1) = 1\n1 +++ exited with 0 +++\n";
        let found = places(trace, |shown| shown.contains("/d/"));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].call.as_str(), found[0].nth), ("write", 2));
    }
}
