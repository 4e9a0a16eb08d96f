//! The metric table: what is known of every quantity before the first reading of it.
//!
//! Names and units follow the OpenTelemetry semantic conventions. A code, once given, keeps its meaning for ever:
//! it is what travels. Append rows, never renumber.

use serde::{Deserialize, Serialize};

use Group::{Cpu, Disk, Filesystem, Job, Log as Lines, Memory, Network, Other, Process, Sensor, Service};
use Kind::{Counter, Gauge};
use Role::{Headline, Symptom};
use Scale::{Linear, Log};

use crate::forecast::Limit;

/// What a reading of the metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value as it stands.
    Gauge,
    /// A count since some start; what is judged is its rate per second.
    Counter,
}

/// How deviations are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A difference is a difference.
    Linear,
    /// Differences are judged as ratios above the floor: traffic that doubles from 1 MB/s is like traffic that
    /// doubles from 10 MB/s.
    Log,
}

/// Whether a series may open an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It opens and holds episodes.
    Headline,
    /// It only contributes: it follows others (load averages), or moves in the course of normal work (page cache).
    Symptom,
}

/// Which part of the device a series speaks of. Series of one group share a cause more often than not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Group {
    /// Anything the table does not know.
    Other = 0,
    /// Processor time.
    Cpu = 1,
    /// Memory and swap.
    Memory = 2,
    /// Block devices and what waits to be written to them.
    Disk = 3,
    /// Space and inodes.
    Filesystem = 4,
    /// Interfaces and sockets.
    Network = 5,
    /// Processes, threads, file descriptors.
    Process = 6,
    /// Temperatures, fans, voltages, power.
    Sensor = 7,
    /// What programs write of themselves.
    Log = 8,
    /// Requests that programs serve.
    Service = 9,
    /// Jobs and pipelines.
    Job = 10,
}

impl Group {
    /// One word for people.
    #[must_use]
    pub fn word(number: u8) -> &'static str {
        let words = [
            "other",
            "cpu",
            "memory",
            "disk",
            "filesystem",
            "network",
            "process",
            "sensor",
            "log",
            "service",
            "job",
        ];
        words.get(usize::from(number)).copied().unwrap_or("other")
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Metric {
    /// The number that travels.
    pub code: u16,
    /// OpenTelemetry name.
    pub name: &'static str,
    /// Attribute keys, in the order in which a label holds their values.
    pub attributes: &'static [&'static str],
    /// UCUM unit of what is judged (of the rate, for a counter).
    pub unit: &'static str,
    /// Gauge or counter.
    pub kind: Kind,
    /// Part of the device.
    pub group: Group,
    /// Headline or symptom.
    pub role: Role,
    /// Linear or logarithmic.
    pub scale: Scale,
    /// The smallest change worth anybody's time, in the unit. Zero: unknown, learnt from the series.
    pub floor: f32,
    /// What must not be reached, where it is known beforehand. A source may know it of a single series.
    pub limit: Option<Limit>,
    /// Values outside are impossible, in the unit.
    pub range: (f32, f32),
    /// Whether an unchanging value is suspect (an analogue sensor) or ordinary (an idle counter).
    pub freezes: bool,
    /// How much a deviation says about the cause, 0..1. Processor time is what every fault spends.
    pub weight: f32,
    /// Words for a sentence: "processor time in user mode". `{}` stands for the attribute values.
    pub words: &'static str,
}

/// The code of series no table knows.
pub const CUSTOM: u16 = 0;

const ANY: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);
const COUNT: (f32, f32) = (0.0, f32::INFINITY);
const SHARE: (f32, f32) = (0.0, 1.0);
/// Of a share: all of it.
const FULL: Limit = Limit::Above(1.0);

