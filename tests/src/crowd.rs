//! Many devices in one process: each has the agent's own outbox, delivery and link, and tells facts at its pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fieldmouse::clock;
use fieldmouse::disk::Memory;
use fieldmouse::duration::Span;
use fieldmouse::link::delivery::{Delivery, Options};
use fieldmouse::link::{self, Command, Config, Hello, Link, News};
use fieldmouse::outbox::{self, Outbox};
use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire::{self, Fact, Head, Kind};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What the crowd does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Telling,
    /// Nothing new is told; what waits goes home.
    Draining,
    Over,
}

/// An event: when it was told, and when its acknowledgement came; milliseconds of one clock.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// When the device told it.
    pub at: Millis,
    /// When the collector's word came.
    pub acked_at: Option<Millis>,
}

impl Told {
    /// How long the device waited for the acknowledgement.
    #[must_use]
    pub fn wait(&self) -> Option<Millis> {
        self.acked_at.map(|at| at.saturating_sub(self.at))
    }
}

/// What a device did.
#[derive(Debug)]
pub struct Account {
    /// Its site.
    pub site: String,
    /// Its name.
    pub node: String,
    /// The epoch of its outbox.
    pub epoch: u64,
    /// Its events; the number of the first is 1.
    pub events: Vec<Told>,
}

/// How a crowd is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// What their names begin with.
    pub named: &'static str,
    /// How many sites.
    pub sites: usize,
    /// How many devices in all, spread over the sites.
    pub devices: usize,
    /// Between two events of a device.
    pub apart: Duration,
    /// One of so many events is a crash, which founds an incident; the others are notes.
    pub crash_every: usize,
}

/// Devices that run until they are asked for their accounts.
#[derive(Debug)]
pub struct Crowd {
    phase: watch::Sender<Phase>,
    waiting: Arc<AtomicU64>,
    devices: JoinSet<Account>,
}

impl Crowd {
    /// Starts all devices at the broker of this port, on the runtime that this is called from.
    #[must_use]
    pub fn start(port: u16, size: Size) -> Self {
        let (phase, now) = watch::channel(Phase::Telling);
        let waiting = Arc::new(AtomicU64::new(0));
        let mut devices = JoinSet::new();
        for n in 0..size.devices {
            let (site, node) = (format!("s-{}", n % size.sites), format!("{}-{n}", size.named));
            let device = Device::new(port, &site, &node, (size.crash_every, n));
            // They do not speak all at once.
            let offset = size.apart.mul_f64(n as f64 / size.devices as f64);
            devices.spawn(device.live(size.apart, offset, now.clone(), Arc::clone(&waiting)));
        }
        Self { phase, waiting, devices }
    }

    /// Tells nothing more, and waits until everything was acknowledged, or for so long. Then the accounts.
    pub async fn accounts(mut self, limit: Duration) -> Vec<Account> {
        self.phase.send_replace(Phase::Draining);
        let drained = async {
            while self.waiting.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // Who has not got rid of everything says so in its account.
        let _late = timeout(limit, drained).await;
        self.phase.send_replace(Phase::Over);
        let mut accounts = Vec::new();
        while let Some(account) = self.devices.join_next().await {
            accounts.push(account.unwrap());
        }
        accounts.sort_by(|a, b| (&a.site, &a.node).cmp(&(&b.site, &b.node)));
        accounts
    }
}

struct Device {
    site: String,
    node: String,
    /// One of so many, and by how many the count is ahead, so that not all have theirs at once.
    crash_every: (usize, usize),
    outbox: Outbox,
    delivery: Delivery,
    link: Link,
    events: Vec<Told>,
    /// How many of them are acknowledged.
    acked: usize,
}

impl Device {
    fn new(port: u16, site: &str, node: &str, crash_every: (usize, usize)) -> Self {
        let (outbox, _) = Outbox::open(
            Box::new(Memory::default()),
            outbox::Options::new(4 << 20),
            outbox::entropy(),
            clock::stamp(),
        );
        let config = Config {
            url: format!("mqtt://127.0.0.1:{port}").into(),
            site: site.into(),
            node: node.into(),
            retry_min: Span(200),
            retry_max: Span(1000),
            ..Config::default()
        };
        let delivery = Delivery::new(node, Options::new(300_000));
        let (name, epoch) = (node.to_owned(), outbox.epoch());
        let compose = move |hello: Hello| {
            let head = Head { node: &name, epoch };
            match hello {
                Hello::Birth => {
                    let birth = wire::Birth { host: cut(&name), tick_ms: 1000, ..birth() };
                    let mut body = [0; 512];
                    let len = wire::write_body(&birth, &mut body).unwrap();
                    link::message(&head, clock::stamp(), Kind::Birth, &body[..len])
                }
                _ => link::status(&head, clock::stamp(), hello, "0.1.0"),
            }
        };
        let link = Link::start(config.check().unwrap(), Box::new(compose));
        Self {
            site: site.into(),
            node: node.into(),
            crash_every,
            outbox,
            delivery,
            link,
            events: Vec::new(),
            acked: 0,
        }
    }

