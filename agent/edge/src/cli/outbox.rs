//! `outbox check|repair DIR`: what stands in an outbox, what is damaged, and what a start would make of it.

use std::fmt::Write as _;
use std::path::Path;

use super::{Args, Failure};
use crate::clock;
use crate::disk::{Disk, Folder, Memory};
use crate::outbox::inspect::{Inspection, inspect};
use crate::outbox::{self, Outbox, Recovery};

/// Looks, and tries out on a copy in memory what a start would do. Nothing is written.
pub(super) fn check(args: &Args, dir: &Path) -> Result<(), Failure> {
    let (mut copy, unread) = Memory::copy_of(dir).map_err(|e| cannot(dir, &e))?;
    let found = inspect(&mut copy).map_err(|e| cannot(dir, &e))?;
    let (outbox, recovery) = open(args, Box::new(copy))?;
    let mut text = described(&found);
    for (file, error) in &unread {
        line(&mut text, &format!("{file}: cannot be read: {error}"));
    }
    line(&mut text, &format!("a start would: {}", recovery.in_words(outbox.epoch())));
    super::commands::print(&text)?;
    if found.is_whole() && unread.is_empty() {
        Ok(())
    } else {
        let what = "is damaged; what can be read is delivered, the rest is counted as lost. Every start repairs; so does";
        Err(anyhow::anyhow!("{0} {what} `fieldmouse outbox repair {0}`", dir.display()).into())
    }
}

/// Does what a start does.
pub(super) fn repair(args: &Args, dir: &Path) -> Result<(), Failure> {
    let socket = super::commands::socket(args)?;
    if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
        let what = "an agent answers on this socket and may be at work in the outbox; stop it first";
        return Err(anyhow::anyhow!("{}: {what}", socket.display()).into());
    }
    // Opening would make a folder that is not there.
    std::fs::read_dir(dir).map_err(|e| cannot(dir, &e))?;
    let (mut outbox, recovery) = open(args, Box::new(Folder::new(dir)))?;
    outbox.close(clock::mono_ms());
    if let Some(why) = &recovery.memory_only {
        return Err(anyhow::anyhow!("{}: {why}; nothing is repaired", dir.display()).into());
    }
    super::commands::print(&format!("{}\n", recovery.in_words(outbox.epoch())))
}

fn cannot(dir: &Path, e: &std::io::Error) -> Failure {
    anyhow::anyhow!(
        "{}: {e}; give the folder of an outbox, such as /var/lib/fieldmouse/outbox",
        dir.display()
    )
    .into()
}

fn open(args: &Args, disk: Box<dyn Disk>) -> Result<(Outbox, Recovery), Failure> {
    let options = outbox::Options::new(args.config()?.written.outbox.max_bytes);
    Ok(Outbox::open(disk, options, outbox::entropy(), clock::stamp()))
}

fn line(text: &mut String, what: &str) {
    // Writing to a string cannot fail.
    let _ok = writeln!(text, "{what}");
}

fn described(found: &Inspection) -> String {
    let mut text = String::new();
    for s in &found.segments {
        line(&mut text, &format!("{}: {} bytes, {} records", s.file, s.bytes, s.records));
        for d in &s.damage {
            let whose = d.seq.map_or("of which nothing is known".to_owned(), |seq| format!("of event {seq}"));
            line(&mut text, &format!("{}: {} damaged bytes at offset {}, {whose}", s.file, d.bytes, d.at));
        }
    }
    for (epoch, e) in &found.epochs {
        let acked = e.acked.map_or(String::new(), |a| format!(", acknowledged up to {a}"));
        let range = if e.records > 0 { format!(", {} to {}", e.first, e.last) } else { String::new() };
        line(&mut text, &format!("epoch {epoch:016x}: {} records{range}{acked}", e.records));
    }
    match found.cursor {
        Some(Ok(())) => {}
        Some(Err(why)) => line(&mut text, &format!("cursor: {why}; what was acknowledged is sent again")),
        None => line(&mut text, "cursor: absent; what was acknowledged is sent again"),
    }
    for (file, bytes) in &found.others {
        line(&mut text, &format!("{file}: {bytes} bytes beside the records"));
    }
    text
}
