//! The link against brokers that misbehave.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// One packet: its first byte and its content.
async fn packet(s: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = s.read_u8().await.ok()?;
    let (mut len, mut shift) = (0usize, 0);
    loop {
        let b = s.read_u8().await.ok()?;
        len |= usize::from(b & 127) << shift;
        shift += 7;
        if b & 128 == 0 {
            break;
        }
    }
    let mut body = vec![0; len];
    s.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut n = body.len();
    loop {
        let b = u8::try_from(n % 128).unwrap();
        n /= 128;
        out.push(if n > 0 { b | 128 } else { b });
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

/// The packet id of a PUBLISH, and the topic.
fn publish_id(body: &[u8]) -> (String, [u8; 2]) {
    let n = usize::from(u16::from_be_bytes([body[0], body[1]]));
    (String::from_utf8(body[2..2 + n].to_vec()).unwrap(), [body[2 + n], body[3 + n]])
}

/// What a broker answers to a packet on its nth connection; none ends the connection.
type Answer = fn(connection: usize, first: u8, body: &[u8]) -> Option<Vec<u8>>;

/// What any broker answers.
fn usual(first: u8, body: &[u8], session: u8) -> Vec<u8> {
    match first >> 4 {
        1 => frame(0x20, &[session, 0, 0]),
        3 if first & 6 != 0 => {
            let (_, id) = publish_id(body);
            frame(0x40, &id)
        }
        8 => frame(0x90, &[body[0], body[1], 0, 1, 1]),
        12 => frame(0xD0, &[]),
        _ => Vec::new(),
    }
}

async fn hostile(answer: Answer) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut n = 0;
        while let Ok((mut s, _)) = listener.accept().await {
            n += 1;
            tokio::spawn(async move {
                while let Some((first, body)) = packet(&mut s).await {
                    let Some(reply) = answer(n, first, &body) else { return };
                    if s.write_all(&reply).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn is_event(first: u8, body: &[u8]) -> bool {
    first >> 4 == 3 && publish_id(body).0.ends_with("/event")
}

/// An acknowledgement by the collector of everything up to `seq`, in an epoch nobody knows.
fn foreign_ack(size: usize) -> Vec<u8> {
    let topic = b"fieldmouse/1/lab/n-1/ack";
    let mut body = vec![0, u8::try_from(topic.len()).unwrap()];
    body.extend_from_slice(topic);
    body.extend_from_slice(&[0, 9, 0]);
    body.resize(body.len() + size, 0);
    frame(0x32, &body)
}

#[tokio::test]
async fn a_broker_that_never_confirms_is_left_and_everything_sent_again() {
    // Silent on its first connection, right on later ones, and with no session: packet ids begin anew.
    let port =
        hostile(
            |n, first, body| {
                if n == 1 && first >> 4 == 3 { Some(Vec::new()) } else { Some(usual(first, body, 0)) }
            },
        );
    let mut rig = Rig::new(&config(port.await), |o| {
        o.watchdog_ms = 300;
        o.batch_bytes = 64;
        o.trust = super::super::delivery::Trust::Broker;
    });
    rig.push(60);
    rig.until(|r| r.outbox.waiting() == 0).await;
    let why = |n: &News| matches!(n, News::Disconnected { why, .. } if why.contains("confirms nothing"));
    assert!(rig.news.iter().any(why) && rig.connections() == 2);
}

#[tokio::test]
async fn a_broker_that_drops_the_connection_at_every_fourth_event() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let port = hostile(|n, first, body| {
        if is_event(first, body) && SEEN.fetch_add(1, Ordering::Relaxed) % 4 == 3 {
            return None;
        }
        Some(usual(first, body, u8::from(n % 2 == 0)))
    });
    let mut rig = Rig::new(&config(port.await), |o| {
        o.batch_bytes = 64;
        o.trust = super::super::delivery::Trust::Broker;
    });
    rig.push(40);
    rig.until(|r| r.outbox.waiting() == 0).await;
    assert!(rig.connections() > 3);
}

#[tokio::test]
async fn refused_events_are_told_kept_and_tried_again_slowly() {
    let port = hostile(|_, first, body| {
        if is_event(first, body) {
            let (_, id) = publish_id(body);
            return Some(frame(0x40, &[id[0], id[1], 0x97, 0]));
        }
        Some(usual(first, body, 0))
    });
    let mut rig = Rig::new(&config(port.await), |_| {});
    rig.push(3);
    rig.until(|r| r.news.iter().any(|n| matches!(n, News::Refused { why, .. } if why == "QuotaExceeded")))
        .await;
    assert_eq!((rig.outbox.waiting(), rig.delivery.refused()), (3, 1));
    let now = clock::mono_ms();
    assert!(rig.delivery.poll(clock::stamp(), &mut rig.outbox).is_none());
    assert!(rig.delivery.deadline().is_some_and(|t| t > now + 60_000));
}

#[tokio::test]
async fn a_message_too_large_to_read_does_not_wedge() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static CLEAN: AtomicUsize = AtomicUsize::new(0);
    // The poison waits in the session: it comes again until the session is dropped.
    let port = hostile(|_, first, body| {
        let mut reply = usual(first, body, 1);
        if first >> 4 == 1 {
            CLEAN.store(usize::from(body[7] & 2), Ordering::Relaxed);
        }
        if first >> 4 == 8 && CLEAN.load(Ordering::Relaxed) == 0 {
            reply.extend(foreign_ack(100_000));
        }
        Some(reply)
    });
    let mut rig = Rig::new(&config(port.await), |o| o.trust = super::super::delivery::Trust::Broker);
    rig.push(10);
    rig.until(|r| r.outbox.waiting() == 0).await;
    assert!(rig.connections() <= 3, "{:?}", rig.news);
}

#[tokio::test]
async fn a_port_that_refuses_is_tried_with_growing_patience() {
    let mut link = start(&config(free_port().await));
    for _ in 0..6 {
        let news = wait_for(&mut link, |n| matches!(n, News::Disconnected { .. })).await;
        assert!(matches!(news, News::Disconnected { retry_in_ms: 5..=400, refused: false, .. }), "{news:?}");
    }
    link.commands.send(Command::Stop).await.unwrap();
    wait_for(&mut link, |n| *n == News::Stopped).await;
    timeout(LIMIT, link.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn nonsense_from_the_broker_ends_the_connection_not_the_agent() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SEED: AtomicU64 = AtomicU64::new(1);
    let port = hostile(|_, first, body| {
        let mut z = SEED.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mut reply = usual(first, body, 1);
        if first >> 4 != 1 {
            for _ in 0..70_000 {
                z = (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9).wrapping_add(1);
                reply.push((z >> 56) as u8);
            }
        }
        Some(reply)
    });
    let mut c = config(port.await);
    (c.retry_min, c.retry_max) = (Span(1), Span(2));
    let mut link = start(&c);
    for _ in 0..100 {
        wait_for(&mut link, |n| matches!(n, News::Disconnected { .. })).await;
    }
}

/// Events of a rig against this broker are all acknowledged by it, in at most so many connections.
async fn ends_well(answer: Answer, connections: usize) {
    let mut rig = Rig::new(&config(hostile(answer).await), |o| {
        o.watchdog_ms = 300;
        o.batch_bytes = 64;
        o.trust = super::super::delivery::Trust::Broker;
    });
    rig.push(60);
    rig.until(|r| r.outbox.waiting() == 0).await;
    assert!(rig.connections() <= connections, "{} connections: {:?}", rig.connections(), rig.news);
}

#[tokio::test]
async fn puback_never_for_one_id_does_not_wedge_when_the_ids_come_round() {
    // The status is never confirmed, so that its id is still taken when the client comes round to it: kept over a
    // reconnect, that is a livelock.
    ends_well(
        |n, first, body| {
            let is_first = first >> 4 == 3 && publish_id(body).1 == [0, 2];
            if n == 1 && is_first { Some(Vec::new()) } else { Some(usual(first, body, 1)) }
        },
        2,
    )
    .await;
}

#[tokio::test]
async fn a_session_that_is_lost_with_everything_on_its_way_loses_nothing() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static EVENTS: AtomicUsize = AtomicUsize::new(0);
    // A whole window is unanswered when the connection falls; the next one has no session and uses the same ids.
    ends_well(
        |n, first, body| {
            if n == 1 && is_event(first, body) {
                match EVENTS.fetch_add(1, Ordering::Relaxed) {
                    0..20 => {}
                    20..27 => return Some(Vec::new()),
                    _ => return None,
                }
            }
            Some(usual(first, body, 0))
        },
        2,
    )
    .await;
}

#[tokio::test]
async fn puback_twice_costs_a_connection_at_most() {
    ends_well(
        |n, first, body| {
            let mut reply = usual(first, body, 1);
            if n <= 2 && is_event(first, body) {
                reply.extend(reply.clone());
            }
            Some(reply)
        },
        3,
    )
    .await;
}

#[tokio::test]
async fn puback_of_an_unknown_id_costs_a_connection_at_most() {
    ends_well(
        |n, first, body| {
            let mut reply = usual(first, body, 1);
            if n == 1 && is_event(first, body) {
                reply.extend(frame(0x40, &[0x27, 0x10]));
            }
            Some(reply)
        },
        2,
    )
    .await;
}

#[tokio::test]
async fn receive_maximum_of_one_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut s, _)) = listener.accept().await {
            while let Some((first, body)) = packet(&mut s).await {
                let mut replies = usual(first, &body, 0);
                if first >> 4 == 1 {
                    replies = frame(0x20, &[0, 0, 3, 33, 0, 1]);
                }
                // Time for a second message before the answer to the first: that would be a breach.
                let patience = Duration::from_millis(if first >> 4 == 3 { 3 } else { 0 });
                while let Ok(Some((more, body))) = timeout(patience, packet(&mut s)).await {
                    if first >> 4 == 3 && more >> 4 == 3 {
                        return;
                    }
                    replies.extend(usual(more, &body, 0));
                }
                if s.write_all(&replies).await.is_err() {
                    break;
                }
            }
        }
    });
    let mut rig = Rig::new(&config(port), |o| {
        o.batch_bytes = 64;
        o.trust = super::super::delivery::Trust::Broker;
    });
    rig.push(60);
    rig.until(|r| r.outbox.waiting() == 0).await;
    assert_eq!(rig.connections(), 1);
}

