//! `/proc/net/dev` per interface; `/proc/net/{sockstat,sockstat6,snmp}` and connection tracking for the whole machine.
//!
//! `/proc/net/tcp` is never read: it costs milliseconds on a busy server and locks its tables.

use std::path::Path;

use fieldmouse_core::metric::{
    CONNTRACK_USED, NETWORK_CONNECTIONS, NETWORK_DROPPED, NETWORK_ERRORS, NETWORK_IO, NETWORK_PACKETS, SOCKETS,
    TCP_RETRANSMITS,
};
use fieldmouse_core::series::{NoData, Reading, SeriesKey};

use crate::sources::Readings;
use crate::sources::places::{Places, Roster, Series, Values};
use crate::sources::text::{TextFile, count, label, matches_any, number, why};

/// More interfaces than this are left out.
const MOST_INTERFACES: usize = 64;

/// Interfaces whose traffic another one carries, or nobody's: their names come and go with containers.
const IGNORED: [&str; 17] = [
    "lo", "veth*", "docker*", "br-*", "virbr*", "vnet*", "cali*", "cni*", "flannel*", "lxc*", "podman*", "ifb*",
    "dummy*", "tunl*", "sit*", "gre*", "ip6*",
];

/// Metric, direction, and the column it stands in.
const SERIES: [(u16, &str, usize); 8] = [
    (NETWORK_IO, "receive", 0),
    (NETWORK_IO, "transmit", 8),
    (NETWORK_PACKETS, "receive", 1),
    (NETWORK_PACKETS, "transmit", 9),
    (NETWORK_ERRORS, "receive", 2),
    (NETWORK_ERRORS, "transmit", 10),
    (NETWORK_DROPPED, "receive", 3),
    (NETWORK_DROPPED, "transmit", 11),
];

/// The interface's name and its counters. The two header lines are none.
fn parse(line: &str) -> Option<(&str, Values<8>)> {
    let (name, rest) = line.rsplit_once(':')?;
    let mut columns: [Reading; 12] = [Err(NoData::Unparsable); 12];
    for (column, field) in columns.iter_mut().zip(rest.split_ascii_whitespace()) {
        *column = number(Some(field));
    }
    Some((name.trim(), SERIES.map(|(_, _, at)| Some(columns[at]))))
}

const SOCKET: [Series; 3] = [(SOCKETS, &["any"]), (SOCKETS, &["tcp"]), (SOCKETS, &["udp"])];
const TCP: [Series; 3] = [
    (NETWORK_CONNECTIONS, &["tcp", "established"]),
    (NETWORK_CONNECTIONS, &["tcp", "time_wait"]),
    (TCP_RETRANSMITS, &[]),
];

/// Sockets by kind, and TCP connections in `time_wait`.
fn parse_sockets(text: &str, sockets: &mut Values<3>, time_wait: &mut Option<Reading>) {
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (at, key) = match fields.next() {
            Some("sockets:") => (0, "used"),
            Some("TCP:" | "TCP6:") => (1, "inuse"),
            Some("UDP:" | "UDP6:") => (2, "inuse"),
            _ => continue,
        };
        while let Some(name) = fields.next() {
            let value = number(fields.next());
            if name == key {
                sockets[at] = Some(match sockets[at] {
                    Some(other) => other.and_then(|a| value.map(|b| a + b)),
                    None => value,
                });
            } else if name == "tw" {
                *time_wait = Some(value);
            }
        }
    }
}

