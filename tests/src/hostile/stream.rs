//! Bytes that only look like packets: packets of every kind, bent, cut, joined, and plain noise. The link has to survive
//! each stream and to come back for the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fieldmouse::duration::Span;
use fieldmouse::link::{Config, Link};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::dice::Dice;
use super::evil::{ALL, outburst};
use super::packet::{self, PINGRESP, connack, frame, puback, publish, suback};

/// What a broker might say to a client that has just connected.
fn packets(dice: &mut Dice) -> Vec<Vec<u8>> {
    let id = u16::try_from(dice.of(1, 20)).unwrap();
    let some = dice.pick(&ALL);
    let mut all = vec![
        suback(id, &[1, 1]),
        puback(id, 0),
        puback(id, dice.byte()),
        PINGRESP.to_vec(),
        frame(0xE0, &[dice.byte(), 0]),
        frame(0xE0, b"\x8b\x0b\x1f\x00\x03abc\x1c\x00\x02xy"),
        frame(0x50, &id.to_be_bytes()),
        frame(0x62, &id.to_be_bytes()),
        frame(0x70, &id.to_be_bytes()),
        frame(0xB0, &[0, 1, 0, 0]),
        publish("fieldmouse/1/lab/n-1/ack", Some(id), dice.percent(50), &[], &super::collector::ack(7, 3)),
        publish("fieldmouse/1/_collector/c-1/status", None, true, &[], &super::collector::online()),
        publish(
            "a",
            Some(id),
            false,
            &[1, 1, 2, 0, 0, 0, 9, 35, 0, 1, 11, 0x80, 1, 38, 0, 1, b'k', 0, 1, b'v'],
            b"x",
        ),
        connack(true, 0, &[17, 0, 0, 0, 9, 33, 0, 4, 36, 1, 37, 1, 39, 0, 1, 0, 0, 18, 0, 1, b'a', 34, 0, 9]),
        // Any kind, any content, in a frame that is right.
        frame(dice.byte(), &dice.clone().bytes(60)),
    ];
    all.extend(outburst(some, dice).map(|(bytes, _)| bytes));
    all
}

/// A stream of bytes from a seed.
#[must_use]
pub fn bytes(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut out = match dice.below(4) {
        0 => Vec::new(),
        1 => connack(
            dice.percent(50),
            0,
            &[19, 0, dice.byte(), 33, dice.byte() & 1, dice.byte(), 39, 0, 1, 0, dice.byte()],
        ),
        _ => connack(false, 0, &[]),
    };
    let whole = out.len();
    for _ in 0..dice.below(6) {
        let all = packets(&mut dice);
        let mut some = all[dice.below(all.len())].clone();
        for _ in 0..dice.below(4) {
            bend(&mut some, &mut dice);
        }
        out.extend(some);
    }
    if dice.percent(15) && whole > 0 {
        bend(&mut out, &mut dice);
    }
    if dice.percent(10) {
        out.extend(dice.bytes(400));
    }
    out
}

fn bend(packet: &mut Vec<u8>, dice: &mut Dice) {
    if packet.is_empty() {
        return;
    }
    let at = dice.below(packet.len());
    match dice.below(6) {
        0 => packet[at] ^= 1 << dice.below(8),
        1 => packet[at] = dice.byte(),
        2 => packet.truncate(at),
        3 => packet.insert(at, dice.byte()),
        4 => drop(packet.remove(at)),
        _ => packet[at] = dice.pick(&[0, 1, 0x7F, 0x80, 0xFF]),
    }
}

/// Sends the streams of these seeds to links, one connection each, over so many links at once. Answers how many were
/// sent; fewer than asked means that a link did not come back.
pub async fn send_all(first: u64, count: u64, links: u64) -> u64 {
    let sent = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for link in 0..links {
        let sent = sent.clone();
        tasks.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let config = Config {
                url: format!("mqtt://127.0.0.1:{port}").into(),
                node: format!("n-{link}"),
                keep_alive: Span(5000),
                connect_timeout: Span(1000),
                retry_min: Span(1),
                retry_max: Span(2),
                refused_max: Span(2),
                ..Config::default()
            };
            let mut client =
                Link::start(config.check().unwrap(), Box::new(|_| bytes::Bytes::from_static(b"x")));
            let drain = tokio::spawn(async move { while client.news.recv().await.is_some() {} });
            let mut seed = first + link;
            while seed < first + count {
                let Ok(Ok((mut stream, _))) = timeout(Duration::from_secs(10), listener.accept()).await
                else {
                    return;
                };
                // The client speaks first; without that some of the bytes would come before it listens.
                let hello = packet::read(&mut stream).await;
                let gone = stream.write_all(&bytes(seed)).await.is_err();
                let _both = (hello, gone);
                if seed.is_multiple_of(2) {
                    // It reads on until we are silent; else what it has not read is lost with the connection.
                    let mut rest = [0; 256];
                    let read = async {
                        while tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await.is_ok_and(|n| n > 0)
                        {
                        }
                    };
                    let _silent = timeout(Duration::from_millis(3), read).await;
                }
                sent.fetch_add(1, Ordering::Relaxed);
                seed += links;
            }
            drain.abort();
        });
    }
    while tasks.join_next().await.is_some() {}
    sent.load(Ordering::Relaxed)
}
