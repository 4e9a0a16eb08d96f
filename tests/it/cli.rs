//! Every command that needs no running agent.

use std::path::Path;

use fieldmouse_tests::program::{Collector, Ran, collector, fieldmouse};
use fieldmouse_tests::repository;
use serde_json::Value;

fn config(dir: &Path) {
    let text = format!(
        "[agent]\nroot = \"{}\"\n[broker]\nurl = \"mqtt://broker:1883\"\n",
        repository().join("tests/machines/server").display()
    );
    std::fs::write(dir.join("c.toml"), text).unwrap();
}

#[test]
fn exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    std::fs::write(dir.path().join("bad.toml"), "[agnet]\n").unwrap();
    let check = |words: &str, code: i32, said: &str| {
        let args: Vec<&str> = words.split(' ').filter(|w| !w.is_empty()).collect();
        let Ran { code: found, out, err } = fieldmouse(dir.path(), &args);
        assert_eq!(found, code, "`{words}`: {err}");
        let heard = if code == 0 { &out } else { &err };
        assert!(heard.contains(said), "`{words}` said:\n{heard}");
        assert!(code == 0 || out.is_empty(), "`{words}` failed and printed:\n{out}");
    };
    check("help", 0, "usage: fieldmouse");
    check("--help", 0, "usage: fieldmouse");
    check("--version", 0, "fieldmouse 0.");
    check("check -c c.toml", 0, "[broker]");
    check("drill list", 0, "sensor-freeze");
    check("model show -c c.toml", 0, "forecast/1");
    check("model check -c c.toml", 0, "keeps the contract");

    check("status --socket none.sock", 1, "none.sock: no agent answers; is `fieldmouse run` running");
    check("event note --text x --socket none.sock", 1, "no agent answers");
    check("decode c.toml", 1, "c.toml: not a message of Fieldmouse (not_ours)");
    check("decode none.bin", 1, "none.bin");
    check("replay none.csv -c c.toml", 1, "none.csv: cannot be read");

    check("logs none.log --templates t.csv -c c.toml", 1, "none.log: cannot be read");
    check("logs c.toml --templates none/t.csv -c c.toml", 1, "none/t.csv: cannot be written");

    check("", 2, "no command");
    check("logs c.toml -c c.toml", 2, "--templates OUT.csv is missing");
    check("fly", 2, "`fly` is no command");
    check("run twice", 2, "`run twice` is no command");
    check("check --fast", 2, "--fast");
    check("event note -c c.toml", 2, "--text is missing");
    check("event note --text x --severity loud -c c.toml", 2, "allowed are info, warning, error");
    check("record x.csv --for ever -c c.toml", 2, "--for: `ever` is no span of time");

    check("check -c bad.toml", 78, "bad.toml: line 1: agnet: unknown field `agnet`");
    check("run -c bad.toml", 78, "bad.toml: line 1");
    check("check -c none.toml", 78, "none.toml: cannot be read");
    check("model check c.toml -c c.toml", 78, "c.toml");
}

#[test]
fn once_shows_readings_with_their_quality() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    let ran = fieldmouse(dir.path(), &["once", "--json", "-c", "c.toml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let find = |series: &str| {
        let found = lines.iter().find(|l| l["series"] == series);
        found.unwrap_or_else(|| panic!("no {series} in\n{}", ran.out))
    };
    let used = find("system.memory.utilization");
    assert_eq!((used["unit"].as_str(), used["quality"].as_str()), (Some("1"), Some("good")));
    assert!((0.0..=1.0).contains(&used["value"].as_f64().unwrap()));
    // The captured machine stands still, so there is no share of time to tell; but the series is there.
    assert_eq!(find("system.cpu.utilization")["unit"], "1");
}

