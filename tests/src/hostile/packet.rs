//! MQTT 5 packets as bytes, as far as a broker needs them: nothing here is taken from the client under test.

use tokio::io::{AsyncRead, AsyncReadExt};

/// One packet: its first byte and its content. None at the end of the stream.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = from.read_u8().await.ok()?;
    let (mut len, mut shift) = (0usize, 0);
    loop {
        let b = from.read_u8().await.ok()?;
        len |= usize::from(b & 127) << shift;
        shift += 7;
        if b & 128 == 0 {
            break;
        }
    }
    let mut body = vec![0; len];
    from.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

/// A packet with its length in front.
#[must_use]
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
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

/// CONNACK with these properties, without their length.
#[must_use]
pub fn connack(session: bool, code: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![u8::from(session), code, u8::try_from(properties.len()).unwrap()];
    body.extend_from_slice(properties);
    frame(0x20, &body)
}

/// PUBACK.
#[must_use]
pub fn puback(id: u16, reason: u8) -> Vec<u8> {
    let [a, b] = id.to_be_bytes();
    if reason == 0 { frame(0x40, &[a, b]) } else { frame(0x40, &[a, b, reason, 0]) }
}

/// SUBACK.
#[must_use]
pub fn suback(id: u16, codes: &[u8]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.push(0);
    body.extend_from_slice(codes);
    frame(0x90, &body)
}

/// PUBLISH of QoS 0 or 1.
#[must_use]
pub fn publish(topic: &str, id: Option<u16>, retain: bool, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if let Some(id) = id {
        body.extend_from_slice(&id.to_be_bytes());
    }
    body.push(u8::try_from(properties.len()).unwrap());
    body.extend_from_slice(properties);
    body.extend_from_slice(payload);
    frame(0x30 | u8::from(id.is_some()) << 1 | u8::from(retain), &body)
}

/// DISCONNECT.
#[must_use]
pub fn disconnect(reason: u8) -> Vec<u8> {
    frame(0xE0, &[reason, 0])
}

/// PINGRESP.
pub const PINGRESP: [u8; 2] = [0xD0, 0];

/// A PUBLISH that came in.
#[derive(Debug, Clone)]
pub struct Published {
    /// Where to.
    pub topic: String,
    /// Its packet id, if an answer is wanted.
    pub id: Option<u16>,
    /// What.
    pub payload: Vec<u8>,
}

/// Reads a PUBLISH.
#[must_use]
pub fn published(first: u8, body: &[u8]) -> Option<Published> {
    let (len, rest) = body.split_first_chunk::<2>()?;
    let (topic, mut rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    let id = if first & 6 == 0 {
        None
    } else {
        let (id, after) = rest.split_first_chunk::<2>()?;
        rest = after;
        Some(u16::from_be_bytes(*id))
    };
    // The properties of an agent are shorter than 128 bytes.
    let (len, rest) = rest.split_first()?;
    let payload = rest.get(usize::from(*len)..)?.to_vec();
    Some(Published { topic: String::from_utf8(topic.to_vec()).ok()?, id, payload })
}

/// Reads a SUBSCRIBE: its id, and each filter with its options.
#[must_use]
pub fn subscribed(body: &[u8]) -> Option<(u16, Vec<(String, u8)>)> {
    let (id, rest) = body.split_first_chunk::<2>()?;
    let (len, rest) = rest.split_first()?;
    let mut rest = rest.get(usize::from(*len)..)?;
    let mut filters = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let (filter, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let (options, after) = after.split_first()?;
        filters.push((String::from_utf8(filter.to_vec()).ok()?, *options));
        rest = after;
    }
    Some((u16::from_be_bytes(*id), filters))
}

/// Whether a CONNECT asks for a new session.
#[must_use]
pub fn is_clean(connect: &[u8]) -> bool {
    connect.get(7).is_some_and(|flags| flags & 2 != 0)
}