/// Established connections and retransmitted segments, from the two `Tcp:` lines: names, then values.
fn parse_snmp(text: &str) -> [Option<Reading>; 2] {
    let mut lines = text.lines().filter_map(|l| l.strip_prefix("Tcp:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return [None; 2] };
    let mut found = [None; 2];
    let mut values = values.split_ascii_whitespace();
    for name in names.split_ascii_whitespace() {
        let value = values.next();
        match name {
            "CurrEstab" => found[0] = Some(number(value)),
            "RetransSegs" => found[1] = Some(number(value)),
            _ => {}
        }
    }
    found
}

#[derive(Debug)]
pub(super) struct Network {
    dev: TextFile,
    sockets: [TextFile; 2],
    snmp: TextFile,
    conntrack: [TextFile; 2],
    only: Vec<String>,
    ignore: Vec<String>,
    interfaces: Roster<Places<8>>,
    socket: Places<3>,
    tcp: Places<3>,
    tracked: Places<1>,
}

impl Network {
    /// Who names the interfaces wanted gets them; the default list is for those who do not.
    pub(super) fn new(root: &Path, only: Vec<String>, ignore: Option<Vec<String>>) -> Self {
        let default = || if only.is_empty() { IGNORED.map(str::to_owned).to_vec() } else { Vec::new() };
        let ignore = ignore.unwrap_or_else(default);
        let file = |path| TextFile::new(root, path);
        Self {
            dev: file("proc/net/dev"),
            sockets: [file("proc/net/sockstat"), file("proc/net/sockstat6")],
            snmp: file("proc/net/snmp"),
            conntrack: [
                file("proc/sys/net/netfilter/nf_conntrack_count"),
                file("proc/sys/net/netfilter/nf_conntrack_max"),
            ],
            only,
            ignore,
            interfaces: Roster::new(MOST_INTERFACES),
            socket: Places::default(),
            tcp: Places::default(),
            tracked: Places::default(),
        }
    }

    pub(super) fn sample(&mut self, buf: &mut Vec<u8>, out: &mut Readings) {
        self.sample_interfaces(buf, out);
        let mut sockets: Values<3> = [None; 3];
        let mut tcp: Values<3> = [None; 3];
        for file in &mut self.sockets {
            if let Ok(text) = file.read(buf) {
                parse_sockets(&text, &mut sockets, &mut tcp[1]);
            }
        }
        if let Ok(text) = self.snmp.read(buf) {
            [tcp[0], tcp[2]] = parse_snmp(&text);
        }
        self.socket.put(&SOCKET, &sockets, out);
        self.tcp.put(&TCP, &tcp, out);
        let [used, most] = self
            .conntrack
            .each_mut()
            .map(|file| file.read(buf).ok().map(|text| count(text.split_ascii_whitespace().next())));
        if let (Some(used), Some(most)) = (used, most) {
            let share = used.and_then(|used| Ok(used as f64 / most?.max(1) as f64));
            self.tracked.put(&[(CONNTRACK_USED, &[])], &[Some(share)], out);
        }
    }

    fn sample_interfaces(&mut self, buf: &mut Vec<u8>, out: &mut Readings) {
        let text = match self.dev.read(buf) {
            Ok(text) => text,
            Err(e) => return self.interfaces.iter().for_each(|places| places.fail(why(&e), out)),
        };
        for (name, values) in text.lines().filter_map(parse) {
            let wanted = self.only.is_empty() || matches_any(&self.only, name);
            if name.is_empty() || !wanted || matches_any(&self.ignore, name) {
                continue;
            }
            let Some(places) = self.interfaces.get(name) else { continue };
            let short = || label(name).chars().take(32).collect::<String>();
            places.put_as(|i| SeriesKey::new(SERIES[i].0, &[&short(), SERIES[i].1]), &values, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Option<Reading> = Some(Err(NoData::Unparsable));

    #[test]
    fn interfaces() {
        let line = "  eth0: 859694845   18751    1    2    0     0          0         0   855468   10903    3    4    0     0       0          0";
        let want = [859_694_845.0, 855_468.0, 18_751.0, 10_903.0, 1.0, 3.0, 2.0, 4.0].map(|v| Some(Ok(v)));
        assert_eq!(parse(line), Some(("eth0", want)));
        // Old kernels glue the first number to the name; aliases have a colon in theirs.
        assert_eq!(parse("eth0:1:859 7 0 0").map(|(n, v)| (n, v[0], v[1])), Some(("eth0:1", Some(Ok(859.0)), BAD)));
        assert_eq!(parse("Inter-|   Receive        |  Transmit"), None);
        assert_eq!(parse(":").map(|(n, _)| n), Some(""));
    }

    #[test]
    fn sockets() {
        let (mut sockets, mut tw) = ([None; 3], None);
        parse_sockets(
            "sockets: used 26\nTCP: inuse 3 orphan 0 tw 1 alloc 3 mem 271\nUDP: inuse 2 mem 0\nFRAG: inuse 0 memory 0\n",
            &mut sockets,
            &mut tw,
        );
        parse_sockets("TCP6: inuse 4\nUDP6: inuse many\nRAW6:", &mut sockets, &mut tw);
        assert_eq!(sockets, [Some(Ok(26.0)), Some(Ok(7.0)), BAD]);
        assert_eq!(tw, Some(Ok(1.0)));
    }

    #[test]
    fn snmp_is_found_by_name() {
        let text = "Ip: Forwarding\nIp: 2\nTcp: RtoMin CurrEstab InSegs RetransSegs\nTcp: 200 12 18697 7\nUdp: NoPorts\n";
        assert_eq!(parse_snmp(text), [Some(Ok(12.0)), Some(Ok(7.0))]);
        assert_eq!(parse_snmp("Tcp: CurrEstab RetransSegs\nTcp: -1"), [BAD, BAD]);
        assert_eq!(parse_snmp("Tcp: CurrEstab\n"), [None; 2]);
    }

    #[test]
    fn the_default_ignores_only_what_nobody_asked_for() {
        let root = Path::new("/nowhere");
        assert!(matches_any(&Network::new(root, vec![], None).ignore, "veth12ab"));
        assert!(!matches_any(&Network::new(root, vec!["lo".into()], None).ignore, "lo"));
        assert!(Network::new(root, vec![], Some(vec![])).ignore.is_empty());
    }
}