#[test]
fn decode_prints_one_object_per_item() {
    let dir = tempfile::tempdir().unwrap();
    let message = super::wire::two_items();
    std::fs::write(dir.path().join("m.bin"), message).unwrap();
    let ran = fieldmouse(dir.path(), &["decode", "m.bin"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let items: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let [first, second] = items.as_slice() else { panic!("{}", ran.out) };
    assert_eq!(
        (&first["node"], &first["seq"], &first["kind"]),
        (&"press-4".into(), &41.into(), &"fact".into())
    );
    assert_eq!(first["body"]["text"], "web 2.4.1 is out");
    assert_eq!((&second["kind"], &second["body"]["reason"]), (&"loss".into(), &"outbox full".into()));
}

#[test]
fn logs_tell_the_template_of_every_line_in_order() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    let config = std::fs::read_to_string(dir.path().join("c.toml")).unwrap();
    std::fs::write(dir.path().join("c.toml"), config + "[logs]\nmask = [\"ward *\"]\n").unwrap();
    let users = ["anna", "bert", "carl", "dora"];
    let mut lines: Vec<u8> = users
        .iter()
        .flat_map(|u| format!("login of {u} from 10.0.0.9 to ward north\n").into_bytes())
        .collect();
    lines.extend(b"\n\xff\xfe\x00 is binary\r\ndisk \"sda\", is full: password=hunter\n");
    lines.extend(vec![b'x'; 1 << 20]);
    std::fs::write(dir.path().join("x.log"), lines).unwrap();
    let run = || {
        let ran = fieldmouse(dir.path(), &["logs", "x.log", "--templates", "t.csv", "-c", "c.toml"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.starts_with("8 lines, 5 templates, "), "{}", ran.err);
        std::fs::read_to_string(dir.path().join("t.csv")).unwrap()
    };
    let csv = run();
    assert_eq!(csv, run(), "the same file gives the same ids");
    let mut rows = csv.lines();
    assert_eq!(rows.next(), Some("line,template_id,template"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.splitn(3, ',').collect()).collect();
    let texts: Vec<&str> = rows.iter().map(|row| row[2]).collect();
    let login = "login of <*> from <*> to ward <*>";
    let full = r#""disk ""sda"", is full: password=<*>""#;
    assert_eq!(texts, [login, login, login, login, "", "<*> is binary", full, "<*>"]);
    assert!(rows.iter().enumerate().all(|(at, row)| row[0] == (at + 1).to_string() && row[1].len() == 8));
    assert!(rows[..4].iter().all(|row| row[1] == rows[0][1]) && rows[5][1] != rows[0][1]);
}

/// A recording: a rhythm with noise, a leap in one series at row 700, a gap, and a counter.
fn recording(rows: usize) -> String {
    let mut csv =
        String::from("timestamp,tank.level,system.cpu.utilization,system.linux.cpu.context_switches\n");
    let (mut random, mut count) = (7u32, 0u32);
    for row in 0..rows {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(random >> 16) / 65_536.0;
        let leap = if row >= 700 { 40.0 } else { 0.0 };
        let level = 20.0 + (row as f64 / 30.0).sin() + noise + leap;
        let cpu = if row % 97 == 5 { String::new() } else { format!("{:.4}", 0.1 + 0.1 * noise) };
        count += 1000 + (random >> 24);
        csv += &format!("{},{level:.4},{cpu},{count}\n", 1_700_000_000 + row);
    }
    csv
}

/// Replays and returns scores and events.
fn replay(dir: &Path, csv: &str) -> (String, String) {
    std::fs::write(dir.join("in.csv"), csv).unwrap();
    let args =
        ["replay", "in.csv", "--scores", "s.csv", "--events", "e.jsonl", "--seed", "1", "-c", "c.toml"];
    let ran = fieldmouse(dir, &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    (read("s.csv"), read("e.jsonl"))
}

#[test]
fn replay_is_repeatable_causal_and_complete() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    let csv = recording(1000);
    let (scores, events) = replay(dir.path(), &csv);
    assert!((scores.clone(), events.clone()) == replay(dir.path(), &csv), "the same input gives other bytes");

    let mut rows = scores.lines();
    let header = rows.next().unwrap();
    assert_eq!(header, csv.lines().next().unwrap().replacen("timestamp", "timestamp,score", 1));
    let rows: Vec<Vec<&str>> = rows.map(|r| r.split(',').collect()).collect();
    assert_eq!(rows.len(), 1000);
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row[0], (1_700_000_000 + i).to_string(), "in order");
        assert_eq!(row.len(), 5);
        for score in &row[1..] {
            assert!((0.0..=1.0).contains(&score.parse::<f64>().unwrap()), "row {i}: {score}");
        }
    }
    let score = |i: usize| rows[i][1].parse::<f64>().unwrap();
    assert!((700..730).any(|i| score(i) >= 0.5), "the leap is seen");
    assert!((500..700).all(|i| score(i) < 0.5), "and nothing before it");
    let opened: Vec<Value> = events.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let episode = opened.iter().find(|e| e["kind"] == "episode").expect("an episode");
    assert_eq!(episode["body"]["contributors"][0]["series"], "tank.level");

    // Nothing that comes later changes what was said.
    let head: Vec<&str> = csv.lines().take(601).collect();
    let (part, _) = replay(dir.path(), &(head.join("\n") + "\n"));
    assert!(scores.starts_with(&part), "scores of the first rows depend on later ones");
    assert_eq!(part.lines().count(), 601);
}

#[test]
fn columns_of_one_name_are_columns_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    // The second name is cut to 64 bytes on the way, and so is the third.
    let long = "x".repeat(70);
    let mut csv = format!("timestamp,{long}a,{long}b\n");
    for row in 0..400 {
        let leap = if row >= 350 { 1000 } else { 0 };
        csv += &format!("{row},{},{}\n", row % 7, row % 5 + leap);
    }
    let (scores, _) = replay(dir.path(), &csv);
    let seen = |column: usize| {
        let rows = scores.lines().skip(351);
        rows.filter(|r| r.split(',').nth(column).unwrap().parse::<f64>().unwrap() >= 0.5).count()
    };
    assert_eq!(seen(2), 0, "the steady column");
    assert!(seen(3) > 0, "the column that leaps");
}

