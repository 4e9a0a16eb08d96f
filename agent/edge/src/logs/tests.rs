use std::collections::{HashMap, HashSet};

use fieldmouse_core::logs::line::Line;
use fieldmouse_core::logs::mask::Masker;

use super::file::Mined;
use super::miner::{Change, Limits, Miner};

/// The same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn text(&mut self, from: &str, length: usize) -> String {
        let letters: Vec<char> = from.chars().collect();
        (0..length).map(|_| letters[self.below(letters.len())]).collect()
    }
}

fn line(text: &str) -> Line {
    let mut line = Line::default();
    Masker::default().mask(text.as_bytes(), &mut line);
    line
}

/// The template of each line in the end.
fn mined(lines: &[&str]) -> Vec<String> {
    let text = lines.join("\n");
    let mined = Mined::of(&mut text.as_bytes(), Masker::default()).unwrap();
    mined.rows().map(|(_, text)| text.to_owned()).collect()
}

/// All of these lines are of these templates, in the order of the first line of each.
#[track_caller]
fn check(lines: &[&str], expected: &[&str]) {
    let mut found = mined(lines);
    let mut seen = HashSet::new();
    found.retain(|text| seen.insert(text.clone()));
    assert_eq!(found, expected);
}

#[test]
fn what_varies_often_enough_is_a_value() {
    // Two or three words in a place may be two or three statements.
    check(
        &["link eth went up now", "link eth went down now"],
        &["link eth went up now", "link eth went down now"],
    );
    let users = ["anna", "bert", "carl", "dora"].map(|u| format!("session opened for user {u}"));
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    check(&users, &["session opened for user <*>"]);
    check(&users[..3], &users[..3]);
    // The less stands around it, the more has to be seen.
    let short = ["anna", "bert", "carl", "dora", "emil"].map(|u| format!("removing {u}"));
    let short: Vec<&str> = short.iter().map(String::as_str).collect();
    check(&short, &short);
    // What the statement begins with, is what it is.
    check(
        &[
            "PubAck packet without state",
            "PubRec packet without state",
            "PubRel packet without state",
            "Ping packet without state",
        ],
        &[
            "PubAck packet without state",
            "PubRec packet without state",
            "PubRel packet without state",
            "Ping packet without state",
        ],
    );
}

#[test]
fn who_is_a_name_here_is_one_there() {
    let mut lines: Vec<String> =
        ["anna", "bert", "carl", "dora"].iter().map(|u| format!("session opened for user {u}")).collect();
    lines.extend(["password changed for anna today", "password changed for carl today"].map(String::from));
    lines.push("password changed for nobody today".into());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    check(&lines, &["session opened for user <*>", "password changed for <*> today"]);
}

