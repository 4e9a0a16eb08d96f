//! Seconds until certificates expire: of PEM files, the broker's and our own first. Of several certificates in a file
//! the one that expires first counts.

use std::path::{Path, PathBuf};

use fieldmouse_core::metric::CERTIFICATE_LEFT;
use fieldmouse_core::series::{Millis, NoData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::filesystem::short;
use super::text::{bytes_of, why};
use super::{Kind, Readings, Source, SourceError, below};
use crate::clock;

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "certificate",
    about: "time until certificates expire: the broker's authority, our own, and any other PEM files",
    every_ms: 300_000,
    build: |table, place| Ok(Box::new(Certificates::new(super::config(KIND.name, table)?, &place.root, known_time))),
};

/// `[source.certificate]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// PEM files to look at, too.
    files: Vec<PathBuf>,
}

/// More files than this are left out.
const MOST: usize = 64;

/// Adds files to the keys of this source, those first.
pub fn add_files<'a>(keys: &mut toml::Table, files: impl Iterator<Item = &'a PathBuf>) {
    let all = keys.entry("files").or_insert_with(|| toml::Value::Array(Vec::new()));
    if let toml::Value::Array(all) = all {
        let mut files: Vec<_> = files.map(|f| toml::Value::String(f.display().to_string())).collect();
        files.retain(|file| !all.contains(file));
        all.splice(0..0, files);
    }
}

/// Seconds since 1970, if the clock was ever set.
fn known_time() -> Option<u64> {
    clock::stamp().wall_ms.map(|ms| ms / 1000)
}

/// When a certificate expires, in seconds since 1970; before 1970 counts as 1970.
fn parse(der: &[u8]) -> Option<u64> {
    let (0x30, certificate, _) = element(der)? else { return None };
    let (0x30, mut rest, _) = element(certificate)? else { return None };
    // Version (left out in the first one), number, algorithm, issuer.
    loop {
        let (tag, content, after) = element(rest)?;
        rest = after;
        // Of the sequences the third is the validity.
        if tag == 0x30 && content.first().is_some_and(|tag| matches!(tag, 0x17 | 0x18)) {
            let (_, _from, rest) = element(content)?;
            let (tag, until, _) = element(rest)?;
            return time(tag, std::str::from_utf8(until).ok()?);
        }
    }
}

/// The first element of DER: tag, content, what comes after.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], mut rest) = der.split_first_chunk::<2>()?;
    let mut len = usize::from(first);
    if first >= 0x80 {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(d, _)| d.len() <= 4)?;
        len = digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(len)?;
    Some((tag, content, after))
}

