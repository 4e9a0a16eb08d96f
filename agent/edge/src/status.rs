//! What `status` says, in words.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

/// What the budget came to.
fn realised_in_words(r: &Value) -> String {
    let observed = Duration::from_secs(r["observed_s"].as_u64().unwrap_or(0));
    let rate = r["per_period"].as_f64().map_or(String::new(), |rate| format!(", {rate:.1} per period"));
    format!("{} episodes opened in {} observed{rate}", r["opened"], humantime::format_duration(observed))
}

/// How far learning has come, and how it is kept.
fn learnt_in_words(l: &Value) -> String {
    let span = |v: &Value| v.as_u64().map(|s| humantime::format_duration(Duration::from_secs(s)).to_string());
    let mut text = format!("{} of {} series judged with confidence", l["confident"], l["series"]);
    // Writing to a string cannot fail.
    let mut add = |more: String| text.push_str(&more);
    if let Some(oldest) = span(&l["oldest_s"]) {
        add(format!(", the oldest learnt for {oldest}"));
    }
    if l["restored"].as_u64() > Some(0) {
        let age = span(&l["restored_age_s"]).map_or("of unknown age".into(), |age| format!("{age} old then"));
        add(format!("; {} came back at the start, {age}", l["restored"]));
    }
    let (damaged, foreign) = (&l["refused"]["damaged_bytes"], &l["refused"]["foreign"]);
    if damaged.as_u64() > Some(0) {
        add(format!("; {damaged} bytes were damaged"));
    }
    if foreign.as_u64() > Some(0) {
        add(format!("; {foreign} records of another version are learnt anew"));
    }
    match (l["trouble"].as_str(), span(&l["saved_s_ago"])) {
        (Some(trouble), _) => add(format!("; NOT KEPT: {trouble}")),
        (None, Some(ago)) => add(format!("; kept {ago} ago")),
        (None, None) => {}
    }
    text
}

/// How a log is read.
fn lines_in_words(file: &Value) -> String {
    let path = file["path"].as_str().unwrap_or("");
    if let Some(why) = file["why"].as_str() {
        return format!("{path}: NOT READ: {why}");
    }
    let lost = file["lost_bytes"].as_u64().filter(|lost| *lost > 0);
    let lost = lost.map_or(String::new(), |lost| format!(", {lost} bytes gone before they were read"));
    format!("{path}: {} read, {} bytes to go{lost}", file["lines"], file["behind_bytes"])
}

/// The status of an agent for people.
#[must_use]
pub fn in_words(s: &Value) -> String {
    let mut text = String::new();
    let text_of = |v: &Value| v.as_str().map_or_else(|| v.to_string(), ToOwned::to_owned);
    let mut line = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ok = writeln!(text, "{key:<9} {value}");
    };
    line(
        "node",
        format!("{} at {}, version {}", text_of(&s["node"]), text_of(&s["site"]), text_of(&s["version"])),
    );
    line("up", format!("{} s, {} ticks, {} late", s["uptime_s"], s["ticks"], s["late"]));
    let link = &s["link"];
    let why = link["why"].as_str().filter(|w| !w.is_empty()).map_or(String::new(), |w| format!(": {w}"));
    line(
        "link",
        format!(
            "{}{why}, {} to {}",
            text_of(&link["state"]),
            text_of(&link["for"]),
            text_of(&link["broker"])
        ),
    );
    let o = &s["outbox"];
    let memory = if o["memory_only"] == true { ", IN MEMORY ONLY" } else { "" };
    let worn = if o["flash_worn"] == true { ", OVER ITS BUDGET" } else { "" };
    line(
        "outbox",
        format!(
            "{} waiting, {} bytes, {} acknowledged of {}, {} lost, {} bytes of flash written in 24 h{worn}{memory}",
            o["waiting"], o["bytes"], o["acked"], o["seq"], o["lost"], o["flash_bytes_day"]
        ),
    );
    let m = &s["model"];
    line(
        "model",
        if m.is_null() {
            let why = s["model_why_off"].as_str().map_or(String::new(), |why| format!(" ({why})"));
            format!("off{why}; the robust scorer judges alone")
        } else {
            format!("{} ({})", text_of(&m["name"]), text_of(&m["id"]))
        },
    );
    for own in s["models"].as_array().into_iter().flatten() {
        let how = match own["why_off"].as_str() {
            Some(why) => format!("OFF ({why}); the robust scorer judges alone"),
            None => format!(
                "{}, reads {} series ({})",
                text_of(&own["contract"]),
                own["series"],
                text_of(&own["id"])
            ),
        };
        line("model", format!("{}: {how}", text_of(&own["name"])));
    }
    let c = &s["capsules"];
    if c["enabled"] == true {
        let trouble = c["trouble"].as_str().map_or(String::new(), |t| format!(", {t}"));
        line(
            "capsules",
            format!(
                "{} kept, {} bytes, {} not kept; {} bytes sent in 24 h{trouble}",
                c["count"], c["bytes"], c["skipped"], c["sent_bytes_day"]
            ),
        );
    }
    line(
        "budget",
        format!(
            "{}; {}; {} habits kept quiet",
            text_of(&s["false_alarms"]),
            realised_in_words(&s["realised"]),
            s["muted"]
        ),
    );
    let m = &s["maintenance"];
    for name in m["now"].as_array().into_iter().flatten() {
        line("in work", format!("{}: nothing alerts, nothing is learnt", text_of(name)));
    }
    if m["clock_unset"] == true {
        line("calendar", "not followed: the clock was never set".into());
    }
    for d in s["decisions"].as_array().into_iter().flatten() {
        line("decision", format!("{} matches {} series", text_of(&d["match"]), d["series"]));
    }
    line("learnt", learnt_in_words(&s["learnt"]));
    let c = &s["cost"];
    line("cost", format!("{} us of processor a second, {} KiB resident", c["cpu_us"], c["rss_kib"]));
    let users = |part: &str, shown: &dyn Fn(f64) -> String| {
        let all = s["top"][part].as_array().into_iter().flatten();
        let each =
            all.map(|u| format!("{} {}", text_of(&u["name"]), shown(u["amount"].as_f64().unwrap_or(0.0))));
        each.collect::<Vec<_>>().join(", ")
    };
    line("top cpu", users("cpu", &|cores| format!("{cores:.2}")));
    line("memory", users("memory", &|bytes| format!("{:.0} MB", bytes / 1e6)));
    for source in s["sources"].as_array().into_iter().flatten() {
        line(
            "source",
            format!(
                "{:<11} {:>4} series, {}",
                text_of(&source["name"]),
                source["series"],
                text_of(&source["health"])
            ),
        );
        for file in source["about"]["files"].as_array().into_iter().flatten() {
            line("lines", lines_in_words(file));
        }
    }
    for forecast in s["forecasts"].as_array().into_iter().flatten() {
        line("forecast", text_of(&forecast["sentence"]));
    }
    let open = s["episodes"].as_array().map_or(&[][..], Vec::as_slice);
    for episode in open {
        line("episode", format!("{}: {}", episode["id"], text_of(&episode["sentence"])));
    }
    if open.is_empty() {
        line("episode", "none open".into());
    }
    text
}
