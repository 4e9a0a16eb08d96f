//! What a metric tells of, by its name.

use serde::{Deserialize, Serialize};

/// What evidence tells of. It decides in which direction it is bad, how much of a change matters, and whether it is a
/// symptom, which dependents catch from what they depend on, or something of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// How long answers take. A symptom.
    Latency,
    /// Answers that are wrong or missing. A symptom.
    Errors,
    /// It is not heard of. A symptom.
    Lost,
    /// How busy it is: processor, input and output.
    Usage,
    /// What it holds: memory, files, threads, connections.
    Stock,
    /// How much is asked of it; mostly an effect, or from outside.
    Load,
    /// The machine it shares with others.
    Host,
    /// What it wrote into its log.
    Log,
    /// Somebody or something changed it. Its strength is not asked for; how long ago it was counts.
    Change,
    /// It was at work when another's trouble began.
    Culprit,
    /// Anything else.
    Other,
}

impl Kind {
    /// Whether dependents catch it from what they depend on.
    #[must_use]
    pub const fn spreads(self) -> bool {
        matches!(self, Self::Latency | Self::Errors | Self::Lost)
    }

    /// Whether only a rise is bad.
    #[must_use]
    pub const fn rises(self) -> bool {
        matches!(self, Self::Latency | Self::Errors | Self::Host)
    }

    /// What a metric of that name tells of. The first row of the table with a word of the name decides.
    #[must_use]
    pub fn of(metric: &str) -> Self {
        // Labels name who and where, not what.
        let words = words(metric.split('{').next().unwrap_or(metric));
        let any = |starts: &[&str]| words.iter().any(|w| starts.iter().any(|s| matches(w, s)));
        if words.first().is_some_and(|w| ["node", "host", "machine"].contains(&w.as_str())) {
            return Self::Host;
        }
        // `disk read bytes` is work done, `disk used` is what is held.
        if any(&["disk*", "fs", "filesystem*"]) && any(&["read*", "write*", "io*"]) {
            return Self::Usage;
        }
        TABLE.iter().find(|(_, starts)| any(starts)).map_or(Self::Other, |(kind, _)| *kind)
    }
}

/// Whether the metric is a share of what went well, of which a fall is bad.
pub(crate) fn is_success(metric: &str) -> bool {
    words(metric).iter().any(|w| ["avail*", "success*"].iter().any(|s| matches(w, s)))
}

/// What is all, if the metric is a share: 1, or 100 of a percentage. `most` is its largest value.
pub(crate) fn whole(metric: &str, most: f64) -> Option<f64> {
    let is_share = is_success(metric)
        || metric.contains('%')
        || words(metric).iter().any(|w| ["rate", "ratio", "share", "percent", "pct"].contains(&w.as_str()));
    match most {
        _ if !is_share => None,
        ..=1.0 => Some(1.0),
        ..=100.0 => Some(100.0),
        // More than all went well now and then, by rounding.
        _ => is_success(metric).then_some(100.0),
    }
}

/// Whether the metric counts requests, and if so, whether per second.
pub(crate) fn requests(metric: &str) -> Option<Per> {
    let words = words(metric);
    let any = |starts: &[&str]| words.iter().any(|w| starts.iter().any(|s| matches(w, s)));
    if Kind::of(metric) != Kind::Load {
        None
    } else if any(&["ops", "qps", "rps", "tps", "rate", "s", "second"]) {
        Some(Per::Second)
    } else if any(&["request*", "req", "reqs", "workload*", "call*", "invocation*"]) {
        Some(Per::Interval)
    } else {
        None
    }
}

/// What a count is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    Second,
    Interval,
}