#[test]
fn replay_names_the_line_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    let check = |csv: &str, wanted: &str| {
        std::fs::write(dir.path().join("in.csv"), csv).unwrap();
        let ran = fieldmouse(dir.path(), &["replay", "in.csv", "-c", "c.toml"]);
        assert_eq!(ran.code, 1, "{csv}: {}", ran.err);
        assert!(ran.err.contains(wanted), "{csv}: {}", ran.err);
    };
    check("time,a\n1,2\n", "in.csv: line 1: the first column is `time`; it must be `timestamp`");
    check("timestamp,a\n1,2\n2,x\n", "in.csv: line 3: `x` in column `a` is no number");
    check("timestamp,a\n1,2\nsoon,3\n", "in.csv: line 3: timestamp `soon` is neither");
    check("timestamp,a\n1,2\n2,3,4\n", "line: 3");
    check("", "in.csv: ");
}

/// A folder with an outbox of ten notes that nobody took, made by an agent that was killed.
fn outbox(dir: &Path) -> std::path::PathBuf {
    let url = format!("mqtt://127.0.0.1:{}", fieldmouse_tests::free_port());
    let text = format!("[node]\nname = \"mouse-1\"\n[broker]\nurl = \"{url}\"\n");
    let mut agent = fieldmouse_tests::program::Agent::start(dir, &text);
    (0..10).for_each(|n| agent.event("note", &format!("note {n}")));
    let written =
        |s: &Value| s["outbox"]["bytes_written"].as_u64() > Some(0) && s["ticks"].as_u64() > Some(15);
    agent.until("the notes on disk", written);
    agent.run.signal(rustix::process::Signal::TERM);
    assert_eq!(agent.run.ended().code(), Some(0));
    dir.join("state/outbox")
}

#[test]
fn an_outbox_is_looked_at_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let folder = outbox(dir.path());
    config(dir.path());
    let run = |verb: &str| {
        fieldmouse(dir.path(), &["outbox", verb, "state/outbox", "-c", "c.toml", "--socket", "agent.sock"])
    };
    let whole = run("check");
    assert_eq!(whole.code, 0, "{}{}", whole.out, whole.err);
    assert!(whole.out.contains("10 records, 1 to 10"), "{}", whole.out);
    assert!(whole.out.ends_with("a start would: 10 records wait to be delivered\n"), "{}", whole.out);

    // A byte of the third record's payload is flipped.
    let segment = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    let segment = segment.filter(|p| p.extension().is_some_and(|e| e == "seg")).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|w| w == b"note 2").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let before: Vec<_> = files(&folder);
    let damaged = run("check");
    assert_eq!(damaged.code, 1, "{}", damaged.out);
    for said in [
        "damaged bytes at offset",
        "of event 3",
        "bytes, 9 records",
        // The tenth is the word of the loss.
        "10 records wait to be delivered",
        "1 events newly counted as lost",
    ] {
        assert!(damaged.out.contains(said), "{said}: {}", damaged.out);
    }
    assert!(damaged.err.contains("fieldmouse outbox repair"), "{}", damaged.err);
    assert!(before == files(&folder), "looking changes nothing");

    let repaired = run("repair");
    assert_eq!(repaired.code, 0, "{}", repaired.err);
    assert!(repaired.out.contains("1 events newly counted as lost"), "{}", repaired.out);
    let after = run("check");
    assert!(after.out.contains("records wait to be delivered"), "{}{}", after.out, after.err);
    assert!(!after.out.contains("newly counted"), "once is enough: {}", after.out);

    let none = fieldmouse(dir.path(), &["outbox", "check", "nowhere", "-c", "c.toml"]);
    assert!(none.code == 1 && none.err.contains("nowhere: No such file"), "{}", none.err);
    let none =
        fieldmouse(dir.path(), &["outbox", "repair", "nowhere", "-c", "c.toml", "--socket", "agent.sock"]);
    assert!(none.code == 1 && !dir.path().join("nowhere").exists(), "{}", none.err);
}

