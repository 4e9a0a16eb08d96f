//! What is told of lines, and what is not: hours of them in milliseconds.

use fieldmouse_core::series::Reading;

use super::super::tests::{parts, secrets};
use super::*;

const HOUR: u32 = 3600;

/// A book that is read to, second by second, and all that it told.
struct Tale {
    book: Book,
    out: Readings,
    now: u32,
    state: u64,
    told: Vec<(u32, String, String)>,
    shown: Vec<String>,
}

impl Tale {
    fn new() -> Self {
        let book = Book::new("log", &Place::default(), None);
        Self { book, out: Readings::default(), now: 0, state: 7, told: Vec::new(), shown: Vec::new() }
    }

    fn chance(&mut self, of: f64) -> bool {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.state >> 11) as f64 / (1_u64 << 53) as f64) < of
    }

    fn say(&mut self, stream: &str, text: &str) {
        self.book.take(&Record { stream, severity: None, text: text.as_bytes(), wall_ms: None });
    }

    fn tick(&mut self) {
        self.now += 1;
        self.out.begin();
        self.book.tick(1000 * u64::from(self.now), &mut self.out);
        for shown in self.out.shown() {
            self.shown.push(format!("{} {}", shown.text, shown.detail.unwrap_or_default().example));
        }
        for told in self.out.told() {
            let detail = told.fact.detail.unwrap_or_default();
            self.told.push((
                self.now,
                format!("{} {}", told.fact.kind, told.fact.text),
                detail.example.to_string(),
            ));
        }
    }

    /// What a machine writes that works: requests by chance, errors now and then, one message a minute.
    fn usual(&mut self, seconds: u32) {
        self.usual_but(seconds, |_| {});
    }

    fn usual_but(&mut self, seconds: u32, mut more: impl FnMut(&mut Self)) {
        for _ in 0..seconds {
            if self.chance(0.5) {
                let (n, m) = (self.now % 97, self.now % 13);
                self.say("web", &format!("INFO request {n} of 10.0.0.{m} done in {m} ms"));
            }
            if self.chance(0.1) {
                self.say("web", &format!("INFO cache holds {} entries", self.now));
            }
            if self.chance(0.02) {
                self.say("web", &format!("ERROR upstream 10.0.0.{} timed out", self.now % 7));
            }
            if self.chance(0.01) {
                self.say("db", "ERROR lock wait exceeded on table orders");
            }
            if self.now.is_multiple_of(60) && !(6 * HOUR..7 * HOUR).contains(&(self.now % (100 * HOUR))) {
                self.say("cron", &format!("(root) CMD (run-parts /etc/cron.d/{})", self.now));
            }
            more(self);
            self.tick();
        }
    }

    /// What was told from this second on.
    #[track_caller]
    fn check(&self, from: u32, want: &[(&str, &str)]) {
        let told: Vec<_> = self.told.iter().filter(|(at, ..)| *at >= from).collect();
        let is_so = told.len() == want.len()
            && told
                .iter()
                .zip(want)
                .all(|((_, text, example), (t, e))| text.contains(t) && example.contains(e));
        assert!(is_so, "told: {told:#?}\nwanted: {want:#?}");
    }
}

#[test]
fn a_book_without_lines_holds_nothing() {
    let mut tale = Tale::new();
    tale.tick();
    assert!(tale.book.bytes() < 1024 && tale.out.is_empty() && tale.book.save().is_empty());
}

#[test]
fn lines_are_counted_by_severity() {
    let mut tale = Tale::new();
    for text in ["hello", "WARN low", "ERROR gone", "ERROR gone", "<3>away"] {
        tale.say("app", text);
    }
    tale.book.take(&Record { stream: "app", severity: Some(21), text: b"INFO no", wall_ms: None });
    tale.tick();
    let seen: Vec<(String, Reading)> = tale.out.iter().map(|(k, r)| (k.to_string(), r)).collect();
    let key = |class: &str| format!("log.record.count{{log.source=log,log.severity={class}}}");
    assert_eq!(seen, [(key("info"), Ok(1.0)), (key("warn"), Ok(1.0)), (key("error"), Ok(4.0))]);
}

#[test]
fn rules_make_series_of_lines() {
    let table =
        |name: &str, pattern: &str| crate::config::MetricTable { name: name.into(), pattern: pattern.into() };
    let mut place = Place::default();
    place.logs.metric = vec![table("time", "done in * ms"), table("logins", "session opened")];
    let mut tale = Tale { book: Book::new("web", &place, None), ..Tale::new() };
    for text in
        ["request done in 12.5 ms", "session opened for root", "request Done In 7 ms", "session opened again"]
    {
        tale.say("app", text);
    }
    tale.tick();
    let values: Vec<(String, Reading)> = tale.out.iter().skip(1).map(|(k, r)| (k.to_string(), r)).collect();
    assert_eq!(
        values,
        [
            ("log.metric{log.source=web,log.metric.name=time}".to_owned(), Ok(7.0)),
            ("log.metric.count{log.source=web,log.metric.name=logins}".to_owned(), Ok(2.0)),
        ]
    );
}

