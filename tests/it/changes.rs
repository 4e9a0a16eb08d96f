//! What changes on a device, and what is deployed on it: told by the agent as it is built, with the real programs that
//! make the changes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fieldmouse_tests::broker::Mosquitto;
use fieldmouse_tests::ear::Ear;
use fieldmouse_tests::program::{Agent, Collector, fieldmouse};
use fieldmouse_tests::wait::{LIMIT, wait_for};
use fieldmouse_tests::{free_port, http};
use rustix::process::Signal;
use serde_json::Value;

fn config(broker: &Mosquitto, more: &str) -> String {
    let url = broker.url();
    let node = "[node]\nname = \"mouse-1\"\nsite = \"lab\"\n";
    format!("{node}[broker]\nurl = \"{url}\"\nretry_min = \"200ms\"\nretry_max = \"1s\"\n{more}")
}

fn run(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command
        .args(args)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|e| panic!("{program}: {e}; install: apt-get install -y {program}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", done.status);
    done.stdout
}

/// A small machine of its own, with a dpkg that thinks it is the machine's.
struct Machine(PathBuf);

impl Machine {
    fn new(dir: &Path) -> Self {
        let machine = Self(dir.join("machine"));
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"] {
            std::fs::create_dir_all(machine.0.join(folder)).unwrap();
        }
        machine.write("var/lib/dpkg/status", "");
        machine.write("etc/hosts", "127.0.0.1 localhost\n");
        machine.write("etc/systemd/system/web.service", "[Service]\n");
        machine.write("proc/sys/kernel/osrelease", "6.1.0-20-amd64\n");
        machine.write("proc/sys/kernel/random/boot_id", "11\n");
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn install(&self, version: &str) {
        let tree = self.0.with_file_name(format!("tree-{version}"));
        std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: mouse\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a test\n"
        );
        std::fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let deb = self.0.with_file_name(format!("mouse-{version}.deb"));
        let (tree, deb) = (tree.to_str().unwrap(), deb.to_str().unwrap());
        run("dpkg-deb", &["--build", "--root-owner-group", tree, deb], b"");
        self.dpkg(&["--install", deb]);
    }

    fn dpkg(&self, words: &[&str]) {
        let root = format!("--root={}", self.0.display());
        let log = format!("--log={}", self.0.join("var/log/dpkg.log").display());
        let mut args = vec![root.as_str(), log.as_str(), "--force-not-root", "--force-script-chrootless"];
        args.extend(words);
        run("dpkg", &args, b"");
    }

    fn agent(&self, dir: &Path, config: &str) -> Agent {
        Agent::with(dir, config, |command| {
            command
                .env("FIELDMOUSE__AGENT__ROOT", &self.0)
                .env("FIELDMOUSE__AGENT__TICK", "100ms")
                .env("FIELDMOUSE__AGENT__DEADLINE", "90ms")
        })
    }
}

fn says(kind: &'static str, text: &str) -> impl Fn(&Value) -> bool {
    let text = text.to_owned();
    move |e| {
        e["kind"] == "fact"
            && e["body"]["kind"] == kind
            && e["body"]["text"].as_str().is_some_and(|t| t.contains(&text))
    }
}

#[test]
fn changes_of_a_device_are_told_also_those_that_nobody_saw() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let ear = Ear::at(broker.side_port, "ear", "fieldmouse/1/lab/mouse-1/event");
    let machine = Machine::new(dir.path());
    let quick = ["package", "watch", "change"].map(|s| format!("[source.{s}]\nevery = \"200ms\"\n")).concat();
    let config = config(&broker, &quick);
    let agent = machine.agent(dir.path(), &config);
    // Where it begins is no news; it is kept first.
    let kept = |name: &str| dir.path().join("state/sources").join(name).exists();
    wait_for(LIMIT, "what there was at the start", || {
        ["packages.dpkg", "files", "machine"].iter().all(|n| kept(n)).then_some(())
    });
    machine.install("1.0-1");
    let (_, told) = ear.wait(LIMIT, "event", "the package", says("package", "package mouse 1.0-1 installed"));
    assert_eq!(
        (&told["body"]["detail"]["about"], &told["body"]["detail"]["count"]),
        (&"mouse".into(), &1.into()),
        "{told}"
    );
    machine.install("1.0-2");
    ear.wait(LIMIT, "event", "the upgrade", says("package", "package mouse upgraded from 1.0-1 to 1.0-2"));
    machine.write("etc/hosts", "127.0.0.1 localhost\n10.0.0.7 press\n");
    ear.wait(LIMIT, "event", "the file", says("file-changed", "/etc/hosts changed: 20 to 35 bytes, sha256 "));
    machine.write("etc/systemd/system/web.service", "[Service]\nMemoryMax=1G\n");
    ear.wait(LIMIT, "event", "the unit", says("unit-changed", "unit web.service changed: 10 to 23 bytes"));

    // Killed, then the machine is upgraded and started again.
    agent.run.signal(Signal::KILL);
    drop(agent);
    machine.dpkg(&["--remove", "mouse"]);
    machine.write("proc/sys/kernel/osrelease", "6.1.0-21-amd64\n");
    machine.write("proc/sys/kernel/random/boot_id", "12\n");
    let _agent = machine.agent(dir.path(), &config);
    ear.wait(LIMIT, "event", "the removal", says("package", "package mouse 1.0-2 removed"));
    ear.wait(LIMIT, "event", "the reboot", says("boot", "the machine was started again"));
    ear.wait(LIMIT, "event", "the kernel", says("kernel", "kernel 6.1.0-21-amd64, no longer 6.1.0-20-amd64"));
}

