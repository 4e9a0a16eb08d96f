//! All sources over all captured machines.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::*;

fn machine(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/machines").join(name)
}

fn build(name: &str, root: &Path) -> Box<dyn Source> {
    let kind = KINDS.iter().find(|k| k.name == name).unwrap();
    (kind.build)(toml::Table::new(), &Place::at(root)).unwrap()
}

fn sample(source: &mut dyn Source, now: Millis, out: &mut Readings) -> Result<(), SourceError> {
    out.begin();
    source.sample(now, out)
}

/// `name{attribute=value}` and the value of every series after two samples, ten seconds apart.
fn readings(name: &str, root: &Path) -> Vec<(String, Reading)> {
    let mut source = build(name, root);
    let mut out = Readings::default();
    for now in [1_000, 11_000] {
        sample(source.as_mut(), now, &mut out).unwrap();
    }
    out.iter().map(|(key, reading)| (key.to_string(), reading)).collect()
}

fn check(readings: &[(String, Reading)], series: &str, want: Reading) {
    let found = readings.iter().find(|(key, _)| key == series);
    let (_, found) = found.unwrap_or_else(|| panic!("no {series} among {readings:#?}"));
    match (found, want) {
        (Ok(found), Ok(want)) => {
            assert!((found - want).abs() <= want.abs() * 1e-6, "{series}: {found}, not {want}")
        }
        _ => assert_eq!(*found, want, "{series}"),
    }
}

#[test]
fn every_source_takes_no_configuration_and_refuses_what_it_does_not_know() {
    for kind in KINDS {
        assert!(kind.every_ms >= 1000 && !kind.about.is_empty(), "{}", kind.name);
        (kind.build)(toml::Table::new(), &Place::at(Path::new("/nowhere")))
            .unwrap_or_else(|e| panic!("{}: {e:#}", kind.name));
        let wrong = toml::Table::from_iter([("corse".to_owned(), toml::Value::Integer(1))]);
        let Err(e) = (kind.build)(wrong, &Place::at(Path::new("/"))) else {
            panic!("{} takes anything", kind.name)
        };
        let (e, start) =
            (format!("{e:#}"), format!("in [source.{}]: unknown field `corse`, expected ", kind.name));
        assert!(e.starts_with(&start), "{e}");
    }
    let wrong = toml::Table::from_iter([("cores".to_owned(), toml::Value::String("all".into()))]);
    let Err(e) = (KINDS[0].build)(wrong, &Place::at(Path::new("/"))) else { panic!("a word is no number") };
    assert_eq!(format!("{e:#}"), "in [source.host]: `cores`: invalid type: string \"all\", expected u16");
}

#[test]
fn a_server_is_read_in_full() {
    let root = machine("server");
    let mut seen = std::collections::BTreeSet::new();
    for kind in KINDS {
        for (key, reading) in readings(kind.name, &root) {
            // Nothing moves in a captured machine: shares of processor time stay unknown.
            assert!(reading.is_ok() || key.starts_with("system.cpu.utilization"), "{key}: {reading:?}");
            assert!(seen.insert(key.clone()), "{key} comes from two sources");
        }
    }
    let host = readings("host", &root);
    let first = Err(NoData::FirstReading);
    check(&host, "system.cpu.utilization{cpu.mode=iowait}", first);
    check(&host, "system.cpu.utilization{cpu.logical_number=3}", first);
    check(&host, "system.linux.cpu.tasks{linux.task.state=running}", Ok(2.0));
    check(&host, "system.linux.pressure.stall{resource=io,kind=full}", Ok(0.0));
    check(&host, "system.memory.utilization", Ok(1.0 - 11_820_332.0 / 16_291_052.0));
    check(&host, "system.paging.utilization", Ok(0.0));
    check(&host, "system.disk.io{system.device=dm-0,disk.io.direction=read}", Ok(148_190_000.0 * 512.0));
    check(&host, "system.disk.io_time{system.device=nvme0n1}", Ok(0.0));
    check(
        &host,
        "system.network.io{network.interface.name=eno1,network.io.direction=receive}",
        Ok(882_011_840_221.0),
    );
    check(
        &host,
        "system.network.connection.count{network.transport=tcp,network.connection.state=established}",
        Ok(38.0),
    );
    check(&host, "system.linux.sockets{network.transport=tcp}", Ok(51.0));
    check(&host, "system.linux.conntrack.utilization", Ok(412.0 / 262_144.0));
    check(&host, "system.linux.file_descriptor.count", Ok(2848.0));
    check(&host, "system.uptime", Ok(912_304.11));
    for word in ["nvme0n1p", "sda1", "loop", "ram0", "sr0", "veth", "docker", "=lo"] {
        assert!(!host.iter().any(|(key, _)| key.contains(word)), "{word}");
    }
    assert!((100..=210).contains(&host.len()), "{} series", host.len());
}