/// A broker whose answers to events come late, each connection in a task that sleeps.
async fn slow_broker(late: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut s, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Some((first, body)) = packet(&mut s).await {
                    if is_event(first, &body) {
                        tokio::time::sleep(late).await;
                    }
                    if s.write_all(&usual(first, &body, 1)).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_slow_broker_is_waited_for() {
    let mut rig = Rig::new(&config(slow_broker(Duration::from_millis(60)).await), |o| {
        o.watchdog_ms = 2000;
        o.batch_bytes = 64;
        o.trust = super::super::delivery::Trust::Broker;
    });
    rig.push(60);
    rig.until(|r| r.outbox.waiting() == 0).await;
    assert_eq!(rig.connections(), 1, "late is not never");
}

/// A broker that reads and answers on its first connection up to the first ping, and then is as a machine without power:
/// the connection stands, and nobody is there.
async fn half_open(connack: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut n = 0;
        let mut dead = Vec::new();
        while let Ok((mut s, _)) = listener.accept().await {
            n += 1;
            if n == 1 {
                let hello = packet(&mut s).await;
                assert!(hello.is_some());
                s.write_all(connack).await.unwrap();
                // Held, never read.
                dead.push(s);
                continue;
            }
            tokio::spawn(async move {
                while let Some((first, body)) = packet(&mut s).await {
                    if s.write_all(&usual(first, &body, 0)).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_half_open_connection_is_left_though_nothing_is_to_be_sent() {
    // The broker wants a ping every second; the second one finds the first unanswered.
    let mut link = start(&config(half_open(&[0x20, 6, 0, 0, 3, 19, 0, 1]).await));
    let news = wait_for(&mut link, |n| matches!(n, News::Disconnected { .. })).await;
    assert!(matches!(&news, News::Disconnected { refused: false, .. }), "{news:?}");
    wait_for(&mut link, |n| matches!(n, News::Connected { .. })).await;
}

#[tokio::test]
async fn a_half_open_connection_is_left_though_the_broker_asked_for_no_pings() {
    // A keep alive of 18 hours: only our own patience ends this, after three of our own keep alives.
    let mut c = config(half_open(&[0x20, 6, 0, 0, 3, 19, 0xFF, 0xFF]).await);
    c.keep_alive = Span::secs(5);
    let mut link = start(&c);
    let news = wait_for(&mut link, |n| matches!(n, News::Disconnected { .. })).await;
    assert!(
        matches!(&news, News::Disconnected { why, .. } if why.starts_with("the broker is silent")),
        "{news:?}"
    );
    wait_for(&mut link, |n| matches!(n, News::Connected { .. })).await;
}

#[tokio::test]
async fn a_topic_alias_nobody_agreed_upon_does_not_end_the_link() {
    // The client answers with a goodbye of its own, which once was taken for ours.
    ends_well(
        |n, first, body| {
            let mut reply = usual(first, body, 1);
            if n == 1 && first >> 4 == 8 {
                reply.extend(frame(0x32, &[0, 0, 0, 9, 3, 35, 0, 7, b'x']));
            }
            Some(reply)
        },
        2,
    )
    .await;
}