#[test]
fn a_new_error_is_told_once_and_masked() {
    let mut tale = Tale::new();
    tale.usual(5 * HOUR);
    tale.check(0, &[]);
    for _ in 0..3 {
        tale.say("db", "ERROR page 4711 of relation orders is torn, user=anna password=hunter");
        tale.usual(4);
    }
    tale.usual(1200);
    tale.say("db", "ERROR page 4712 of relation orders is torn, user=anna password=secret");
    tale.usual(1200);
    let example = "ERROR page <*> of relation orders is torn, user=anna password=<*>";
    tale.check(0, &[("log-new db: a message never seen before, 3 times in 10 s", example)]);
}

#[test]
fn what_turns_out_to_be_known_is_not_told() {
    let mut tale = Tale::new();
    let names = ["anna", "bert", "carl", "dora"];
    tale.usual_but(13 * HOUR, |tale| {
        let name = names[(tale.now / 100) as usize % names.len()];
        if tale.now.is_multiple_of(10) {
            tale.say("login", &format!("session opened for user {name}"));
        }
    });
    tale.say("login", "session opened for user emil");
    tale.usual(60);
    tale.check(0, &[("log-silent cron", ""), ("log-silent cron", "")]);
}

#[test]
fn where_new_messages_are_usual_one_more_is_no_news() {
    let mut tale = Tale::new();
    tale.usual_but(2 * HOUR - 60, |tale| {
        let at = tale.now;
        if at % 300 == 7 {
            let word = |n: u32| char::from(b'a' + (at / 300 * 7 + n * 5) as u8 % 26);
            let words: String =
                (0..4 + at / 300 % 9).map(|n| format!("{0}{0}{1} ", word(n), word(n + 1))).collect();
            tale.say("chatty", &format!("ERROR {words}"));
        }
    });
    tale.check(0, &[]);
}

#[test]
fn a_periodic_message_that_is_silent_is_told_and_told_when_it_is_back() {
    let mut tale = Tale::new();
    tale.usual(8 * HOUR);
    let silent = "nothing for 3 min; a message came every 60 s";
    tale.check(
        0,
        &[
            (&format!("log-silent cron: {silent}"), "CMD"),
            ("log-silent cron: it writes again after 61 min", ""),
        ],
    );
}

#[test]
fn a_burst_of_errors_is_explained() {
    let mut tale = Tale::new();
    tale.usual(5 * HOUR);
    tale.usual_but(90, |tale| {
        tale.say("db", "ERROR lock wait exceeded on table orders");
        tale.say("db", "ERROR lock wait exceeded on table orders");
    });
    tale.usual(900);
    tale.check(0, &[("log-burst db: ", "ERROR lock wait exceeded on table orders")]);
    let text = &tale.told[0].1;
    assert!(text.contains(" errors in ") && text.contains("% of them this"), "{text}");
}

#[test]
fn a_rate_that_has_changed_is_told_with_both_levels() {
    let mut tale = Tale::new();
    tale.usual(5 * HOUR);
    tale.usual_but(1200, |tale| {
        if tale.chance(0.7) {
            tale.say("web", &format!("INFO cache holds {} entries", tale.now));
        }
    });
    // Back to where it was is no news.
    tale.usual(500);
    tale.check(0, &[("log-rate web: a message comes more often: ", "INFO cache holds <*> entries")]);
}

#[test]
fn a_crash_is_told_with_its_next_lines_until_it_is_a_habit() {
    let mut tale = Tale::new();
    tale.usual(HOUR);
    for _ in 0..12 {
        tale.say("app", "thread 'main' panicked at src/queue.rs:42:10:");
        tale.say("web", "INFO request 5 of 10.0.0.1 done in 7 ms");
        tale.say("app", "called `Option::unwrap()` on a `None` value");
        tale.usual(HOUR);
    }
    let told: Vec<_> = tale.told.iter().filter(|(_, text, _)| text.starts_with("log-crash")).collect();
    assert!((3..=6).contains(&told.len()), "{told:#?}");
    let (_, text, example) = told[0];
    assert_eq!(text, "log-crash app: a panic");
    assert!(
        example.starts_with("thread 'main' panicked at src/queue.rs:<*>")
            && example.contains(" | called `Option::unwrap")
    );
}

#[test]
fn a_backlog_and_jumps_of_the_clock_are_no_news() {
    let mut tale = Tale::new();
    tale.usual(5 * HOUR);
    let say = |tale: &mut Tale, text: &str, wall_ms: u64| {
        let record = Record { stream: "web", severity: None, text: text.as_bytes(), wall_ms: Some(wall_ms) };
        tale.book.take(&record);
    };
    for n in 0..20_000_u64 {
        say(&mut tale, &format!("ERROR upstream 10.0.0.{} timed out", n % 7), 1_700_000_000_000 + 1000 * n);
    }
    tale.usual(120);
    for jump in [0, 4_000_000_000_000, 1000, 1_700_000_000_000] {
        say(&mut tale, "INFO cache holds 7 entries", jump);
        say(&mut tale, "INFO cache holds 7 entries", jump);
        tale.usual(30);
    }
    // The agent itself stood still for an hour.
    tale.now += 3 * HOUR;
    tale.usual(600);
    tale.check(0, &[]);
}

