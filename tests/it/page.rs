//! The page as people see it: a real collector, told of a failure, and a real browser before it.

use std::path::Path;
use std::process::Command;

use fantoccini::key::Key;
use fieldmouse_collector::replay::line;
use fieldmouse_core::wire::Kind;
use fieldmouse_tests::browser::Browser;
use fieldmouse_tests::ear::Ear;
use fieldmouse_tests::fleet::{MONDAY, history};
use fieldmouse_tests::program::{Running, collector_binary};
use fieldmouse_tests::wait::{LIMIT, wait_for};
use fieldmouse_tests::{free_port, http};
use serde_json::Value;

const HISTORY: &str = "
    00:00 hall/gateway is role=gateway
    00:00 hall/press-1 is role=sensor,gateway=gateway
    00:00 hall/press-2 is role=sensor,gateway=gateway
    00:00 hall/press-3 is role=sensor,gateway=gateway
    00:00 hall/nas is role=host >shop shop>db
    00:01 hall/gateway online
    00:01 hall/press-1 online
    00:01 hall/press-2 online
    00:01 hall/press-3 online
    00:30 hall/gateway lost
    00:40 hall/press-1 lost
    00:50 hall/press-2 lost
    00:55 hall/press-3 lost
    02:00 hall/nas moved system.cpu.utilization 60
";
/// What the history goes back.
const AGO_MS: u64 = 10 * 60_000;
/// A desk, and a telephone.
const WIDTHS: [u32; 2] = [1280, 390];

struct Site {
    _collector: Running,
    at: String,
}

/// A collector that was told the history by its own broker.
fn told(dir: &Path) -> Site {
    let (broker, page) = (free_port(), free_port());
    let config = format!(
        "[broker]\nembedded = true\nlisten = \"127.0.0.1:{broker}\"\n[http]\nlisten = \"127.0.0.1:{page}\"\n\
         [store]\npath = \"{}\"\n",
        dir.join("collector.db").display()
    );
    std::fs::write(dir.join("collector.toml"), config).unwrap();
    let mut command = Command::new(collector_binary());
    command.args(["run", "--config"]).arg(dir.join("collector.toml"));
    let collector = Running::start("fieldmouse-collector", command);
    let at = format!("127.0.0.1:{page}");
    let get = |path: &str| http::get(&at, path).ok();
    wait_for(LIMIT, "the collector", || get("/api/v1/status").filter(|s| s["connected"] == true));
    let ear = Ear::at(broker, "history", "fieldmouse/nothing");
    let now = fieldmouse::clock::wall_s() * 1000;
    for text in history::lines(HISTORY) {
        let mut told: Value = serde_json::from_str(&text).unwrap();
        for key in ["wall_ms", "received_ms"] {
            told[key] = (told[key].as_u64().unwrap() - MONDAY + now - AGO_MS).into();
        }
        let line = line::read(&told.to_string()).unwrap();
        let leaf = match Kind::of(line.kind) {
            Some(Kind::Birth) => "birth",
            Some(Kind::Status) => "status",
            _ => "event",
        };
        ear.publish(&format!("fieldmouse/1/hall/{}/{leaf}", line.node), &line.payload);
    }
    wait_for(LIMIT, "the incidents", || {
        let found = get("/api/v1/incidents")?;
        (found["incidents"].as_array()?.len() >= 2).then_some(())
    });
    Site { _collector: collector, at }
}