/// Every file with its content.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let paths = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut all: Vec<_> = paths.map(|p| (p.clone(), std::fs::read(p).unwrap())).collect();
    all.sort();
    all
}

#[test]
fn the_doctor_says_why_nothing_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let port = fieldmouse_tests::free_port();
    let text = format!(
        "[node]\nname = \"mouse-1\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\nretry_min = \"200ms\"\nretry_max = \"1s\"\n"
    );
    let doctor = |more: &str| {
        std::fs::write(
            dir.path().join("d.toml"),
            format!("[agent]\nstate_dir = \"state\"\nsocket = \"agent.sock\"\n{more}"),
        )
        .unwrap();
        let ran = fieldmouse(dir.path(), &["doctor", "--json", "-c", "d.toml"]);
        let found: Vec<Value> =
            serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err));
        assert_eq!(ran.code, i32::from(!found.is_empty()), "{}", ran.err);
        let what: Vec<String> = found.iter().map(|f| f["what"].as_str().unwrap().to_owned()).collect();
        what
    };
    let is = |found: &[String], wanted: &[&str]| assert_eq!(found, wanted);
    is(&doctor("[broker]\nurl = 7\n"), &["the configuration is wrong"]);
    let none = doctor(&text);
    is(
        &none,
        &["the state directory cannot be written", "no agent is running", "a broker cannot be reached"],
    );

    let mut agent = fieldmouse_tests::program::Agent::start(dir.path(), &text);
    agent.until("a failed attempt", |s| s["link"]["why"].as_str().is_some_and(|w| w.contains("refused")));
    let unset = |found: Vec<String>| found.into_iter().filter(|f| !f.contains("source")).collect::<Vec<_>>();
    is(&unset(doctor(&text)), &["the agent is not connected", "a broker cannot be reached"]);

    let broker = fieldmouse_tests::broker::Mosquitto::on(dir.path(), port, "allow_anonymous true");
    agent.event("note", "to nobody");
    agent.until("the link", |s| s["link"]["state"] == "up");
    is(&unset(doctor(&text)), &["the broker is there, but no collector"]);

    let _collector = Collector::start(dir.path(), &broker.url());
    agent.until("everything at the collector", |s| s["outbox"]["waiting"] == 0);
    is(&unset(doctor(&text)), &[]);
    let words = fieldmouse(dir.path(), &["doctor", "-c", "d.toml"]);
    assert!(words.code == 1 || words.out.starts_with("nothing found"), "{}", words.out);
}

/// What the collector says to these words: in one line, if it fails.
fn says(dir: &Path, words: &str, code: i32, said: &str) {
    let args: Vec<&str> = words.split(' ').collect();
    let Ran { code: found, out, err } = collector(dir, &args);
    assert_eq!(found, code, "`{words}`: {err}");
    assert!(if code == 0 { &out } else { &err }.contains(said), "`{words}` said:\n{out}{err}");
    assert!(code == 0 || err.trim_end().lines().count() == 1, "`{words}` said more than a line:\n{err}");
}