#[test]
fn what_was_learnt_outlives_a_restart() {
    let mut tale = Tale::new();
    tale.usual(5 * HOUR);
    let saved = tale.book.save();
    println!("state of {} By", saved.len());
    tale.book = Book::new("log", &Place::default(), Some(&saved));
    // Another boot, another clock.
    tale.now = 5;
    tale.usual(600);
    tale.check(0, &[]);
    tale.say("db", "ERROR page 4711 of relation orders is torn");
    tale.usual(60);
    tale.check(0, &[("log-new db", "ERROR page <*> of relation orders is torn")]);
    // Damage is refused, wherever it is.
    for at in (0..saved.len()).step_by(97) {
        let mut damaged = saved.clone();
        damaged[at] ^= 0x10;
        assert!(Book::new("log", &Place::default(), Some(&damaged)).watch.is_none(), "byte {at}");
        assert!(Book::new("log", &Place::default(), Some(&saved[..at])).watch.is_none(), "{at} bytes");
    }
}

#[test]
fn any_number_of_streams_is_held_in_little() {
    let mut tale = Tale::new();
    for n in 0..100_000 {
        tale.say(&format!("stream-{}", n % 5000), &format!("hello {n}"));
        if n % 500 == 1 {
            tale.tick();
        }
    }
    assert!(tale.book.bytes() < 200 << 10, "{}", tale.book.bytes());
}

#[test]
fn no_secret_comes_out() {
    let mut tale = Tale::new();
    tale.usual(5 * HOUR);
    let secrets = secrets();
    for (n, (text, secret)) in secrets.iter().enumerate() {
        // Where it matters most: in an error never seen, in a crash, and in what follows it.
        let app = format!("app-{}", char::from(b'a' + n as u8 % 24));
        tale.say("db", &format!("ERROR {}", text.replacen("{}", secret, 1)));
        tale.say(
            &app,
            ["panic: out of range", "Segmentation fault", "Traceback (most recent call last):"][n % 3],
        );
        tale.say(&app, &text.replacen("{}", secret, 1));
        tale.usual(700);
    }
    let state = String::from_utf8_lossy(&tale.book.save()).into_owned();
    let facts: String = tale.told.iter().map(|(_, text, example)| format!("{text} {example}\n")).collect();
    assert!(tale.shown.len() >= 100, "{}", tale.shown.len());
    let facts = facts + &tale.shown.join("\n");
    let found: Vec<_> = secrets
        .iter()
        .filter(|(_, secret)| parts(secret).any(|part| state.contains(part) || facts.contains(part)))
        .collect();
    println!(
        "{} secrets planted, {} found in {} facts and the state",
        secrets.len(),
        found.len(),
        tale.told.len()
    );
    assert!(found.is_empty(), "{found:#?}");
    assert!(secrets.len() >= 200 && tale.told.len() >= 10, "{} facts", tale.told.len());
}

/// A burst of one message that was always there, in which one unit, then one site, is all that is new.
#[test]
fn a_burst_is_explained_by_the_unit_or_the_site_that_has_it() {
    const SITES: [&str; 8] = ["berlin", "paris", "rome", "oslo", "wien", "bern", "prag", "riga"];
    let check = |unit: Option<u32>, site: Option<usize>, want: &str| {
        let mut tale = Tale::new();
        let mut n = 0_usize;
        let mut fail = |tale: &mut Tale, unit: Option<u32>, site: Option<usize>| {
            n += 1;
            let unit = unit.unwrap_or(n as u32 % 11);
            let site = SITES[site.unwrap_or(n % 8)];
            tale.say(
                "web",
                &format!(
                    "ERROR upstream timed out unit=pump-{unit} site={site} after={n}ms request={n:032x}"
                ),
            );
        };
        tale.usual_but(5 * HOUR, |tale| {
            if tale.now % 20 == 0 {
                fail(tale, None, None);
            }
        });
        let from = tale.now;
        tale.usual_but(180, |tale| (0..4).for_each(|_| fail(tale, unit, site)));
        let bursts: Vec<_> =
            tale.told.iter().filter(|(at, text, _)| *at > from && text.starts_with("log-burst")).collect();
        assert_eq!(bursts.len(), 1, "{:#?}", tale.told);
        assert!(bursts[0].1.ends_with(want), "{bursts:#?}");
    };
    check(Some(7), None, "% of them with `unit=pump-7`");
    check(None, Some(2), "% of them with `site=rome`");
    check(None, None, "% of them this");
}

#[test]
fn what_the_agent_says_of_it_is_no_news() {
    let mut tale = Tale::new();
    tale.say("fieldmouse", "info: log-crash: panic in worker");
    tale.say("fieldmouse.service", "error: panicked at src/main.rs");
    tale.tick();
    assert!(tale.book.watch.is_none(), "it is not even counted: each such line would make another");
    tale.say("fieldmouse-collector", "error: panicked at src/main.rs");
    assert!(tale.book.watch.is_some());
}