#[test]
fn a_server_has_file_systems_processes_and_sensors() {
    let root = machine("server");
    let space = readings("filesystem", &root);
    let used = (61_255_492.0 - 40_221_188.0) / (61_255_492.0 - 40_221_188.0 + 37_083_012.0);
    check(&space, "system.filesystem.utilization{system.filesystem.mountpoint=/}", Ok(used));
    check(&space, "system.filesystem.utilization{system.filesystem.mountpoint=/run}", Ok(366.0 / 407_277.0));
    check(
        &space,
        "system.filesystem.usage{system.filesystem.mountpoint=/srv/backup 1,system.filesystem.state=free}",
        Ok(402_118_820.0 * 4096.0),
    );
    assert_eq!(space.len(), 15, "four file systems, one without inodes: {space:#?}");

    let processes = readings("process", &root);
    for (status, count) in
        [("total", 11), ("running", 1), ("sleeping", 7), ("blocked", 1), ("defunct", 1), ("idle", 1)]
    {
        check(&processes, &format!("system.process.count{{process.status={status}}}"), Ok(f64::from(count)));
    }
    check(&processes, "system.thread.count", Ok(21.0));

    let sensors = readings("hwmon", &root);
    check(&sensors, "hw.temperature{hw.id=coretemp.0,hw.sensor_location=Package id 0}", Ok(47.0));
    check(&sensors, "hw.status{hw.id=coretemp.0,hw.sensor_location=Core 1 crit}", Ok(0.0));
    check(&sensors, "hw.voltage{hw.id=nct6798-nct6775.656,hw.sensor_location=in0}", Ok(1.016));
    check(&sensors, "hw.fan.speed{hw.id=nct6798-nct6775.656,hw.sensor_location=CPU fan}", Ok(1188.0));
    check(&sensors, "hw.fan.speed{hw.id=nct6798-nct6775.656,hw.sensor_location=CPU fan fan2}", Ok(842.0));
    check(&sensors, "hw.power{hw.id=nct6798-nct6775.656,hw.sensor_location=power1}", Ok(12.5));
    check(&sensors, "hw.status{hw.id=nct6798-nct6775.656,hw.sensor_location=intrusion0 alarm}", Ok(1.0));
    let zones = readings("thermal", &root);
    assert_eq!(zones, [("hw.temperature{hw.id=thermal,hw.sensor_location=acpitz}".to_owned(), Ok(27.8))]);
}