/// `491231235959Z` or `20491231235959Z`.
fn time(tag: u8, text: &str) -> Option<u64> {
    let digits = text.strip_suffix('Z').filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = digits.split_at_checked(if tag == 0x17 { 2 } else { 4 })?;
    let century = match (tag, year.parse::<u8>().unwrap_or(0)) {
        (0x17, 50..) => "19",
        (0x17, _) => "20",
        _ => "",
    };
    let part = |i: usize| rest.get(i..i + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    let year = format!("{century}{year}");
    if year.as_str() < "1970" {
        return Some(0);
    }
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let time = humantime::parse_rfc3339(&text).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

#[derive(Debug)]
struct Certificates {
    files: Vec<(PathBuf, PathBuf)>,
    now: fn() -> Option<u64>,
}

impl Certificates {
    fn new(config: Config, root: &Path, now: fn() -> Option<u64>) -> Self {
        let files = config.files.into_iter().take(MOST).map(|file| (below(root, &file), file)).collect();
        Self { files, now }
    }
}

/// When the first certificate of a file expires.
fn expires(file: &Path) -> Result<u64, NoData> {
    let text = bytes_of(file).map_err(|e| why(&e))?;
    let all = CertificateDer::pem_slice_iter(&text).map(|found| parse(&found.ok()?));
    all.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min()).ok_or(NoData::Unparsable)
}

impl Source for Certificates {
    fn sample(&mut self, _now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        // Without a clock nothing can be said of dates.
        let Some(now) = (self.now)() else { return Ok(()) };
        for (file, name) in &self.files {
            let slot = out.slot(CERTIFICATE_LEFT, &[&short(&name.to_string_lossy())]);
            out.put(slot, expires(file).map(|until| until as f64 - now as f64));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `openssl req -x509 -newkey ed25519 -nodes -keyout /dev/null -subj /CN=field -days 3650`, and the same for 13,000 days:
    /// from 2050 on the year has four digits.
    const UTC: &str = "\
-----BEGIN CERTIFICATE-----
MIIBNDCB56ADAgECAhQTz936hm1MKzmeoJ5EfG4PErg4xzAFBgMrZXAwEDEOMAwG
A1UEAwwFZmllbGQwHhcNMjYxMTIyMjE0NDE1WhcNMzYxMTE5MjE0NDE1WjAQMQ4w
DAYDVQQDDAVmaWVsZDAqMAUGAytlcAMhABvfP7Z5OjOuUS9mAgZnwYDneA2u/oFF
aAS2LZA8u3afo1MwUTAdBgNVHQ4EFgQU6FRNQbUlGs701kD44KbBT0KQsLYwHwYD
VR0jBBgwFoAU6FRNQbUlGs701kD44KbBT0KQsLYwDwYDVR0TAQH/BAUwAwEB/zAF
BgMrZXADQQBxkVoX68cB76WZrVG8xhHlWbiAQuX2NTorQTbExJ1OMGeVMIQZ0j9t
UF3JxFVFSW2iP6ZE/dRcmDanSJZcqgII
-----END CERTIFICATE-----
";
    const LATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBNjCB6aADAgECAhRaIOiaeII9YcqfRdhK6msjOHw0jzAFBgMrZXAwEDEOMAwG
A1UEAwwFZmllbGQwIBcNMjYxMTIyMjE0NDE1WhgPMjA2MjA2MjYyMTQ0MTVaMBAx
DjAMBgNVBAMMBWZpZWxkMCowBQYDK2VwAyEALZZOK7qcFL88AOopmq1Sj7mdwy/y
ubwhrhTX8D0DB7mjUzBRMB0GA1UdDgQWBBS7kOkKwILYzK+1OBqHFpAC0ySiYDAf
BgNVHSMEGDAWgBS7kOkKwILYzK+1OBqHFpAC0ySiYDAPBgNVHRMBAf8EBTADAQH/
MAUGAytlcANBAAWixKbfSPy7eYL0j6iJeInYEczCkdvUq/YPSaXLdDvo5TbbcCRX
/VA/799vlPQh028tURTeSrA86b1exOjmjwY=
-----END CERTIFICATE-----
";

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn certificates_tell_their_end() {
        assert_eq!(parse(&der(UTC)), Some(2_110_743_855));
        assert_eq!(parse(&der(LATE)), Some(2_918_583_855));
        assert_eq!(time(0x17, "700101000000Z"), Some(0));
        assert_eq!(time(0x17, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(0x18, "19500101000000Z"), Some(0));
        assert_eq!(time(0x18, "20360101"), None);
        assert_eq!(time(0x17, "ää0101000000Z"), None);
    }

    #[test]
    fn the_first_of_a_file_counts() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("both.pem"), format!("{LATE}\n{UTC}")).unwrap();
        std::fs::write(root.path().join("words.pem"), "no certificate\n").unwrap();
        let mut keys = toml::Table::new();
        let files = ["/both.pem", "/words.pem", "/none.pem"].map(PathBuf::from);
        add_files(&mut keys, files.iter());
        add_files(&mut keys, files[..1].iter());
        let config: Config = super::super::config("certificate", keys).unwrap();
        assert_eq!(config.files, files);
        let sample = |now: fn() -> Option<u64>| {
            let mut out = Readings::default();
            Certificates::new(config.clone(), root.path(), now).sample(0, &mut out).unwrap();
            out.iter().map(|(_, reading)| reading).collect::<Vec<_>>()
        };
        assert_eq!(sample(|| None), []);
        let want = [Ok(8400.0), Err(NoData::Unparsable), Err(NoData::Absent)];
        assert_eq!(sample(|| Some(2_110_735_455)), want);
    }

    proptest! {
        #[test]
        fn any_bytes_return(at in 0..300_usize, with: u8, cut in 0..400_usize) {
            let mut der = der(UTC).to_vec();
            if let Some(byte) = der.get_mut(at) {
                *byte = with;
            }
            der.truncate(cut);
            let _any = parse(&der);
        }
    }
}