/// Words by which a kind is known; `*` stands for any ending.
const TABLE: [(Kind, &[&str]); 5] = [
    (Kind::Latency, &["latenc*", "duration*", "response*", "delay*", "elapsed", "rtt", "wait*", "slow*"]),
    (
        Kind::Errors,
        &[
            "err",
            "error*",
            "fail*",
            "fault*",
            "exception*",
            "timeout*",
            "drop*",
            "retr*",
            "reset*",
            "refus*",
            "reject*",
            "4xx",
            "5xx",
            "avail*",
            "success*",
            "loss",
            "lost",
            "crash*",
            "restart*",
            "oom",
        ],
    ),
    (
        Kind::Stock,
        &[
            "mem*",
            "heap*",
            "rss",
            "swap*",
            "disk",
            "disks",
            "fs",
            "filesystem*",
            "inode*",
            "fd",
            "fds",
            "thread*",
            "conn*",
            "socket*",
            "queue*",
            "pool*",
            "backlog*",
            "pids",
        ],
    ),
    (Kind::Usage, &["cpu*", "gpu*", "io*", "diskio*", "util*", "throttl*", "gc", "load1", "load5", "load15"]),
    (
        Kind::Load,
        &[
            "request*",
            "req",
            "reqs",
            "workload*",
            "load",
            "ops",
            "qps",
            "rps",
            "tps",
            "throughput",
            "call*",
            "invocation*",
            "traffic",
            "receive*",
            "transmit*",
            "sent",
            "network*",
            "net",
            "rx",
            "tx",
            "bytes",
            "packets",
            "syscall*",
            "message*",
        ],
    ),
];

fn matches(word: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(word == pattern, |start| word.starts_with(start))
}

/// Its words in lower case: `PodSuccessRate(%)` is pod, success, rate.
fn words(metric: &str) -> Vec<String> {
    /// A name is known by its first words; nobody names a metric in a kilobyte.
    const LONGEST: usize = 256;
    let mut words = vec![String::new()];
    let mut before_is_small = false;
    for c in metric.chars().take(LONGEST) {
        if !c.is_alphanumeric() || (c.is_uppercase() && before_is_small) {
            words.push(String::new());
        }
        before_is_small = c.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_is_measured() {
        let check =
            |metric: &str, kind: Kind| assert_eq!(Kind::of(metric), kind, "{metric}: {:?}", words(metric));
        check("latency_p99", Kind::Latency);
        check("PodServerLatencyP90(s)", Kind::Latency);
        check("http.server.request.duration", Kind::Latency);
        check("response_time_ms", Kind::Latency);
        check("availability_Average", Kind::Errors);
        check("PodSuccessRate(%)", Kind::Errors);
        check("http_requests_errors_total", Kind::Errors);
        check("status.5xx", Kind::Errors);
        check("CpuUsageRate(%)", Kind::Usage);
        check("process.cpu.utilization", Kind::Usage);
        check("diskio", Kind::Usage);
        check("system.disk.read_bytes", Kind::Usage);
        check("load15", Kind::Usage);
        check("MemoryUsage(Mi)", Kind::Stock);
        check("system.memory.utilization", Kind::Stock);
        check("disk_used", Kind::Stock);
        check("socket", Kind::Stock);
        check("requests_Sum", Kind::Load);
        check("PodWorkload(Ops)", Kind::Load);
        check("SyscallRead", Kind::Load);
        check("NetworkReceiveBytes", Kind::Load);
        check("workload", Kind::Load);
        check("NodeCpuUsageRate(%)", Kind::Host);
        check("system.cpu.utilization{cpu.mode=wait}", Kind::Usage);
        check("temperature", Kind::Other);
        check("", Kind::Other);
        check(&"x".repeat(1 << 20), Kind::Other);
    }

    #[test]
    fn requests_are_counted_by_interval_or_second() {
        let check = |metric: &str, per: Option<Per>| assert_eq!(requests(metric), per, "{metric}");
        check("requests_Sum", Some(Per::Interval));
        check("PodWorkload(Ops)", Some(Per::Second));
        check("request_rate", Some(Per::Second));
        check("NetworkReceiveBytes", None);
        check("request_errors", None);
    }
}
