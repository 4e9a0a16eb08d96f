//! A broker for one client that misbehaves as its dice fall, until it is told to be good.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldmouse::clock;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::collector::{self, Collector};
use super::dice::Dice;
use super::evil::{ACK_ERRORS, Ending, Evil, REFUSALS, outburst};
use super::packet::{self, PINGRESP, connack, frame, puback, publish, published, suback, subscribed};

/// The keep alive an honest broker asks for: short, so that tests are.
pub const KEEP_ALIVE_S: u8 = 1;

/// What outlives connections.
#[derive(Debug)]
pub struct World {
    dice: Dice,
    evils: Vec<Evil>,
    /// How often of a hundred chances an evil is done.
    chance: u64,
    /// A message too large for the client stands retained where it subscribes, whatever else happens.
    poison: bool,
    /// There is a session to come back to.
    session: bool,
    /// The collector behind the broker.
    pub collector: Collector,
    /// Whether the latest connection follows the broker's keep alive; else the client's own counts.
    pub follows: bool,
    /// Connections taken.
    pub connections: u64,
    /// How often each evil was done.
    pub done: BTreeMap<String, u64>,
}

impl World {
    /// A world with these evils in it.
    #[must_use]
    pub fn new(dice: Dice, evils: Vec<Evil>, chance: u64, poison: bool) -> Self {
        Self {
            dice,
            evils,
            chance,
            poison,
            session: false,
            collector: Collector::default(),
            follows: true,
            connections: 0,
            done: BTreeMap::new(),
        }
    }

    /// Whether this evil is done now.
    fn does(&mut self, evil: Evil) -> bool {
        let does = self.evils.contains(&evil) && self.dice.percent(self.chance);
        if does {
            *self.done.entry(format!("{evil:?}")).or_default() += 1;
        }
        does
    }
}

/// A running broker. It ends with this value.
#[derive(Debug)]
pub struct Broker {
    /// Where it listens.
    pub port: u16,
    /// What happened.
    pub world: Arc<Mutex<World>>,
    good: watch::Sender<bool>,
    task: AbortHandle,
}