#[test]
fn cases_stay_apart_and_names_behind_equals_do_not_multiply() {
    check(&["link state=up", "link state=down"], &["link state=up", "link state=down"]);
    let names = ["anna", "bert", "carl", "dora", "emil", "fred", "gina", "hugo", "ines", "jens"];
    let mut dice = Dice(5);
    let lines: Vec<String> = (0..2000)
        .map(|_| {
            let [user, host, service] = [(); 3].map(|()| names[dice.below(names.len())]);
            format!("request done user={user} host={host} service={service}")
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    check(&lines, &["request done user=<*> host=<*> service=<*>"]);
}

#[test]
fn a_value_and_a_word_in_one_place() {
    check(&["listening on port 80 now", "listening on port http now"], &["listening on port <*> now"]);
    check(&["restart", "12"], &["restart", "<*>"]);
}

#[test]
fn ids_are_made_from_text_and_outlive_a_restart() {
    let lines =
        ["anna", "bert", "carl", "dora", "emil", "fred"].map(|u| format!("session opened for user {u}"));
    let mut first = Miner::default();
    let ids: Vec<u32> = lines[..5].iter().map(|l| first.learn(&line(l)).id).collect();
    let mut second = Miner::default();
    assert_eq!(second.learn(&line(&lines[0])).id, ids[0], "the same words, the same id");

    let state = first.save();
    let mut again = Miner::restore(Limits::default(), &state).unwrap();
    let seen = again.learn(&line(&lines[5]));
    assert_eq!((seen, seen.is_new), (first.learn(&line(&lines[5])), false));
    assert_eq!(again.save(), first.save());
    // Any damage is refused or harmless.
    for at in 0..state.len() {
        let mut damaged = state.clone();
        damaged[at] ^= 0x55;
        if let Ok(mut miner) = Miner::restore(Limits::default(), &damaged) {
            miner.learn(&line("session opened for user zoe by hand"));
            miner.settle_all();
        }
        drop(Miner::restore(Limits::default(), &state[..at]));
    }
}

#[test]
fn memory_is_bounded_and_what_is_usual_stays() {
    let limits = Limits { templates: 100, bytes: 32 << 10 };
    let mut miner = Miner::new(limits);
    let mut dice = Dice(7);
    let usual = line("connection accepted from 10.0.0.1");
    let id = miner.learn(&usual).id;
    let (mut evicted, mut merged) = (0, 0);
    for _ in 0..4000 {
        let length = 1 + dice.below(90);
        let words: Vec<String> = (0..length).map(|_| dice.text("abcdefgh", 3)).collect();
        miner.learn(&line(&words.join(" ")));
        assert_eq!(miner.learn(&usual).id, id, "nothing new drives out what comes again and again");
        for change in miner.take_changes() {
            match change {
                Change::Evicted(_) => evicted += 1,
                Change::Merged { .. } => merged += 1,
            }
        }
        assert!(miner.templates().count() <= limits.templates);
        assert!(miner.bytes() <= limits.bytes + (80 << 10), "{}", miner.bytes());
    }
    println!("seed 7: 4000 lines of noise, {evicted} evicted, {merged} merged");
    assert!(evicted > 2000);
}

#[test]
fn every_line_has_a_row_whatever_becomes_of_its_template() {
    let mut dice = Dice(3);
    let mut lines = Vec::new();
    for _ in 0..6000 {
        let words: Vec<String> = (0..1 + dice.below(6)).map(|_| dice.text("abcdef", 3)).collect();
        lines.push(words.join(" "));
    }
    let refs: Vec<&str> = lines.iter().map(String::as_str).collect();
    let rows = mined(&refs);
    assert_eq!(rows.len(), lines.len());
    for (row, line) in rows.iter().zip(&lines) {
        let (row, line): (Vec<&str>, Vec<&str>) = (row.split(' ').collect(), line.split(' ').collect());
        let fits = row.len() == line.len() && row.iter().zip(&line).all(|(r, l)| r == l || *r == "<*>");
        assert!(fits, "{line:?} is no line of {row:?}");
    }
}

type Make = fn(&mut Dice) -> String;

/// Secrets of many kinds, each with the line in which it stands; `{}` is its place.
pub(super) fn secrets() -> Vec<(String, String)> {
    const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
    const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const BASE62: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const HEX: &str = "0123456789abcdef";
    let kinds: [(&str, Make); 40] = [
        ("connecting to postgres://app:{}@db.example/x", |d| d.text(LOWER, 12)),
        ("broker amqp://{}:guest@mq/ is away", |d| d.text(LOWER, 9)),
        ("as root:{}@backup now", |d| d.text(LOWER, 10)),
        ("GET https://api.example/v?token={}&page=two", |d| d.text(BASE62, 24)),
        ("request with Authorization: Bearer {}", |d| d.text(LETTERS, 30)),
        ("curl -H 'Authorization: Basic {}' https://x", |d| d.text(LETTERS, 20)),
        ("retry with bearer {} failed", |d| d.text(LETTERS, 18)),
        ("jwt eyJhbGciOiJIUzI.{}.sig refused", |d| d.text(LETTERS, 40)),
        ("key AKIA{} in use", |d| d.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        ("AWS_SECRET_ACCESS_KEY={} exported", |d| d.text(BASE64, 40)),
        ("aws_session_token: {}", |d| d.text(BASE64, 60)),
        ("pushed with ghp_{} to origin", |d| d.text(BASE62, 36)),
        ("charge by sk_live_{} done", |d| d.text(BASE62, 24)),
        ("slack xoxb-{} revoked", |d| d.text(BASE62, 24)),
        ("login password={} accepted", |d| d.text(LOWER, 8)),
        ("Password: {}", |d| d.text(LOWER, 9)),
        ("{\"user\":\"anna\",\"password\":\"{}\",\"ok\":true}", |d| d.text(LOWER, 9)),
        ("{\"log\":\"{\\\"apiKey\\\": \\\"{}\\\"}\"}", |d| d.text(LOWER, 20)),
        ("config {'client_secret': '{}', 'a': 'b'}", |d| d.text(LOWER, 22)),
        ("mysqldump --password {} --all", |d| d.text(LOWER, 11)),
        ("started with --api-key={} --fast", |d| d.text(LOWER, 16)),
        ("the token is {} for now", |d| d.text(LOWER, 16)),
        ("passphrase: {}", |d| format!("{} {}", d.text(LOWER, 7), d.text(LOWER, 8))),
        ("PIN={} entered", |d| d.text("0123456789", 4)),
        ("Cookie: theme=dark; session={}; lang=de", |d| d.text(LOWER, 26)),
        ("Set-Cookie: sid={}; HttpOnly", |d| d.text(LOWER, 26)),
        ("sessionid {} expired", |d| d.text(HEX, 32)),
        ("card {} declined", |d| (0..4).map(|_| d.text("0123456789", 4)).collect::<Vec<_>>().join(" ")),
        ("card {} declined", |d| d.text("0123456789", 16)),
        ("mail for {} bounced", |d| {
            format!("{}.{}@{}.example", d.text(LOWER, 6), d.text(LOWER, 7), d.text(LOWER, 6))
        }),
        ("from <{}> refused", |d| format!("{}@{}.org", d.text(LOWER, 8), d.text(LOWER, 5))),
        ("peer {} left", |d| (0..4).map(|_| (1 + d.below(254)).to_string()).collect::<Vec<_>>().join(".")),
        ("peer {} left", |d| (0..8).map(|_| d.text(HEX, 4)).collect::<Vec<_>>().join(":")),
        ("station {} joined", |d| (0..6).map(|_| d.text(HEX, 2)).collect::<Vec<_>>().join(":")),
        ("station {} joined", |d| (0..6).map(|_| d.text("abcdef", 2)).collect::<Vec<_>>().join(":")),
        ("request {} done", |d| [8, 4, 4, 4, 12].map(|n| d.text(HEX, n)).join("-")),
        ("digest {} differs", |d| d.text(HEX, 64)),
        ("digest {} differs", |d| d.text("abcdef", 16)),
        ("blob {} stored", |d| d.text(BASE64, 44) + "="),
        ("call {} back", |d| format!("+49 {} {}", d.text("0123456789", 3), d.text("0123456789", 7))),
    ];
    let mut dice = Dice(2026);
    let of = |_| kinds.map(|(line, make)| (line.to_owned(), make(&mut dice)));
    (0..6).flat_map(of).collect()
}

/// Parts of a secret by which somebody could know it.
pub(super) fn parts(secret: &str) -> impl Iterator<Item = &str> {
    secret.split([' ', '@', '.', '-', ':', '+', '/', '=']).filter(|part| part.len() >= 4).chain([secret])
}

#[test]
fn no_secret_is_kept() {
    let mut masker = Masker::default();
    let (mut miner, mut line) = (Miner::default(), Line::default());
    let mut kept = Vec::new();
    let mut learn = |text: &str| {
        masker.mask(text.as_bytes(), &mut line);
        miner.learn(&line);
        kept.extend_from_slice(line.text().as_bytes());
        kept.push(b'\n');
    };
    let mut planted: HashMap<String, String> = HashMap::new();
    for (text, secret) in secrets() {
        learn(&text.replacen("{}", &secret, 1));
        planted.insert(secret, text);
    }
    // Keys of several lines.
    let mut dice = Dice(99);
    for _ in 0..4 {
        learn("wrote -----BEGIN RSA PRIVATE KEY-----");
        for length in [64, 64, 64, 20, 6] {
            let body = dice.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", length);
            learn(&body);
            planted.insert(body, "a line of a private key".into());
        }
        learn("-----END RSA PRIVATE KEY-----");
    }
    miner.settle_all();
    let templates: String = miner.templates().map(|t| t.text().to_owned() + "\n").collect();
    let state = miner.save();
    let masked = String::from_utf8(kept).unwrap();
    let state = String::from_utf8_lossy(&state);
    let found: Vec<_> = planted
        .iter()
        .filter(|(secret, _)| {
            parts(secret).any(|part| [&*masked, &*templates, &*state].iter().any(|text| text.contains(part)))
        })
        .collect();
    println!("{} secrets planted, {} found, seeds 2026 and 99", planted.len(), found.len());
    assert!(planted.len() >= 200);
    assert!(found.is_empty(), "{found:#?}");
    // And yet there is text to read.
    assert!(
        templates.contains("login password=<*> accepted") && templates.contains("digest <*> differs"),
        "{templates}"
    );
}