#[test]
fn a_job_of_the_command_line_is_told_and_compared_with_those_before() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let ear = Ear::at(broker.side_port, "ear", "fieldmouse/1/lab/mouse-1/event");
    let limit = "[[series]]\nmatch = \"cicd.pipeline.run.duration{*}\"\nlimit = { above = 600 }\n";
    let mut agent = Agent::start(dir.path(), &config(&broker, limit));
    let event = |words: &[&str]| {
        let ran = fieldmouse(dir.path(), &[&["event"], words, &["--socket", "agent.sock"]].concat());
        (ran.code, ran.out + &ran.err)
    };
    let job = |id: &str, status: &str, duration: &str| {
        let words = ["job", "--name", "backup", "--status", status, "--duration", duration, "--id", id];
        assert_eq!(event(&words).0, 0);
    };
    for id in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        job(id, "succeeded", "100");
    }
    ear.wait(LIMIT, "event", "a run", says("job", "job backup succeeded after 100 s"));
    job("9", "ok", "12m");
    let slow = "job backup took 12 min; 87 s to 115 s were expected";
    let (_, told) = ear.wait(LIMIT, "event", "the slow one", says("job-slow", slow));
    assert_eq!(told["body"]["detail"]["about"], "backup", "{told}");
    ear.wait(LIMIT, "event", "the limit that was set", |e| {
        e["kind"] == "episode" && e["body"]["shape"] == "limit"
    });
    agent.until("its series", |s| {
        s["sources"].as_array().is_some_and(|all| all.iter().any(|s| s["name"] == "job" && s["series"] == 2))
    });
    assert_eq!(
        event(&["deployment", "--name", "shop", "--status", "failed", "--environment", "production"]).0,
        0
    );
    ear.wait(LIMIT, "event", "the deployment", says("deployment", "deployment of shop to production failed"));
    for (words, want) in [
        (&["job", "--name", "x"][..], "--status is missing"),
        (
            &["job", "--name", "x", "--status", "odd"],
            "`odd` is no status; allowed are running, succeeded, failed",
        ),
        (&["job", "--name", " ", "--status", "ok"], "--name is empty"),
        (&["job", "--name", "x", "--status", "ok", "--duration", "long"], "--duration: `long` is no span"),
        (&["job"], "--text is missing"),
    ] {
        let (code, said) = event(words);
        assert!(code == 2 && said.contains(want), "{words:?}: {code}, {said}");
    }
}

/// A webhook, as its sender sees it.
struct Hook {
    port: u16,
    secret: &'static str,
}

impl Hook {
    /// Posts a payload with these headers, and returns the status of the answer.
    fn post(&self, path: &str, headers: &str, body: &str) -> u16 {
        // What is refused before its body was read may end in a reset that takes the answer along.
        wait_for(LIMIT, "an answer of the webhook", || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            let length = body.len();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: mouse\r\nConnection: close\r\nContent-Length: {length}\r\n"
            );
            let _sent = write!(stream, "{head}Content-Type: application/json\r\n{headers}\r\n{body}");
            let mut answer = String::new();
            let _end = stream.read_to_string(&mut answer);
            answer.split(' ').nth(1)?.parse().ok()
        })
    }

    /// The signature of a body, by another implementation than ours.
    fn signature(&self, body: &str) -> String {
        let said = run("openssl", &["dgst", "-sha256", "-hmac", self.secret], body.as_bytes());
        let said = String::from_utf8(said).unwrap();
        said.trim().rsplit(' ').next().unwrap().to_owned()
    }
}