    async fn live(
        mut self,
        apart: Duration,
        offset: Duration,
        mut phase: watch::Receiver<Phase>,
        waiting: Arc<AtomicU64>,
    ) -> Account {
        let apart = u64::try_from(apart.as_millis()).unwrap().max(1);
        let mut next = clock::mono_ms() + u64::try_from(offset.as_millis()).unwrap();
        loop {
            let now = clock::mono_ms();
            let is = *phase.borrow_and_update();
            if is == Phase::Over {
                break;
            }
            while is == Phase::Telling && now >= next {
                next += apart;
                self.tell(now);
                waiting.fetch_add(1, Ordering::Relaxed);
            }
            let until = if is == Phase::Telling { next } else { now + 100 };
            self.step(until.max(now + 1)).await;
            waiting.fetch_sub(self.note_acks() as u64, Ordering::Relaxed);
        }
        // It may be full; then the connection ends without a word.
        let _full = self.link.commands.try_send(Command::Stop);
        let epoch = self.outbox.epoch();
        Account { site: self.site, node: self.node, epoch, events: self.events }
    }

    fn tell(&mut self, now: Millis) {
        let mut body = [0; 128];
        let text = format!("{} {}", self.node, self.events.len() + 1);
        let (every, ahead) = self.crash_every;
        let is_crash = (self.events.len() + 1 + 7 * ahead).is_multiple_of(every);
        let len = wire::write_body(&Fact::new("load", &text), &mut body).unwrap();
        let severity = if is_crash { 17 } else { 9 };
        self.outbox.push(clock::stamp(), Kind::Fact, 1, severity, &body[..len]);
        self.events.push(Told { at: now, acked_at: None });
    }

    /// Notes when events were acknowledged; how many that are.
    fn note_acks(&mut self) -> usize {
        let acked = usize::try_from(self.outbox.acked_seq()).unwrap().min(self.events.len());
        let now = clock::mono_ms();
        let new = acked.saturating_sub(self.acked);
        for told in &mut self.events[self.acked..self.acked + new] {
            told.acked_at = Some(now);
        }
        self.acked += new;
        new
    }

    /// Does what is due and waits for news, not beyond `until`.
    async fn step(&mut self, until: Millis) {
        let stamp = clock::stamp();
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
            Ok(Some(News::Stopped) | None) => panic!("{}: the link ended", self.node),
            Ok(Some(news)) => self.delivery.on_news(clock::mono_ms(), &news, &mut self.outbox),
            Err(_) => {}
        }
    }
}

fn birth() -> wire::Birth {
    wire::Birth {
        version: cut("0.1.0"),
        platform: cut("linux/x86_64"),
        os: cut("Debian 12"),
        host: cut("host"),
        cpus: 2,
        memory: 1 << 30,
        model: [0; 8],
        model_name: cut(""),
        tick_ms: 1000,
        labels: cut(""),
        series: 0,
    }
}
