//! A log file, plain or compressed: which one it is, and its bytes.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

/// Bytes at the beginning of a file by which it is known again.
pub(super) const HEAD: usize = 256;
/// More than this is no log that was compressed.
const MOST_UNPACKED: u64 = 4 << 30;

/// Which file it is: inodes are used again, and copies and compressed files have others, so the first bytes count, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Device of the file system.
    pub(super) dev: u64,
    /// Number in it.
    pub(super) ino: u64,
    /// How many of the first bytes are known, at most [`HEAD`].
    pub(super) known: u16,
    /// Their checksum.
    pub(super) sum: u32,
}

impl Mark {
    /// Of the file that is this and begins so.
    #[must_use]
    pub(super) fn of((dev, ino): (u64, u64), head: &[u8]) -> Self {
        // A part of its first line may be that of many.
        let is_known = head.len() >= HEAD || head.contains(&b'\n');
        let head = if is_known { &head[..head.len().min(HEAD)] } else { &[] };
        Self { dev, ino, known: u16::try_from(head.len()).unwrap_or(0), sum: crc32fast::hash(head) }
    }

    /// Whether a file that begins so may be it.
    #[must_use]
    pub(super) fn is_head_of(&self, head: &[u8]) -> bool {
        head.get(..usize::from(self.known)).is_some_and(|head| crc32fast::hash(head) == self.sum)
    }

    /// Whether it is the file with this inode.
    #[must_use]
    pub(super) fn is_inode(&self, (dev, ino): (u64, u64)) -> bool {
        (self.dev, self.ino) == (dev, ino)
    }
}

/// A file that is read.
pub(super) enum Reader {
    /// As it is.
    Plain(File),
    /// Unpacked on the way; `at` is how far.
    Packed { unpacker: Box<MultiGzDecoder<BufReader<File>>>, at: u64 },
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_packed() { "Packed" } else { "Plain" })
    }
}

/// What reading brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    /// So many bytes of what was wanted; none at the end.
    Bytes(usize),
    /// So many that come before it, and are known.
    Skipped(usize),
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened, or is no file.
    pub(super) fn open(path: &Path, is_packed: bool) -> io::Result<Self> {
        // Who only opens a pipe wakes its writer; so it is looked at before, and again when it is open.
        refuse_others(&std::fs::metadata(path)?)?;
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        refuse_others(&file.metadata()?)?;
        Ok(if is_packed { Self::unpack(file) } else { Self::Plain(file) })
    }

    fn unpack(file: File) -> Self {
        Self::Packed { unpacker: Box::new(MultiGzDecoder::new(BufReader::new(file))), at: 0 }
    }

    /// Whether it is unpacked on the way: such a file grows no more.
    #[must_use]
    pub(super) fn is_packed(&self) -> bool {
        matches!(self, Self::Packed { .. })
    }

    fn file(&self) -> &File {
        match self {
            Self::Plain(file) => file,
            Self::Packed { unpacker, .. } => unpacker.get_ref().get_ref(),
        }
    }

    /// What the file system says of it.
    ///
    /// # Errors
    /// If it says nothing.
    pub(super) fn stat(&self) -> io::Result<Stat> {
        self.file().metadata().map(|meta| Stat::of(&meta))
    }

    /// Whether it has no name any more.
    pub(super) fn is_deleted(&self) -> bool {
        self.file().metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    /// Reads from `at` on. A packed file is unpacked from its beginning, piece by piece.
    ///
    /// # Errors
    /// If it cannot be read or unpacked.
    pub(super) fn read(&mut self, at: u64, to: &mut [u8]) -> io::Result<Got> {
        match self {
            Self::Plain(file) => file.read_at(to, at).map(Got::Bytes),
            Self::Packed { at: before, .. } if *before > at => Err(io::Error::other("cannot go back")),
            Self::Packed { at: before, .. } if *before >= MOST_UNPACKED => {
                Err(io::Error::other(format!("more than {MOST_UNPACKED} bytes when unpacked")))
            }
            Self::Packed { unpacker, at: before } => {
                let skip = usize::try_from(at - *before).unwrap_or(usize::MAX);
                let most = if skip > 0 { skip.min(to.len()) } else { to.len() };
                let n = unpacker.read(&mut to[..most])?;
                *before += n as u64;
                Ok(if skip > 0 && n > 0 { Got::Skipped(n) } else { Got::Bytes(n) })
            }
        }
    }

    /// The first bytes, at most [`HEAD`]. It can be read from the beginning afterwards.
    ///
    /// # Errors
    /// If it cannot be read or unpacked.
    pub(super) fn head(&mut self) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(HEAD);
        match self {
            Self::Plain(file) => {
                head.resize(HEAD, 0);
                let n = file.read_at(&mut head, 0)?;
                head.truncate(n);
            }
            Self::Packed { .. } => {
                // Both have one place in the file.
                let mut again = self.file().try_clone()?;
                again.rewind()?;
                let unpacker = MultiGzDecoder::new(BufReader::with_capacity(4096, &again));
                let done = unpacker.take(HEAD as u64).read_to_end(&mut head);
                again.rewind()?;
                *self = Self::unpack(again);
                done?;
            }
        }
        Ok(head)
    }
}

/// # Errors
/// Says what it is, if it is no file.
fn refuse_others(meta: &Metadata) -> io::Result<()> {
    let kind = meta.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("is {what}, no file")))
}

/// What the file system says of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stat {
    /// Device and inode.
    pub(super) inode: (u64, u64),
    /// Bytes on disk.
    pub(super) len: u64,
    /// When it was last written to, in nanoseconds since 1970.
    pub(super) written_ns: i64,
}

impl Stat {
    /// What this says.
    pub(super) fn of(meta: &Metadata) -> Self {
        let written_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Self { inode: (meta.dev(), meta.ino()), len: meta.len(), written_ns }
    }

    /// Of what stands there.
    ///
    /// # Errors
    /// If nothing does, or it is not shown.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|meta| Self::of(&meta))
    }
}

/// Whether a file that begins so holds no text. Zeros at the very beginning are a hole that truncation left.
#[must_use]
pub(super) fn is_binary(head: &[u8]) -> bool {
    let text = head.iter().skip_while(|b| **b == 0);
    text.clone().any(|b| *b == 0)
        || text.clone().filter(|b| **b < 32 && !b.is_ascii_whitespace() && **b != 27).count() > 8
}
