//! Bodies: taken whole within limits, unpacked within limits, and given whole.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use flate2::read::GzDecoder;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::Response;

/// How many bytes all bodies together hold, and may hold.
#[derive(Debug)]
pub(super) struct Ledger {
    held: AtomicUsize,
    most: usize,
}

impl Ledger {
    pub(super) fn new(most: usize) -> Self {
        Self { held: AtomicUsize::new(0), most }
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// A body, and its part of the ledger.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Vec<u8>,
    ledger: Arc<Ledger>,
}

impl Held {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ledger.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Takes a body as it comes.
pub(super) async fn take(mut body: Incoming, most: usize, ledger: &Arc<Ledger>) -> Result<Held, Response> {
    let too_long = || Response::text(413, &format!("more than {most} bytes"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_long());
    }
    // Room that nothing was written to is no memory yet; a body that grows piece by piece leaves holes.
    let said = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut held = Held { bytes: Vec::with_capacity(said), ledger: ledger.clone() };
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| Response::text(400, "the body ended early"))?;
        let Some(data) = frame.data_ref() else { continue };
        if held.bytes.len() + data.len() > most {
            return Err(too_long());
        }
        if !ledger.take(data.len()) {
            return Err(Response::later(429, "too many bytes at once"));
        }
        held.bytes.extend_from_slice(data);
    }
    Ok(held)
}

/// Room for what gzip packed: its end says how long that is. To be made on one and the same thread, whose allocator
/// gets it back: else every thread that ever unpacked keeps some.
pub(super) fn room(packed: &[u8], most: usize) -> Vec<u8> {
    let said = packed.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    Vec::with_capacity(said.clamp(64, most + 64))
}

/// What gzip packed, into such room. A bomb goes off no further than the limit.
pub(super) fn unpack(packed: &[u8], most: usize, mut bytes: Vec<u8>) -> Result<Vec<u8>, Response> {
    let read = GzDecoder::new(packed).take(most as u64 + 1).read_to_end(&mut bytes);
    if bytes.len() > most {
        return Err(Response::text(413, &format!("more than {most} bytes when unpacked")));
    }
    read.map_err(|_| Response::text(400, "the body is no gzip"))?;
    Ok(bytes)
}

/// A body that is given at once.
#[derive(Debug)]
pub(super) struct Whole(Option<Bytes>);

impl Whole {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self((!bytes.is_empty()).then(|| bytes.into()))
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