/// What is wrong with what is shown now, of what a machine can see.
fn faults(browser: &Browser) -> Vec<String> {
    let script = r#"(() => {
        const wrong = [];
        const root = document.documentElement;
        if (root.scrollWidth > root.clientWidth) wrong.push(`is ${root.scrollWidth} wide in a window of ${root.clientWidth}`);
        if (document.querySelectorAll("h1").length !== 1) wrong.push(`has ${document.querySelectorAll("h1").length} headings`);
        for (const e of document.querySelectorAll("a, button, input, select, textarea, summary")) {
            const label = e.labels?.[0]?.textContent ?? "";
            if (!(e.textContent + label + (e.getAttribute("aria-label") ?? "")).trim()) wrong.push(`nameless: ${e.outerHTML.slice(0, 120)}`);
        }
        for (const word of ["undefined", "NaN", "[object", "null"])
            if (document.body.innerText.includes(word)) wrong.push(`says ${word}`);
        return wrong;
    })()"#;
    let found = browser.ask(script);
    found.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_view_is_whole_at_a_desk_and_on_a_telephone() {
    let dir = tempfile::tempdir().unwrap();
    let site = told(dir.path());
    let listed = http::get(&site.at, "/api/v1/incidents").unwrap();
    let id = listed["incidents"][0]["id"].as_str().unwrap().to_owned();
    let browser = Browser::start();
    let check = |hash: &str, words: &str| {
        for width in WIDTHS {
            browser.width(width);
            browser.go(&format!("http://{}/{hash}", site.at));
            browser.sees(words);
            if let Some(to) = std::env::var_os("PAGE_PICTURES") {
                let name = format!("{width}{}.png", hash.replace(['#', '/'], "-"));
                browser.picture(&Path::new(&to).join(name));
            }
            let wrong = faults(&browser);
            assert!(wrong.is_empty(), "{hash} at {width} px: {wrong:#?}");
        }
    };
    check("", "a look.");
    check("#/incidents", "the most urgent first");
    check(&format!("#/incident/{id}"), "Likely causes");
    check("#/device/hall/nas", "nas");
    check("#/topology", "gateway");
    check("#/services", "hall");
    check("#/people", "What comes together");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn from_the_overview_to_the_cause_by_mouse_or_keyboard() {
    let dir = tempfile::tempdir().unwrap();
    let site = told(dir.path());
    let browser = Browser::start();
    browser.go(&format!("http://{}/", site.at));
    browser.sees("Open now");
    browser.click(".episodes a.card");
    browser.sees("Likely causes");
    browser.sees("hall/gateway");
    // Without a mouse: on to the next link, and back by it.
    browser.go(&format!("http://{}/#/incidents", site.at));
    browser.sees("the most urgent first");
    assert_eq!(browser.ask("document.querySelector('.episodes a').focus()"), Value::Null);
    browser.press(Key::Enter);
    browser.sees("Likely causes");
}

/// What the first answer of this list says of itself.
fn first(site: &Site, path: &str, list: &str) -> Value {
    http::get(&site.at, path).unwrap()[list][0].clone()
}

#[test]
fn people_say_what_they_think_by_mouse_or_keyboard() {
    let dir = tempfile::tempdir().unwrap();
    let site = told(dir.path());
    let listed = http::get(&site.at, "/api/v1/incidents?state=open").unwrap();
    let id = listed["incidents"][0]["id"].as_str().unwrap().to_owned();
    let browser = Browser::start();
    browser.width(390);
    browser.go(&format!("http://{}/#/incident/{id}", site.at));
    browser.sees("What do you think of it?");
    // Who says nothing of himself is asked.
    browser.click("#verdict-real");
    browser.sees("Say who you are first.");
    let write = |field: &str, text: &str| {
        assert_eq!(browser.ask(&format!("document.getElementById('{field}').focus()")), Value::Null);
        text.chars().for_each(|c| browser.type_in(c));
    };
    write("by", "ana");
    write("note", "somebody tripped over the cable");
    // What is typed stays although the page is drawn anew.
    assert_eq!(browser.ask("document.querySelector('#verdict-real').focus()"), Value::Null);
    browser.press(Key::Enter);
    browser.sees("1 of 1 like it was real");
    let verdict = first(&site, "/api/v1/verdicts", "verdicts");
    assert_eq!(
        (verdict["by"].as_str(), verdict["word"].as_str(), verdict["note"].as_str()),
        (Some("ana"), Some("real"), Some("somebody tripped over the cable"))
    );
    assert_eq!(browser.ask("document.activeElement.id"), "verdict-real", "the keyboard stays where it was");
    browser.click("#silence");
    browser.sees("It is silent for two hours.");
    let silence = first(&site, "/api/v1/silences", "silences");
    assert_eq!((&silence["covers"][0], silence["by"].as_str()), (&Value::from(id), Some("ana")));
    // Both are listed, and taken back.
    browser.go(&format!("http://{}/#/people", site.at));
    browser.sees("covers 1 open incident");
    browser.click(&format!("#end-{}", silence["id"].as_str().unwrap()));
    browser.sees("ended by ana");
    assert!(faults(&browser).is_empty(), "{:#?}", faults(&browser));
    assert!(browser.complaints().is_empty(), "{:#?}", browser.complaints());
}