#[test]
fn what_a_source_knows_of_limits_is_said() {
    let check = |name: &str, series: &str, value: f64, want: Option<Limit>| {
        let mut out = Readings::default();
        sample(build(name, &machine("server")).as_mut(), 0, &mut out).unwrap();
        let (at, found) =
            out.iter().map(|(k, r)| (k.to_string(), r)).enumerate().find(|(_, (k, _))| k == series).unwrap();
        assert_eq!(found.1, Ok(value), "{series}");
        let said = out.limits().filter(|(place, _)| *place == at).last();
        assert_eq!(said, Some((at, want)), "{series}");
    };
    let above = |celsius| Some(Limit::Above(celsius));
    check("hwmon", "hw.temperature{hw.id=coretemp.0,hw.sensor_location=Package id 0}", 47.0, above(100.0));
    check("thermal", "hw.temperature{hw.id=thermal,hw.sensor_location=acpitz}", 27.8, above(119.0));
    check("power_supply", "hw.battery.charge{hw.id=BAT0}", 0.81, Some(Limit::Below(0.0)));
    let worn = readings("flash", &machine("server"));
    super::tests::check(&worn, "hw.physical_disk.endurance_utilization{hw.id=mmcblk0}", Ok(0.1));
    super::tests::check(&worn, "hw.physical_disk.reserve_utilization{hw.id=mmcblk0}", Ok(0.0));
    assert_eq!(worn.len(), 2, "boot partitions are left out: {worn:#?}");
}

#[test]
fn a_chip_keeps_its_series_when_it_is_numbered_anew() {
    let dir = tempfile::tempdir().unwrap();
    copy(&machine("server"), dir.path(), &Mutex::default());
    let mut source = build("hwmon", dir.path());
    let mut out = Readings::default();
    sample(source.as_mut(), 0, &mut out).unwrap();
    let count = out.len();
    let temperature = |out: &Readings| {
        let found = out.iter().find(|(key, _)| key.to_string().contains("Package id 0}"));
        found.map(|(_, reading)| reading)
    };
    assert_eq!(temperature(&out), Some(Ok(47.0)));
    let class = dir.path().join("sys/class/hwmon");
    std::fs::rename(class.join("hwmon0"), class.join("hwmon7")).unwrap();
    sample(source.as_mut(), 5_000, &mut out).unwrap();
    assert_eq!(temperature(&out), Some(Err(NoData::Absent)));
    for now in [10_000, 15_000] {
        sample(source.as_mut(), now, &mut out).unwrap();
    }
    assert_eq!((temperature(&out), out.len()), (Some(Ok(47.0)), count));
}

#[test]
fn an_odd_machine_costs_the_odd_series_only() {
    let root = machine("odd");
    let bad = Err(NoData::Unparsable);
    let host = readings("host", &root);
    check(&host, "system.cpu.utilization", Err(NoData::FirstReading));
    check(&host, "system.cpu.utilization{cpu.logical_number=0}", bad);
    check(&host, "system.cpu.load_average.1m", bad);
    check(&host, "system.linux.cpu.context_switches", bad);
    check(&host, "system.memory.utilization", bad);
    check(&host, "system.disk.io{system.device=sda,disk.io.direction=read}", bad);
    check(&host, "system.disk.operations{system.device=sd_b,disk.io.direction=read}", Ok(1.0));
    check(
        &host,
        "system.network.packet.count{network.interface.name=eth0,network.io.direction=receive}",
        Ok(2.0),
    );
    check(&host, "system.network.errors{network.interface.name=eth0,network.io.direction=receive}", bad);
    check(&host, "system.network.io{network.interface.name=a_b,network.io.direction=receive}", bad);
    check(&host, "system.linux.file_descriptor.count", bad);
    let space = readings("filesystem", &root);
    check(&space, "system.filesystem.utilization{system.filesystem.mountpoint=/full}", Ok(0.5));
    assert!(!space.iter().any(|(key, _)| key.contains("nowhere")), "{space:#?}");
    check(&readings("process", &root), "system.process.count{process.status=total}", Ok(2.0));
    let sensors = readings("hwmon", &root);
    check(&sensors, "hw.temperature{hw.id=twin,hw.sensor_location=temp1}", Ok(20.0));
    check(&sensors, "hw.temperature{hw.id=twin-2,hw.sensor_location=temp1}", Ok(30.0));
    let zones = readings("thermal", &root);
    check(&zones, "hw.temperature{hw.id=thermal,hw.sensor_location=same}", bad);
    check(&zones, "hw.temperature{hw.id=thermal,hw.sensor_location=same-2}", Ok(41.0));
    check(&zones, "hw.temperature{hw.id=thermal,hw.sensor_location=no-temp}", Err(NoData::Absent));
}

