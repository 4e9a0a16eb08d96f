//! One seed: the real link, delivery and outbox against a broker that misbehaves for a while and is honest afterwards.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fieldmouse::clock;
use fieldmouse::disk::Memory;
use fieldmouse::duration::Span;
use fieldmouse::link::delivery::{Delivery, Options};
use fieldmouse::link::{self, Command, Config, Hello, Link, News};
use fieldmouse::outbox::{self, Outbox};
use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Fact, Head, Kind};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::broker::{Broker, KEEP_ALIVE_S, World};
use super::dice::Dice;
use super::evil::{self, Evil};

/// The client's own keep alive, the shortest there is; it counts where the broker sets none.
const OWN_KEEP_ALIVE_MS: Millis = 5000;
/// Waits that are configured: between attempts, for a connection, before something is sent again.
const REFUSED_MAX_MS: Millis = 1500;
const CONNECT_MS: Millis = 2000;
const RESEND_MAX_MS: Millis = 3000;
/// A machine with much to do is late.
const SLACK_MS: Millis = 1000;
/// After so long without an end it is a livelock.
const GIVE_UP_MS: Millis = 120_000;

/// What became of a schedule.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed: the same one does the same, but for what the machine's timing changes.
    pub seed: u64,
    /// What the broker did.
    pub evils: Vec<Evil>,
    /// Events told.
    pub events: u64,
    /// Connections made.
    pub connections: u64,
    /// The longest time without a new acknowledgement after the broker became honest.
    pub stuck_ms: Millis,
    /// What that may be: three keep alives, and the waits that are configured.
    pub bound_ms: Millis,
    /// What is wrong, if anything is.
    pub wrong: Option<String>,
}

fn config(port: u16) -> Config {
    Config {
        url: format!("mqtt://127.0.0.1:{port}").into(),
        site: "lab".into(),
        node: "n-1".into(),
        keep_alive: Span(OWN_KEEP_ALIVE_MS),
        connect_timeout: Span(CONNECT_MS),
        retry_min: Span(20),
        retry_max: Span(800),
        refused_max: Span(REFUSED_MAX_MS),
        ..Config::default()
    }
}

fn compose(hello: Hello) -> bytes::Bytes {
    let head = Head { node: "n-1", epoch: 7 };
    match hello {
        Hello::Birth => link::message(&head, clock::stamp(), Kind::Birth, &[0; 40]),
        _ => link::status(&head, clock::stamp(), hello, "0.1.0"),
    }
}

/// The agent's part: what `run` does with the same three parts.
struct Rig {
    outbox: Outbox,
    delivery: Delivery,
    link: Link,
    pushed: u64,
    dead: bool,
}

impl Rig {
    fn push(&mut self, n: u64) {
        for _ in 0..n {
            self.pushed += 1;
            let mut fact = Fact::new("note", "");
            fact.text = heapless_text(&format!("fact {}", self.pushed));
            let mut body = [0; 64];
            let len = wire::write_body(&fact, &mut body).unwrap();
            self.outbox.push(clock::stamp(), Kind::Fact, 1, 17, &body[..len]);
        }
    }