macro_rules! metrics {
    ($($const:ident = $code:literal, $name:literal [$($attr:literal),*] $unit:literal,
       $kind:ident $group:ident $role:ident $scale:ident, $(limit $limit:expr,)? floor $floor:literal, range $range:expr, weight $weight:literal
       $(, $freezes:ident)?, $words:literal;)*) => {
        $(#[doc = concat!("`", $name, "`: ", $words, ".")] pub const $const: u16 = $code;)*
        /// Every metric, in the order of its code.
        pub static METRICS: &[Metric] = &[$(Metric {
            code: $code, name: $name, attributes: &[$($attr),*], unit: $unit, kind: $kind, group: $group, role: $role,
            scale: $scale, floor: $floor, range: $range, weight: $weight, words: $words,
            freezes: metrics!(@freezes $($freezes)?), limit: metrics!(@limit $($limit)?),
        }),*];
    };
    (@freezes freezes) => { true };
    (@freezes) => { false };
    (@limit $limit:expr) => { Some($limit) };
    (@limit) => { None };
}

const CUSTOM_METRIC: Metric = Metric {
    code: CUSTOM,
    name: "",
    attributes: &[],
    unit: "",
    kind: Gauge,
    group: Other,
    role: Headline,
    scale: Linear,
    floor: 0.0,
    limit: None,
    range: ANY,
    freezes: false,
    weight: 1.0,
    words: "{}",
};

// Floors are the judgement of people who run machines: below them, nobody would get up.
metrics! {
    CPU_MODE = 1, "system.cpu.utilization" ["cpu.mode"] "1", Gauge Cpu Headline Linear, floor 0.2, range SHARE, weight 0.5, "processor time in {} mode";
    CPU_CORE = 2, "system.cpu.utilization" ["cpu.logical_number"] "1", Gauge Cpu Symptom Linear, floor 0.4, range SHARE, weight 0.4, "busy time of core {}";
    CPU_BUSY = 3, "system.cpu.utilization" [] "1", Gauge Cpu Headline Linear, floor 0.25, range SHARE, weight 0.55, "busy processor time";
    CPU_FREQUENCY = 4, "system.cpu.frequency" ["cpu.logical_number"] "Hz", Gauge Cpu Symptom Linear, floor 1e9, range COUNT, weight 0.1, "clock frequency of core {}";
    LOAD_1M = 5, "system.cpu.load_average.1m" [] "{thread}", Gauge Cpu Symptom Linear, floor 1.0, range COUNT, weight 0.3, "load average over 1 minute";
    LOAD_5M = 6, "system.cpu.load_average.5m" [] "{thread}", Gauge Cpu Symptom Linear, floor 1.0, range COUNT, weight 0.1, "load average over 5 minutes";
    LOAD_15M = 7, "system.cpu.load_average.15m" [] "{thread}", Gauge Cpu Symptom Linear, floor 1.0, range COUNT, weight 0.1, "load average over 15 minutes";
    CONTEXT_SWITCHES = 8, "system.linux.cpu.context_switches" [] "{switch}/s", Counter Cpu Symptom Log, floor 5e3, range COUNT, weight 0.3, "context switches";
    INTERRUPTS = 9, "system.linux.cpu.interrupts" [] "{interrupt}/s", Counter Cpu Symptom Log, floor 5e3, range COUNT, weight 0.2, "interrupts";
    SOFTIRQS = 10, "system.linux.cpu.softirqs" [] "{softirq}/s", Counter Cpu Symptom Log, floor 5e3, range COUNT, weight 0.2, "soft interrupts";
    PRESSURE = 11, "system.linux.pressure.stall" ["resource", "kind"] "1", Gauge Cpu Symptom Linear, floor 0.2, range SHARE, weight 0.3, "time stalled for {}";
    TASKS = 12, "system.linux.cpu.tasks" ["linux.task.state"] "{thread}", Gauge Cpu Symptom Log, floor 8.0, range COUNT, weight 0.3, "{} tasks";

    MEMORY_USAGE = 20, "system.memory.usage" ["system.memory.state"] "By", Gauge Memory Symptom Linear, floor 3e8, range COUNT, weight 0.3, "{} memory";
    MEMORY_USED = 21, "system.memory.utilization" [] "1", Gauge Memory Headline Linear, limit FULL, floor 0.03, range SHARE, weight 1.0, "memory in use";
    MEMORY_AVAILABLE = 22, "system.memory.linux.available" [] "By", Gauge Memory Symptom Linear, floor 3e8, range COUNT, weight 0.5, "available memory";
    MEMORY_DIRTY = 23, "system.memory.linux.dirty" [] "By", Gauge Disk Symptom Log, floor 6.4e7, range COUNT, weight 0.5, "data waiting to be written";
    MEMORY_WRITEBACK = 24, "system.memory.linux.writeback" [] "By", Gauge Disk Symptom Log, floor 6.4e7, range COUNT, weight 0.4, "data being written back";
    MEMORY_SLAB = 25, "system.memory.linux.slab.usage" ["linux.memory.slab.state"] "By", Gauge Memory Symptom Linear, floor 3e8, range COUNT, weight 0.3, "{} kernel memory";
    MEMORY_COMMITTED = 26, "system.memory.linux.committed" [] "By", Gauge Memory Symptom Linear, floor 3e8, range COUNT, weight 0.4, "memory promised to processes";
    SWAP_USAGE = 27, "system.paging.usage" ["system.paging.state"] "By", Gauge Memory Symptom Linear, floor 1e8, range COUNT, weight 0.6, "{} swap";
    SWAP_USED = 28, "system.paging.utilization" [] "1", Gauge Memory Headline Linear, limit FULL, floor 0.05, range SHARE, weight 0.9, "swap in use";
    PAGING_OPERATIONS = 29, "system.paging.operations" ["system.paging.direction"] "{operation}/s", Counter Memory Headline Log, floor 200.0, range COUNT, weight 0.9, "pages swapped {}";
    PAGE_FAULTS = 30, "system.paging.faults" ["system.paging.fault.type"] "{fault}/s", Counter Memory Symptom Log, floor 2e4, range COUNT, weight 0.3, "{} page faults";
    OOM_KILLS = 31, "system.linux.memory.oom_kills" [] "{kill}/s", Counter Memory Headline Linear, floor 0.5, range COUNT, weight 1.0, "processes killed for want of memory";

    DISK_IO = 40, "system.disk.io" ["system.device", "disk.io.direction"] "By/s", Counter Disk Headline Log, floor 8e6, range COUNT, weight 1.0, "data of disk {}";
    DISK_OPERATIONS = 41, "system.disk.operations" ["system.device", "disk.io.direction"] "{operation}/s", Counter Disk Symptom Log, floor 200.0, range COUNT, weight 0.5, "operations of disk {}";
    DISK_IO_TIME = 42, "system.disk.io_time" ["system.device"] "1", Gauge Disk Headline Linear, floor 0.3, range (0.0, 1.2), weight 0.8, "busy time of disk {}";
    DISK_LATENCY = 43, "system.disk.operation.latency" ["system.device", "disk.io.direction"] "s", Gauge Disk Symptom Log, floor 0.05, range COUNT, weight 0.5, "latency of disk {}";
    DISK_QUEUE = 44, "system.disk.pending_operations" ["system.device"] "{operation}", Gauge Disk Symptom Log, floor 4.0, range COUNT, weight 0.4, "operations waiting for disk {}";
    DISK_MERGED = 45, "system.disk.merged" ["system.device", "disk.io.direction"] "{operation}/s", Counter Disk Symptom Log, floor 500.0, range COUNT, weight 0.2, "merged operations of disk {}";
    DISK_ENDURANCE = 46, "hw.physical_disk.endurance_utilization" ["hw.id"] "1", Gauge Disk Symptom Linear, limit Limit::Wear, floor 0.1, range SHARE, weight 0.3, "rated life of {} used up";
    DISK_RESERVE = 47, "hw.physical_disk.reserve_utilization" ["hw.id"] "1", Gauge Disk Symptom Linear, limit Limit::Wear, floor 0.1, range SHARE, weight 0.3, "spare blocks of {} used up";

    FILESYSTEM_USAGE = 50, "system.filesystem.usage" ["system.filesystem.mountpoint", "system.filesystem.state"] "By", Gauge Filesystem Symptom Linear, floor 1e9, range COUNT, weight 0.4, "space of {}";
    FILESYSTEM_USED = 51, "system.filesystem.utilization" ["system.filesystem.mountpoint"] "1", Gauge Filesystem Headline Linear, limit FULL, floor 0.02, range SHARE, weight 1.0, "space in use on {}";
    INODES_USED = 52, "system.filesystem.inodes.utilization" ["system.filesystem.mountpoint"] "1", Gauge Filesystem Headline Linear, limit FULL, floor 0.02, range SHARE, weight 0.9, "inodes in use on {}";

    NETWORK_IO = 60, "system.network.io" ["network.interface.name", "network.io.direction"] "By/s", Counter Network Headline Log, floor 2e6, range COUNT, weight 0.9, "traffic of {}";
    NETWORK_PACKETS = 61, "system.network.packet.count" ["network.interface.name", "network.io.direction"] "{packet}/s", Counter Network Symptom Log, floor 3e3, range COUNT, weight 0.5, "packets of {}";
    NETWORK_ERRORS = 62, "system.network.errors" ["network.interface.name", "network.io.direction"] "{error}/s", Counter Network Headline Log, floor 5.0, range COUNT, weight 1.0, "errors of {}";
    NETWORK_DROPPED = 63, "system.network.packet.dropped" ["network.interface.name", "network.io.direction"] "{packet}/s", Counter Network Headline Log, floor 50.0, range COUNT, weight 0.9, "dropped packets of {}";
    NETWORK_CONNECTIONS = 64, "system.network.connection.count" ["network.transport", "network.connection.state"] "{connection}", Gauge Network Headline Log, floor 100.0, range COUNT, weight 0.7, "{} connections";
    SOCKETS = 65, "system.linux.sockets" ["network.transport"] "{socket}", Gauge Network Symptom Log, floor 200.0, range COUNT, weight 0.4, "{} sockets";
    TCP_RETRANSMITS = 66, "system.linux.tcp.retransmits" [] "{segment}/s", Counter Network Headline Log, floor 50.0, range COUNT, weight 0.8, "retransmitted segments";
    CONNTRACK_USED = 67, "system.linux.conntrack.utilization" [] "1", Gauge Network Headline Linear, limit FULL, floor 0.1, range SHARE, weight 0.9, "connection tracking table in use";
    CERTIFICATE_LEFT = 68, "tls.certificate.remaining" ["file.path"] "s", Gauge Network Symptom Linear, limit Limit::Countdown, floor 1e9, range ANY, weight 0.1, "validity left of certificate {}";

    PROCESS_COUNT = 80, "system.process.count" ["process.status"] "{process}", Gauge Process Headline Log, floor 40.0, range COUNT, weight 0.9, "{} processes";
    PROCESS_CREATED = 81, "system.process.created" [] "{process}/s", Counter Process Headline Log, floor 100.0, range COUNT, weight 1.0, "processes started";
    THREAD_COUNT = 82, "system.thread.count" [] "{thread}", Gauge Process Symptom Log, floor 100.0, range COUNT, weight 0.5, "threads";
    FILE_DESCRIPTORS = 83, "system.linux.file_descriptor.count" [] "{file_descriptor}", Gauge Process Headline Log, floor 1e3, range COUNT, weight 0.8, "open files";
    FILE_DESCRIPTORS_USED = 84, "system.linux.file_descriptor.utilization" [] "1", Gauge Process Headline Linear, limit FULL, floor 0.1, range SHARE, weight 0.9, "file descriptors in use";
    UPTIME = 85, "system.uptime" [] "s", Gauge Process Symptom Linear, floor 1e9, range COUNT, weight 0.1, "time since the start of the system";
    ENTROPY = 86, "system.linux.entropy.available" [] "bit", Gauge Process Symptom Linear, floor 200.0, range COUNT, weight 0.2, "random bits available";
    CLOCK_OFFSET = 87, "system.linux.clock.offset" [] "s", Gauge Process Symptom Linear, floor 0.5, range ANY, weight 0.5, "clock offset";

    TEMPERATURE = 100, "hw.temperature" ["hw.id", "hw.sensor_location"] "Cel", Gauge Sensor Headline Linear, floor 5.0, range (-60.0, 200.0), weight 0.8, freezes, "temperature of {}";
    FAN_SPEED = 101, "hw.fan.speed" ["hw.id", "hw.sensor_location"] "rpm", Gauge Sensor Headline Linear, floor 300.0, range (0.0, 50_000.0), weight 0.7, freezes, "speed of fan {}";
    VOLTAGE = 102, "hw.voltage" ["hw.id", "hw.sensor_location"] "V", Gauge Sensor Headline Linear, floor 0.2, range (-500.0, 500.0), weight 0.8, freezes, "voltage of {}";
    POWER = 103, "hw.power" ["hw.id", "hw.sensor_location"] "W", Gauge Sensor Headline Linear, floor 5.0, range (-1e5, 1e5), weight 0.6, freezes, "power of {}";
    CURRENT = 104, "hw.current" ["hw.id", "hw.sensor_location"] "A", Gauge Sensor Headline Linear, floor 0.5, range (-1e4, 1e4), weight 0.6, freezes, "current of {}";
    HUMIDITY = 105, "hw.humidity" ["hw.id", "hw.sensor_location"] "%", Gauge Sensor Headline Linear, floor 5.0, range (0.0, 100.0), weight 0.7, freezes, "humidity of {}";
    SENSOR_ALARM = 106, "hw.status" ["hw.id", "hw.sensor_location"] "1", Gauge Sensor Headline Linear, floor 0.5, range SHARE, weight 1.0, "alarm of sensor {}";
    // What a script writes: its unit and its usual size are not known here, they are learnt.
    SENSOR_VALUE = 107, "sensor.value" ["sensor.name"] "", Gauge Sensor Headline Linear, floor 0.0, range ANY, weight 1.0, freezes, "sensor {}";
    // Its source knows the limit: only a battery that is being discharged has one.
    BATTERY_CHARGE = 108, "hw.battery.charge" ["hw.id"] "1", Gauge Sensor Symptom Linear, floor 0.1, range SHARE, weight 0.3, "charge of battery {}";

    // Its unit and its usual size are the model's own; only more of it is strange.
    MODEL_SCORE = 120, "fieldmouse.model.score" ["fieldmouse.model.name", "fieldmouse.model.series"] "1", Gauge Other Headline Linear, floor 0.0, range ANY, weight 0.9, "score of model {}";

    LOG_RECORDS = 130, "log.record.count" ["log.source", "log.severity"] "{record}/s", Counter Lines Headline Log, floor 20.0, range COUNT, weight 0.8, "lines of {}";
    // What a rule of the user takes out of lines: its unit and its usual size are not known here.
    LOG_METRIC = 131, "log.metric" ["log.source", "log.metric.name"] "", Gauge Lines Headline Linear, floor 0.0, range ANY, weight 1.0, "{} in lines";
    LOG_METRIC_COUNT = 132, "log.metric.count" ["log.source", "log.metric.name"] "{record}/s", Counter Lines Headline Log, floor 0.0, range COUNT, weight 0.8, "lines that say {}";
    // How much a service has to do is others' doing.
    SPAN_COUNT = 140, "span.count" ["service.name", "span.name"] "{span}/s", Counter Service Symptom Log, floor 10.0, range COUNT, weight 0.4, "calls of {}";
    SPAN_ERROR = 141, "span.error" ["service.name", "span.name"] "{span}/s", Counter Service Headline Log, floor 1.0, range COUNT, weight 1.0, "failed calls of {}";
    SPAN_DURATION = 142, "span.duration" ["service.name", "span.name", "quantile"] "s", Gauge Service Headline Log, floor 0.1, range COUNT, weight 0.9, "duration of {}";
    // One reading a run: their source judges them by their own past, but limits of people hold.
    JOB_DURATION = 150, "cicd.pipeline.run.duration" ["cicd.pipeline.name"] "s", Gauge Job Symptom Log, floor 60.0, range COUNT, weight 0.3, "duration of the last run of {}";
    JOB_FAILED = 151, "cicd.pipeline.run.failure_ratio" ["cicd.pipeline.name"] "1", Gauge Job Symptom Linear, floor 0.3, range SHARE, weight 0.3, "share of failed runs of {}";
}

/// The row of a code; the custom row for a code that is not in the table.
#[must_use]
pub fn by_code(code: u16) -> &'static Metric {
    static CUSTOM_ROW: Metric = CUSTOM_METRIC;
    METRICS.binary_search_by_key(&code, |m| m.code).map_or(&CUSTOM_ROW, |i| &METRICS[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_sane() {
        assert!(METRICS.windows(2).all(|pair| pair[0].code < pair[1].code), "codes rise and are unique");
        for m in METRICS {
            assert!(m.floor >= 0.0 && m.weight > 0.0 && m.weight <= 1.0, "{}", m.name);
            assert!(m.range.0 < m.range.1, "{}", m.name);
            assert!(m.kind == Gauge || m.unit.ends_with("/s"), "{} is a counter: its unit is a rate", m.name);
            assert_eq!(m.words.contains("{}"), !m.attributes.is_empty(), "{}", m.name);
            assert_eq!(by_code(m.code).name, m.name);
        }
        assert_eq!(by_code(9_999).code, CUSTOM);
    }
}
