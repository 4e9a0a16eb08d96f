//! Databases of text in which each package is a stanza: dpkg and opkg write `Package: bash`, apk writes `P:bash`.

use std::io::{self, BufRead, ErrorKind};

use crate::inventory::Inventory;

/// How the lines of a stanza begin that say what we want to know.
#[derive(Debug)]
pub(super) struct Keys {
    name: &'static str,
    version: &'static str,
    architecture: &'static str,
    status: Option<&'static str>,
}

/// Of dpkg and opkg.
pub(super) const DEBIAN: Keys =
    Keys { name: "Package: ", version: "Version: ", architecture: "Architecture: ", status: Some("Status: ") };
/// Of apk.
pub(super) const ALPINE: Keys = Keys { name: "P:", version: "V:", architecture: "A:", status: None };

/// No line we look for is longer; what is, is cut.
const LINE: usize = 512;

/// Adds every package that is there, as `name:architecture` with its version. Packages of which only the configuration
/// is left are not there; those that are just being unpacked are.
///
/// # Errors
/// If it cannot be read.
pub(super) fn read(keys: &Keys, from: &mut dyn BufRead, to: &mut Inventory) -> io::Result<()> {
    let mut stanza = Stanza::default();
    each_line(from, |line| {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        let value = |key: &str| line.strip_prefix(key).map(ToOwned::to_owned);
        if line.is_empty() {
            std::mem::take(&mut stanza).end(to);
        } else if let Some(name) = value(keys.name) {
            stanza.name = name;
        } else if let Some(version) = value(keys.version) {
            stanza.version = version;
        } else if let Some(architecture) = value(keys.architecture) {
            stanza.architecture = architecture;
        } else if let Some(status) = keys.status.and_then(value) {
            stanza.is_gone = ["not-installed", "config-files"].iter().any(|word| status.ends_with(word));
        }
    })?;
    stanza.end(to);
    Ok(())
}

#[derive(Default)]
struct Stanza {
    name: String,
    version: String,
    architecture: String,
    is_gone: bool,
}

impl Stanza {
    fn end(self, to: &mut Inventory) {
        if !self.name.is_empty() && !self.version.is_empty() && !self.is_gone {
            to.add(&format!("{}:{}", self.name, self.architecture), &self.version, 0);
        }
    }
}

/// Hands out every line, without its end and cut at [`LINE`] bytes, however long it is.
pub(super) fn each_line(from: &mut dyn BufRead, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::with_capacity(LINE);
    loop {
        let buffer = match from.fill_buf() {
            Ok(buffer) => buffer,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if buffer.is_empty() {
            if !line.is_empty() {
                take(&line);
            }
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.extend_from_slice(&part[..part.len().min(LINE - line.len())]);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            take(&line);
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn parse(keys: &Keys, text: &[u8], room: usize) -> Vec<(String, String)> {
        let mut inventory = Inventory::default();
        read(keys, &mut BufReader::with_capacity(room, text), &mut inventory).unwrap();
        inventory.settle();
        inventory.iter().map(|i| (i.name.to_owned(), i.mark.to_owned())).collect()
    }

    #[test]
    fn stanzas_of_every_manager() {
        let check = |keys: &Keys, text: &str, want: &[(&str, &str)]| {
            let want: Vec<_> = want.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(parse(keys, text.as_bytes(), 7), want, "{text}");
        };
        let dpkg = "\
Package: openssl
Status: install ok installed
Architecture: amd64
Version: 3.0.15-1~deb12u1
Description: Secure Sockets Layer toolkit
 Package: is no name here, as it is indented
 .

Package: libc6
Status: install ok half-configured
Architecture: i386
Version: 2.36-9

Package: left-over
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: never
Status: unknown ok not-installed
Architecture: amd64
";
        check(&DEBIAN, dpkg, &[("libc6:i386", "2.36-9"), ("openssl:amd64", "3.0.15-1~deb12u1")]);
        let opkg = "\
Package: dnsmasq
Version: 2.90-r3
Depends: libc, libubus20240329
Status: install user installed
Architecture: mips_24kc
Installed-Time: 1725000000
Auto-Installed: yes
";
        check(&DEBIAN, opkg, &[("dnsmasq:mips_24kc", "2.90-r3")]);
        let apk = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nS:1\nT:the musl c library\nF:lib\nR:ld-musl\n\n\n\nP:zlib\nV:1.3.1-r1\nA:x86_64";
        check(&ALPINE, apk, &[("musl:x86_64", "1.2.5-r0"), ("zlib:x86_64", "1.3.1-r1")]);
        check(&DEBIAN, "", &[]);
        let long = format!("Package: a\nVersion: 1\nDepends: {}\nArchitecture: all\n", "x, ".repeat(100_000));
        check(&DEBIAN, &long, &[("a:all", "1")]);
    }

    proptest! {
        #[test]
        fn any_bytes_return_and_the_size_of_reads_is_nothing(
            text in prop::collection::vec(
                prop::sample::select(vec!["Package: a\n", "Version: 1\n", "Status: x not-installed\n", "\n", "\r\n", "P:b\n", "V:2", "\u{e4}", "\0"]),
                0..40,
            ),
            room in 1..64_usize,
        ) {
            let text = text.concat();
            for keys in [&DEBIAN, &ALPINE] {
                prop_assert_eq!(parse(keys, text.as_bytes(), room), parse(keys, text.as_bytes(), 8192));
            }
        }
    }
}