impl Broker {
    /// Listens on a free port of the loopback.
    pub async fn start(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (good, is_good) = watch::channel(false);
        let world = Arc::new(Mutex::new(world));
        let shared = world.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone(), is_good.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, world, good, task: task.abort_handle() }
    }

    /// From now on it is honest.
    pub fn be_good(&self) {
        self.good.send_replace(true);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection.
struct Connection {
    world: Arc<Mutex<World>>,
    bad: bool,
    write: OwnedWriteHalf,
    /// A byte now and then, while it is bad.
    slow: bool,
    out: Vec<u8>,
    /// What is to be said later.
    later: Vec<(Instant, Vec<u8>)>,
    /// PUBACKs held back to be turned round.
    held: Vec<Vec<u8>>,
    subscribed: bool,
    hears_collectors: bool,
    next_id: u16,
}

async fn serve(stream: TcpStream, world: Arc<Mutex<World>>, mut good: watch::Receiver<bool>) {
    stream.set_nodelay(true).unwrap();
    let (mut read, write) = stream.into_split();
    let (to, mut packets) = mpsc::channel(64);
    let mut reader = JoinSet::new();
    reader.spawn(async move {
        while let Some(p) = packet::read(&mut read).await {
            if to.send(p).await.is_err() {
                return;
            }
        }
    });
    let mut c = Connection {
        world,
        bad: !*good.borrow(),
        write,
        slow: false,
        out: Vec::new(),
        later: Vec::new(),
        held: Vec::new(),
        subscribed: false,
        hears_collectors: false,
        next_id: 0,
    };
    let mut outbursts = c.with(|w| now() + Duration::from_millis(w.dice.of(5, 1500)));
    let mut ending = Ending::Stay;
    while ending == Ending::Stay {
        let due = c.later.iter().map(|(at, _)| *at).min();
        let byte = (c.slow && c.bad && !c.out.is_empty()).then(|| now() + Duration::from_millis(300));
        tokio::select! {
            p = packets.recv() => match p {
                Some((first, body)) => ending = c.answer(first, &body),
                None => return,
            },
            () = until(due) => {
                let ripe_at = now();
                let (ripe, rest): (Vec<_>, Vec<_>) = c.later.drain(..).partition(|(at, _)| *at <= ripe_at);
                c.later = rest;
                ripe.into_iter().for_each(|(_, bytes)| c.out.extend(bytes));
            }
            () = until(byte) => {}
            () = sleep_until(outbursts), if c.bad => {
                outbursts = c.with(|w| now() + Duration::from_millis(w.dice.of(20, 3000)));
                ending = c.burst();
            }
            _ = good.changed(), if c.bad => c.be_good(),
        }
        if !c.flush().await {
            return;
        }
    }
    match ending {
        Ending::HalfOpen => {
            // It stands until the client gives up; nobody reads, nobody answers.
            reader.abort_all();
            std::future::pending::<()>().await;
        }
        Ending::Reset => c.write.as_ref().set_zero_linger().unwrap(),
        Ending::Stay | Ending::Close => {}
    }
}

fn now() -> Instant {
    clock::instant().into()
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Connection {
    fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.world.lock().unwrap())
    }

    /// Whether this evil is done now; nothing is, once the broker is good.
    fn does(&self, evil: Evil) -> bool {
        self.bad && self.with(|w| w.does(evil))
    }

    async fn flush(&mut self) -> bool {
        let n = if self.slow && self.bad { self.out.len().min(1) } else { self.out.len() };
        let bytes: Vec<u8> = self.out.drain(..n).collect();
        self.write.write_all(&bytes).await.is_ok()
    }

    fn be_good(&mut self) {
        self.bad = false;
        let held: Vec<_> = self.held.drain(..).collect();
        self.out.extend(held.concat());
        if self.hears_collectors && self.with(|w| w.dice.percent(50)) {
            self.say("fieldmouse/1/_collector/c-1/status", false, &collector::online());
        }
    }

    fn say(&mut self, topic: &str, retain: bool, payload: &[u8]) {
        self.next_id = self.next_id % 60_000 + 1;
        self.out.extend(publish(topic, Some(self.next_id), retain, &[], payload));
    }

    /// Something of the broker's own accord.
    fn burst(&mut self) -> Ending {
        if self.with(|w| w.evils.contains(&Evil::Slow) && w.dice.percent(30)) {
            self.slow = true;
        }
        self.with(|w| {
            let World { evils, dice, done, .. } = w;
            let some = dice.pick(evils);
            outburst(some, dice).inspect(|_| *done.entry(format!("{some:?}")).or_default() += 1)
        })
        .map_or(Ending::Stay, |(bytes, ending)| {
            self.out.extend(bytes);
            ending
        })
    }

    fn answer(&mut self, first: u8, body: &[u8]) -> Ending {
        match first >> 4 {
            1 => return self.connect(body),
            3 => self.published(first, body),
            8 => self.subscribe(body),
            12 if !self.does(Evil::PingNever) => self.out.extend(PINGRESP),
            14 => return Ending::Close,
            _ => {}
        }
        Ending::Stay
    }

    fn connect(&mut self, body: &[u8]) -> Ending {
        let clean = packet::is_clean(body);
        let forgets = self.does(Evil::Forget);
        let kept = self.with(|w| {
            w.connections += 1;
            let kept = w.session && !clean && !forgets;
            w.session = true;
            kept
        });
        if self.does(Evil::Mute) {
            return Ending::HalfOpen;
        }
        if self.does(Evil::Refuse) {
            let code = self.with(|w| w.dice.pick(&REFUSALS));
            self.out.extend(connack(false, code, &[]));
            return Ending::Close;
        }
        if self.does(Evil::HalfConnack) {
            let said = match self.with(|w| w.dice.below(4)) {
                0 => vec![0x20, 3, 0],
                1 => vec![0x20, 2, 0, 0],
                2 => vec![0x20, 3, 0, 0, 0x80],
                _ => self.with(|w| w.dice.bytes(60)),
            };
            self.out.extend(said);
            return if self.with(|w| w.dice.percent(50)) { Ending::Close } else { Ending::Stay };
        }
        let mut properties = vec![19, 0, KEEP_ALIVE_S];
        let mut follows = true;
        if self.does(Evil::KeepAliveNone) {
            (properties, follows) = (vec![19, 0, 0], false);
        } else if self.does(Evil::KeepAliveLong) {
            (properties, follows) = (vec![19, 0xFF, 0xFF], false);
        }
        if self.does(Evil::ReceiveOne) {
            let least = u8::from(self.with(|w| w.dice.percent(80)));
            properties.extend([33, 0, least]);
        }
        if self.does(Evil::TinyPackets) {
            let most = u8::try_from(self.with(|w| w.dice.of(5, 250))).unwrap();
            properties.extend([39, 0, 0, 0, most]);
        }
        self.with(|w| w.follows = follows);
        let lies = self.does(Evil::LieAboutSession);
        self.out.extend(connack(kept != lies, 0, &properties));
        // What it still had for this client comes again, and some of it was answered long ago.
        if kept && self.bad && self.with(|w| w.dice.percent(30)) {
            let id = self.with(|w| u16::try_from(w.dice.of(1, 20)).unwrap());
            self.out.extend(puback(id, 0));
        }
        Ending::Stay
    }

    fn published(&mut self, first: u8, body: &[u8]) {
        let Some(message) = published(first, body) else { return };
        let loses = self.does(Evil::AckAndLose) || self.does(Evil::CollectorDeaf);
        if let Some(id) = message.id {
            let ack = if self.does(Evil::AckError) {
                puback(id, self.with(|w| w.dice.pick(&ACK_ERRORS)))
            } else if self.does(Evil::AckAsTwo) {
                frame(0x50, &id.to_be_bytes())
            } else {
                puback(id, 0)
            };
            if self.does(Evil::AckNever) {
                return;
            }
            if self.does(Evil::AckUnknown) {
                let other = self.with(|w| u16::try_from(w.dice.of(1, 65_536)).unwrap());
                self.out.extend(puback(other, 0));
            }
            if self.does(Evil::AckTwice) {
                self.out.extend(&ack);
            }
            if self.does(Evil::AckLate) {
                let at = self.with(|w| now() + Duration::from_millis(w.dice.of(10, 4000)));
                self.later.push((at, ack));
            } else if self.does(Evil::AckReversed) {
                self.held.insert(0, ack);
            } else {
                self.out.extend(ack);
                self.out.extend(self.held.drain(..).flatten());
            }
        }
        if loses || !message.topic.ends_with("/event") {
            return;
        }
        let Some(ack) = self.with(|w| w.collector.take(&message.payload)) else { return };
        if self.subscribed {
            self.say("fieldmouse/1/lab/n-1/ack", false, &ack);
        }
    }

    fn subscribe(&mut self, body: &[u8]) {
        let Some((id, filters)) = subscribed(body) else { return };
        if self.does(Evil::SubackNever) {
            return;
        }
        if self.does(Evil::SubackEmpty) {
            self.out.extend(suback(id, &[]));
            return;
        }
        if self.does(Evil::SubackRefused) {
            let codes = self.with(|w| {
                vec![w.dice.pick(&[0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA2]); filters.len()]
            });
            self.out.extend(suback(id, &codes));
            return;
        }
        self.out.extend(suback(id, &vec![1; filters.len()]));
        self.subscribed |= filters.iter().any(|(f, _)| f.ends_with("/ack"));
        for (filter, options) in filters {
            if !filter.contains("/_collector/") {
                continue;
            }
            self.hears_collectors = true;
            if options >> 4 & 3 != 2 {
                self.say("fieldmouse/1/_collector/c-1/status", true, &collector::online());
                if self.with(|w| w.poison) {
                    self.say("fieldmouse/1/_collector/c-2/status", true, &[0; 100_000]);
                }
            }
        }
    }
}
