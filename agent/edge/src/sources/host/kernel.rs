//! Tables of the kernel that can run full, and its uptime: three files with a line each.

use std::path::Path;

use fieldmouse_core::metric::{ENTROPY, FILE_DESCRIPTORS, FILE_DESCRIPTORS_USED, UPTIME};
use fieldmouse_core::series::NoData;

use crate::sources::Readings;
use crate::sources::places::{Places, Series, Values};
use crate::sources::text::{TextFile, number, why};

const FILES: [Series; 2] = [(FILE_DESCRIPTORS, &[]), (FILE_DESCRIPTORS_USED, &[])];

/// Open, unused since 2.6, most: `902 0 2466170`.
fn parse_files(text: &str) -> Values<2> {
    let mut fields = text.split_ascii_whitespace();
    let open = number(fields.next());
    let most = number(fields.nth(1));
    [Some(open), Some(open.and_then(|open| Ok(open / most?.max(1.0))))]
}

/// Seconds since boot, suspend included: `1323.99 1019.08`.
fn parse_uptime(text: &str) -> Values<1> {
    let uptime = text.split_ascii_whitespace().next().and_then(|f| f.parse::<f64>().ok());
    [Some(uptime.filter(|u| u.is_finite()).ok_or(NoData::Unparsable))]
}

#[derive(Debug)]
pub(super) struct Kernel {
    files: (TextFile, Places<2>),
    entropy: (TextFile, Places<1>),
    uptime: (TextFile, Places<1>),
}

impl Kernel {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            files: (TextFile::new(root, "proc/sys/fs/file-nr"), Places::default()),
            entropy: (TextFile::new(root, "proc/sys/kernel/random/entropy_avail"), Places::default()),
            uptime: (TextFile::new(root, "proc/uptime"), Places::default()),
        }
    }

    pub(super) fn sample(&mut self, buf: &mut Vec<u8>, out: &mut Readings) {
        let entropy = |text: &str| [Some(number(text.split_ascii_whitespace().next()))];
        one(&mut self.files, &FILES, parse_files, buf, out);
        one(&mut self.entropy, &[(ENTROPY, &[])], entropy, buf, out);
        one(&mut self.uptime, &[(UPTIME, &[])], parse_uptime, buf, out);
    }
}

fn one<const N: usize>(
    (file, places): &mut (TextFile, Places<N>),
    series: &[Series; N],
    parse: impl Fn(&str) -> Values<N>,
    buf: &mut Vec<u8>,
    out: &mut Readings,
) {
    match file.read(buf) {
        Ok(text) => places.put(series, &parse(&text), out),
        Err(e) => places.fail(why(&e), out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(parse_files("900\t0\t3600\n"), [Some(Ok(900.0)), Some(Ok(0.25))]);
        let bad = Some(Err(NoData::Unparsable));
        assert_eq!(parse_files("900"), [Some(Ok(900.0)), bad]);
        assert_eq!(parse_files(""), [bad, bad]);
        assert_eq!(parse_uptime("1323.99 1019.08\n"), [Some(Ok(1323.99))]);
        assert_eq!(parse_uptime("inf"), [bad]);
    }
}
