//! Text that the kernel writes: files that are read again and again, and the numbers in them.
//!
//! Not for configuration, and not for files of people: what is unreadable here is a reading without data.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fieldmouse_core::series::{NoData, Reading};

/// No kernel file we read is longer; what is, is cut after its last whole line.
const MOST: usize = 1 << 20;
const FIRST: usize = 8 << 10;

/// A file that is opened once and read from its start at every tick.
#[derive(Debug)]
pub(crate) struct TextFile {
    path: PathBuf,
    file: Option<File>,
}

impl TextFile {
    /// `path` is relative to `root`.
    pub(crate) fn new(root: &Path, path: &str) -> Self {
        Self { path: root.join(path), file: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What stands in the file now. `buf` is only room to read into.
    pub(crate) fn read<'b>(&mut self, buf: &'b mut Vec<u8>) -> Result<Cow<'b, str>, io::Error> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.path)?),
        };
        match fill(file, buf) {
            // Bytes that are not UTF-8 occur in names only; they cost a copy.
            Ok(text) => Ok(String::from_utf8_lossy(text)),
            Err(e) => {
                // The device behind it may have gone and come back.
                self.file = None;
                Err(e)
            }
        }
    }
}

/// Reads all of a file into room that is kept.
fn fill<'b>(file: &File, buf: &'b mut Vec<u8>) -> Result<&'b [u8], io::Error> {
    if buf.len() < FIRST {
        buf.resize(FIRST, 0);
    }
    let mut end = 0;
    loop {
        match file.read_at(&mut buf[end..], end as u64) {
            Ok(0) => return Ok(&buf[..end]),
            Ok(n) => end += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if end == buf.len() {
            if end >= MOST {
                let whole = buf[..end].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                return Ok(&buf[..whole]);
            }
            buf.resize(end * 2, 0);
        }
    }
}

/// The number in a file that holds one number: one open, one read, no allocation.
pub(crate) fn number_in(path: &Path) -> Result<f64, io::Error> {
    let mut room = [0; 64];
    let n = File::open(path)?.read_at(&mut room, 0)?;
    std::str::from_utf8(&room[..n])
        .ok()
        .and_then(|text| text.trim().parse::<i64>().ok())
        .map(|n| n as f64)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// A short name in a file of its own, trimmed; none if it is missing, empty or not text.
pub(crate) fn name_in(path: &Path) -> Option<String> {
    let mut room = [0; 128];
    let n = File::open(path).ok()?.read_at(&mut room, 0).ok()?;
    let text = String::from_utf8_lossy(&room[..n]);
    let text = text.trim();
    (!text.is_empty()).then(|| label(text))
}

/// A file of people, as it is; what is longer than the longest kernel file is none of theirs.
pub(crate) fn bytes_of(path: &Path) -> Result<Vec<u8>, io::Error> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    // A pipe must not hang the source.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut text = Vec::new();
    file.take(MOST as u64 + 1).read_to_end(&mut text)?;
    if text.len() > MOST {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    Ok(text)
}

/// Why a file gave no value.
pub(crate) fn why(e: &io::Error) -> NoData {
    match e.kind() {
        io::ErrorKind::NotFound => NoData::Absent,
        io::ErrorKind::PermissionDenied => NoData::Denied,
        io::ErrorKind::TimedOut => NoData::Timeout,
        io::ErrorKind::InvalidData => NoData::Unparsable,
        // The driver was unbound while the file was open.
        _ if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => NoData::Absent,
        _ => NoData::Failed,
    }
}

/// The whole number in a field.
pub(crate) fn count(field: Option<&str>) -> Result<u64, NoData> {
    field.and_then(|f| f.parse().ok()).ok_or(NoData::Unparsable)
}

/// The same as a reading.
pub(crate) fn number(field: Option<&str>) -> Reading {
    count(field).map(|n| n as f64)
}

/// How far a counter went; none after a reset. Many kernel counters have 32 bits and wrap.
pub(crate) fn advance(before: u64, after: u64) -> Option<u64> {
    const TURN: u64 = 1 << 32;
    if after >= before {
        return Some(after - before);
    }
    let wrapped = (TURN / 4 * 3..TURN).contains(&before) && after < TURN / 4;
    wrapped.then(|| after + TURN - before)
}

/// `text` as an attribute value: `;` parts the values of a label, and a control character has no place in it.
pub(crate) fn label(text: &str) -> String {
    text.chars().map(|c| if c == ';' || c.is_control() { '_' } else { c }).collect()
}

/// At most `most` bytes of the end of a name, as names that are long differ there.
pub(crate) fn end_of(name: &str, most: usize) -> String {
    const CUT: &str = "…";
    if name.len() <= most {
        return name.to_owned();
    }
    let from = name.ceil_char_boundary((name.len() + CUT.len()).saturating_sub(most));
    format!("{CUT}{}", &name[from..])
}

/// Whether `pattern`, in which `*` stands for anything, is all of `name`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether any of the patterns is all of `name`.
pub(crate) fn matches_any<P: AsRef<str>>(patterns: &[P], name: &str) -> bool {
    patterns.iter().any(|p| matches(p.as_ref(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("veth*", "veth1f2e", true),
            ("veth*", "eth0", false),
            ("*", "", true),
            ("en*s*f?", "enp3s0f?", true),
            ("a*a", "a", false),
            ("*0*", "p10x", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn counters_wrap_at_32_bits_and_reset_anywhere() {
        assert_eq!(advance(5, 9), Some(4));
        assert_eq!(advance(u64::from(u32::MAX), 9), Some(10));
        assert_eq!(advance(1000, 9), None);
        assert_eq!(advance(u64::MAX, 0), None);
    }

    #[test]
    fn a_file_is_read_from_its_start_every_time_and_never_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut buf = Vec::new();
        let mut file = TextFile::new(dir.path(), "f");
        assert_eq!(why(&file.read(&mut buf).unwrap_err()), NoData::Absent);
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(file.read(&mut buf).unwrap(), "one\n");
        assert_eq!(file.read(&mut buf).unwrap(), "one\n");
        std::fs::write(&path, b"\xff\n").unwrap();
        assert_eq!(file.read(&mut buf).unwrap(), "\u{fffd}\n");
        std::fs::write(&path, "0123456789\n".repeat(MOST / 4)).unwrap();
        let text = file.read(&mut buf).unwrap();
        assert!(text.len() <= MOST && text.ends_with("9\n"));
    }
}