#[test]
fn without_a_proc_there_is_an_error_and_without_sensors_there_is_nothing() {
    let root = Path::new("/nowhere");
    let mut out = Readings::default();
    for name in ["host", "filesystem", "process"] {
        let e = sample(build(name, root).as_mut(), 0, &mut out).unwrap_err();
        assert_eq!(e.why, NoData::Absent, "{e}");
        assert!(e.to_string().starts_with("/nowhere/proc"), "{e}");
    }
    for name in ["hwmon", "thermal", "power_supply", "flash", "certificate"] {
        assert_eq!(sample(build(name, root).as_mut(), 0, &mut out), Ok(()));
    }
    assert!(out.is_empty());
}

#[test]
fn nothing_panics_on_an_empty_huge_binary_or_missing_file() {
    let dir = tempfile::tempdir().unwrap();
    let files = Mutex::new(Vec::new());
    copy(&machine("server"), dir.path(), &files);
    let huge = "1 ".repeat(1 << 20);
    let binary: Vec<u8> = (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for file in files.into_inner().unwrap() {
        let was = std::fs::read(&file).unwrap();
        let half = &was[..was.len() / 2];
        let mut sources: Vec<_> = KINDS.iter().map(|k| (k.name, build(k.name, dir.path()))).collect();
        let mut out: Vec<_> = sources.iter().map(|_| Readings::default()).collect();
        for (i, text) in [&was, half, b"".as_slice(), huge.as_bytes(), &binary, &was].into_iter().enumerate()
        {
            std::fs::write(&file, text).unwrap();
            for ((_, source), out) in sources.iter_mut().zip(&mut out) {
                let _any = sample(source.as_mut(), 60_000 * i as u64, out);
            }
        }
        std::fs::remove_file(&file).unwrap();
        for ((name, source), out) in sources.iter_mut().zip(&mut out) {
            let _any = sample(source.as_mut(), 600_000, out);
            // A new one has nothing to remember.
            let _any = sample(build(name, dir.path()).as_mut(), 600_000, out);
        }
        std::fs::write(&file, was).unwrap();
    }
}

fn copy(from: &Path, to: &Path, files: &Mutex<Vec<PathBuf>>) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from).unwrap(), &to).unwrap();
        } else if from.is_dir() {
            copy(&from, &to, files);
        } else {
            std::fs::copy(&from, &to).unwrap();
            files.lock().unwrap().push(to);
        }
    }
}

#[test]
fn a_steady_machine_grows_no_series() {
    for root in [machine("server"), PathBuf::from("/")] {
        for kind in KINDS {
            let mut source = build(kind.name, &root);
            let mut out = Readings::default();
            let mut sizes = [0; 3];
            for (i, size) in sizes.iter_mut().enumerate() {
                sample(source.as_mut(), 100_000 * i as u64, &mut out).unwrap();
                *size = out.len();
            }
            assert_eq!(sizes, [sizes[0]; 3], "{} under {}", kind.name, root.display());
        }
    }
}

/// `cargo test --release -p fieldmouse cost_of_a_sample -- --ignored --nocapture`
#[test]
#[ignore = "a benchmark: it prints times of this machine and checks nothing"]
fn cost_of_a_sample() {
    for kind in KINDS {
        let mut source = build(kind.name, Path::new("/"));
        let mut out = Readings::default();
        let mut times: Vec<_> = (0..200)
            .map(|i| {
                let start = crate::clock::instant();
                sample(source.as_mut(), 1000 * i, &mut out).unwrap();
                crate::clock::since(start).as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("sample_{} {:.0} us ({} series)", kind.name, times[times.len() / 2], out.len());
    }
}