const GITHUB: &str = r#"{"action":"completed","workflow_run":{"id":7,"name":"CI","head_branch":"main","head_sha":"1a2b3c4d5e",
"run_attempt":1,"conclusion":"failure","run_started_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:01:40Z"},
"repository":{"full_name":"shop/web"}}"#;
const GITLAB: &str = r#"{"object_kind":"deployment","status":"success","deployment_id":15,"environment":"staging","ref":"main",
"short_sha":"279484c0","project":{"path_with_namespace":"shop/api"}}"#;
const FORGEJO: &str = r#"{"action":"success","run":{"id":8,"workflow_id":"build.yml","prettyref":"main","commit_sha":"28e1879d02",
"duration":60000000000,"repository":{"full_name":"shop/app"}}}"#;
const JENKINS: &str = r#"{"name":"nightly","build":{"number":18,"phase":"COMPLETED","status":"UNSTABLE","duration":5432,
"scm":{"branch":"origin/master","commit":"c6d86dc654"}}}"#;

#[test]
fn what_systems_post_arrives_once_and_what_is_not_signed_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain(dir.path());
    let collector = Collector::start(dir.path(), &broker.url());
    let hook = Hook { port: free_port(), secret: "a-secret-of-this-test" };
    std::fs::write(dir.path().join("secret"), format!("{}\n", hook.secret)).unwrap();
    let table = format!("[source.webhook]\nlisten = \"127.0.0.1:{}\"\nsecret_file = \"secret\"\n", hook.port);
    let mut agent = Agent::start(dir.path(), &config(&broker, &table));
    let (right, wrong) = (hook.signature(GITHUB), hook.signature(GITLAB));
    let github = |signature: &str| {
        let headers = format!("X-GitHub-Event: workflow_run\r\nX-Hub-Signature-256: sha256={signature}\r\n");
        hook.post("/webhook", &headers, GITHUB)
    };
    assert_eq!((github(&wrong), github("00"), hook.post("/webhook", "", JENKINS)), (401, 401, 401));
    assert_eq!(hook.post("/webhook?token=a-secret-of-this-test", "", JENKINS), 400);
    assert_eq!(hook.post("/other", "", JENKINS), 404);
    assert_eq!((github(&right), github(&right)), (202, 202), "delivered twice");
    let token = format!("X-Gitlab-Event: Deployment Hook\r\nX-Gitlab-Token: {}\r\n", hook.secret);
    assert_eq!(hook.post("/webhook", &token, GITLAB), 202);
    let signed = format!(
        "X-Forgejo-Event: action_run_success\r\nX-Gitea-Event: action_run_success\r\nX-GitHub-Event: action_run_success\r\n\
         X-Forgejo-Signature: {}\r\n",
        hook.signature(FORGEJO)
    );
    assert_eq!(hook.post("/webhook", &signed, FORGEJO), 202);
    let bearer = format!("Authorization: Bearer {}\r\n", hook.secret);
    assert_eq!(hook.post("/webhook", &bearer, JENKINS), 202);
    assert_eq!(hook.post("/webhook", &bearer, r#"{"job":"backup","status":"maybe"}"#), 400);
    let large = format!(r#"{{"job":"{}","status":"ok"}}"#, "x".repeat(1 << 20));
    assert_eq!(hook.post("/webhook", &bearer, &large), 413);

    let wanted = [
        "job shop/web CI failed after 100 s: main 1a2b3c4d (github)",
        "deployment of shop/api to staging succeeded: main 279484c0 (gitlab)",
        "job shop/app build.yml succeeded after 60 s: main 28e1879d (gitea)",
        "job nightly failed after 5.4 s: master c6d86dc6 (jenkins)",
    ];
    let texts = || {
        let facts = http::get(&collector.http, "/api/v1/facts").ok()?;
        let all = facts["facts"].as_array()?.iter().filter_map(|f| Some(f["text"].as_str()?.to_owned()));
        let all: Vec<String> = all.collect();
        wanted.iter().all(|want| all.iter().any(|text| text == want)).then_some(all)
    };
    wait_for(LIMIT, "every run at the collector", texts);
    agent.until("all of it acknowledged", |s| s["outbox"]["waiting"] == 0);
    let all = texts().unwrap();
    assert_eq!(all.iter().filter(|text| text.starts_with("job shop/web")).count(), 1, "{all:?}");
}