    /// Does what is due and waits for news, not beyond `until`.
    async fn step(&mut self, until: Millis) {
        let stamp = clock::stamp();
        if self.outbox.has_undeclared() {
            self.outbox.declare(stamp);
        }
        self.outbox.sync(stamp.mono_ms);
        while let Some(command) = self.delivery.poll(stamp, &mut self.outbox) {
            if let Err(e) = self.link.commands.try_send(command) {
                self.delivery.not_taken(e.into_inner(), &mut self.outbox);
                break;
            }
        }
        let now = clock::mono_ms();
        let due = [self.outbox.sync_due(now), self.delivery.deadline()].into_iter().flatten().min();
        let wait = due.unwrap_or(until).min(until).max(now + 1) - now;
        match timeout(Duration::from_millis(wait), self.link.news.recv()).await {
            Ok(Some(News::Stopped) | None) => {
                self.dead = true;
                // Nothing more will come; do not spin.
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            Ok(Some(news)) => self.delivery.on_news(clock::mono_ms(), &news, &mut self.outbox),
            Err(_) => {}
        }
    }
}

fn heapless_text<const N: usize>(text: &str) -> heapless::String<N> {
    fieldmouse_core::series::cut(text)
}

/// Runs one schedule.
pub async fn run(seed: u64) -> Outcome {
    let mut dice = Dice::new(seed);
    let evils: Vec<Evil> = (0..dice.of(1, 5)).map(|_| dice.pick(&evil::ALL)).collect();
    run_with(dice, seed, evils).await
}

/// Runs one schedule with these evils.
pub async fn run_with(mut dice: Dice, seed: u64, evils: Vec<Evil>) -> Outcome {
    let chance = dice.pick(&[15, 40, 100]);
    let poison = dice.percent(10);
    let world = World::new(Dice::new(dice.any()), evils.clone(), chance, poison);
    let broker = Broker::start(world).await;
    let options = outbox::Options::new(1 << 20);
    let (outbox, _) = Outbox::open(Box::new(Memory::default()), options, outbox::entropy(), clock::stamp());
    let delivery = Delivery::new(
        "n-1",
        Options {
            batch_bytes: dice.pick(&[40, 200, 4000]),
            watchdog_ms: 3000 * u64::from(KEEP_ALIVE_S),
            resend_ms: 1000,
            resend_max_ms: RESEND_MAX_MS,
            ..Options::new(OWN_KEEP_ALIVE_MS)
        },
    );
    let link = Link::start(config(broker.port).check().unwrap(), Box::new(compose));
    let mut rig = Rig { outbox, delivery, link, pushed: 0, dead: false };

    let start = clock::mono_ms();
    let good_at = start + dice.of(200, 4000);
    rig.push(dice.of(1, 40));
    let mut next_push = start;
    while clock::mono_ms() < good_at {
        if clock::mono_ms() >= next_push {
            rig.push(dice.of(0, 5));
            next_push = clock::mono_ms() + dice.of(20, 400);
        }
        rig.step(good_at.min(next_push)).await;
    }
    broker.be_good();
    rig.push(dice.of(1, 10));
    let follows = broker.world.lock().unwrap().follows;
    let keep_alive = if follows { 1000 * u64::from(KEEP_ALIVE_S) } else { OWN_KEEP_ALIVE_MS };
    let bound_ms = 3 * keep_alive + RESEND_MAX_MS + REFUSED_MAX_MS + CONNECT_MS + SLACK_MS;

    let good_at = clock::mono_ms();
    let (mut moved_at, mut acked, mut stuck_ms) = (good_at, rig.outbox.acked_seq(), 0);
    let mut wrong = None;
    while rig.outbox.waiting() > 0 {
        rig.step(clock::mono_ms() + 250).await;
        let now = clock::mono_ms();
        stuck_ms = stuck_ms.max(now - moved_at);
        if rig.outbox.acked_seq() > acked {
            (moved_at, acked) = (now, rig.outbox.acked_seq());
        }
        if rig.dead || now > good_at + GIVE_UP_MS {
            let what = if rig.dead { "the link ended" } else { "livelock" };
            wrong = Some(format!("{what}: {} of {} acknowledged; {:?}", acked, rig.pushed, rig.delivery));
            break;
        }
    }
    let kept = broker.world.lock().unwrap().collector.has(rig.outbox.epoch());
    if wrong.is_none()
        && (kept != rig.pushed || rig.outbox.acked_seq() != rig.pushed || rig.outbox.lost() > 0)
    {
        let (acked, lost) = (rig.outbox.acked_seq(), rig.outbox.lost());
        wrong = Some(format!("{} told, {acked} acknowledged, {kept} kept, {lost} lost", rig.pushed));
    }
    if wrong.is_none() && stuck_ms > bound_ms {
        wrong = Some(format!("stuck for {stuck_ms} ms, at most {bound_ms}"));
    }
    if rig.link.commands.send(Command::Stop).await.is_ok() {
        let end = async { while rig.link.news.recv().await.is_some_and(|n| n != News::Stopped) {} };
        if timeout(Duration::from_secs(20), end).await.is_err() && wrong.is_none() {
            wrong = Some("the link does not stop".to_owned());
        }
    }
    let connections = broker.world.lock().unwrap().connections;
    Outcome { seed, evils, events: rig.pushed, connections, stuck_ms, bound_ms, wrong }
}

/// What became of many.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many ran.
    pub schedules: u64,
    /// Events told, each of them acknowledged unless something is wrong.
    pub events: u64,
    /// Connections made.
    pub connections: u64,
    /// Those in which something was wrong.
    pub wrong: Vec<Outcome>,
    /// The one that was stuck longest, measured by what it may be.
    pub worst: Option<Outcome>,
}

impl Summary {
    fn add(&mut self, o: Outcome) {
        self.schedules += 1;
        self.events += o.events;
        self.connections += o.connections;
        if self.worst.as_ref().is_none_or(|w| o.stuck_ms * w.bound_ms > w.stuck_ms * o.bound_ms) {
            self.worst = Some(o.clone());
        }
        if o.wrong.is_some() {
            self.wrong.push(o);
        }
    }

    /// Schedules in which nothing moved any more.
    #[must_use]
    pub fn livelocks(&self) -> usize {
        let is_dead = |o: &&Outcome| {
            o.wrong.as_ref().is_some_and(|w| w.starts_with("livelock") || w.starts_with("the link"))
        };
        self.wrong.iter().filter(is_dead).count()
    }

    /// Schedules that were stuck for longer than they may be, but not for good.
    #[must_use]
    pub fn stuck(&self) -> usize {
        self.wrong.iter().filter(|o| o.wrong.as_ref().is_some_and(|w| w.starts_with("stuck"))).count()
    }
}

/// Runs the schedules of these seeds, so many at once.
pub async fn run_all(seeds: Range<u64>, at_once: usize) -> Summary {
    let places = Arc::new(Semaphore::new(at_once));
    let (mut running, mut summary) = (JoinSet::new(), Summary::default());
    for seed in seeds {
        let place = places.clone().acquire_owned().await.unwrap();
        running.spawn(async move {
            let outcome = run(seed).await;
            drop(place);
            outcome
        });
        while let Some(done) = running.try_join_next() {
            summary.add(done.unwrap());
        }
    }
    while let Some(done) = running.join_next().await {
        summary.add(done.unwrap());
    }
    summary
}