#[test]
fn the_collector_says_what_is_wrong_where_and_what_helps() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let free = || format!("127.0.0.1:{}", fieldmouse_tests::free_port());
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let config = |name: &str, http: &str, broker: &str, store: &str, more: &str| {
        let text = format!(
            "http.listen = \"{http}\"\nstore.path = \"{store}\"\n{more}\n[broker]\nembedded = true\nlisten = \"{broker}\"\n"
        );
        file(name, &text);
    };
    file("junk.db", &"no database at all ".repeat(100));
    file("t.toml", "[[entity]]\n\nname = \"Hall\"\n");
    file("e.jsonl", "nonsense\n");
    config("ok.toml", &free(), &free(), "c.db", "");
    config("folder.toml", &free(), &free(), "no/c.db", "");
    config("junk.toml", &free(), &free(), "junk.db", "");
    config("page.toml", &taken.to_string(), &free(), "c.db", "");
    config("broker.toml", &free(), &taken.to_string(), "c.db", "");
    config("topology.toml", &free(), &free(), "c.db", "topology.file = \"t.toml\"");
    config("absent.toml", &free(), &free(), "c.db", "topology.file = \"none.toml\"");
    file(
        "tls.toml",
        "store.path = \"c.db\"\n[broker]\nembedded = true\ncert_file = \"c.pem\"\nkey_file = \"k.pem\"\n",
    );
    let check = |words: &str, code: i32, said: &str| says(dir.path(), words, code, said);

    check("policies 7d", 2, "unexpected argument \"7d\"; try --help");
    check("run --config folder.toml", 1, "store no/c.db: database: cannot be opened; its folder must exist");
    check("run --config junk.toml", 1, "store junk.db: database: file is not a database; name another file");
    check("run --config page.toml", 1, &format!("http.listen {taken}: Address already in use"));
    check("run --config page.toml", 1, "another program listens there: end it, or give another port");
    check("run --config broker.toml", 1, &format!("broker.listen {taken}: Address already in use"));
    check(
        "check --config topology.toml",
        78,
        "t.toml:3: entity[0].name: `Hall` names no entity: write site/node",
    );
    check("check --config absent.toml", 78, "none.toml: topology.file: cannot read: No such file");
    check("run --config tls.toml", 1, "broker: key_file k.pem: ");
    check("replay e.jsonl --incidents o.jsonl", 1, "e.jsonl: line 1: `nonsense` is no JSON object");
    // What made a file is there now; what only reads makes none.
    std::fs::remove_file(dir.path().join("c.db")).unwrap();
    check(
        "backup b.db --config ok.toml",
        1,
        "store c.db: there is no such file; name the database as store.path",
    );
    check("restore junk.db --config ok.toml", 1, "junk.db: database: file is not a database");
    check("backup b.db --config ok.toml", 0, "0 rows");
    check("backup b.db --config ok.toml", 1, "b.db is there already, and nothing is written over");
    check("export out --config ok.toml", 0, "events.parquet 0 rows");
    check("export out --config ok.toml", 1, "out/events.parquet is there already");
    let newer = rusqlite::Connection::open(dir.path().join("c.db")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    check("run --config ok.toml", 1, "store c.db: database: schema version 99 is newer than this program's");
}

#[test]
fn only_commands_of_the_collector_that_connect_need_a_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = format!("embedded = true\nlisten = \"127.0.0.1:{}\"", fieldmouse_tests::free_port());
    let store = "[store]\npath = \"c.db\"\n";
    // Makes the database.
    drop(Collector::configured(dir.path(), "with", &format!("[broker]\n{broker}\n{store}"), |command| {
        command
    }));
    std::fs::write(dir.path().join("without.toml"), store).unwrap();
    std::fs::write(dir.path().join("new.toml"), "[store]\npath = \"new.db\"\n").unwrap();
    std::fs::write(dir.path().join("no.jsonl"), "").unwrap();
    let check = |words: &str, code: i32, said: &str| says(dir.path(), words, code, said);
    check("run --config without.toml", 78, "broker.url: is missing: say which broker (mqtt://host:1883");
    check("check --config without.toml", 78, "broker.url: is missing");
    check("policies --config without.toml", 0, "0 incidents");
    check("backup b.db --config without.toml", 0, "rows");
    check("restore b.db --config new.toml", 0, "rows");
    check("export out --config without.toml", 0, "events.parquet 0 rows");
    check("replay no.jsonl --incidents out.jsonl --config without.toml", 0, "0 events");
}

#[test]
fn every_command_is_in_the_readme() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let check = |program: &str, help: &str, at_least: usize| {
        let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
        let commands = help.lines().filter_map(|l| l.strip_prefix("  ")?.split(' ').next().filter(is_word));
        let mut known = 0;
        for command in commands {
            known += 1;
            let row = format!("| `{program} {command}");
            assert!(readme.contains(&row), "`{program} {command}` is not in the README's tables");
        }
        assert!(known >= at_least, "{known} commands in\n{help}");
    };
    let dir = tempfile::tempdir().unwrap();
    check("fieldmouse", &fieldmouse(dir.path(), &["help"]).out, 11);
    check("fieldmouse-collector", &collector(dir.path(), &["--help"]).out, 8);
}
