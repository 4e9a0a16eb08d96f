//! The link against brokers that misbehave.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::tests::*;
use super::*;
use crate::clock;
use crate::duration::Span;

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
        o.trust = super::delivery::Trust::Broker;
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
        o.trust = super::delivery::Trust::Broker;
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
    let mut rig = Rig::new(&config(port.await), |o| o.trust = super::delivery::Trust::Broker);
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
