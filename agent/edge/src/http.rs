//! A small HTTP/1.1 server, for sources that listen: OTLP, webhooks.
//!
//! ```text
//! Listen (where, and by which token) + Route (method, path, content types, handler) ─► Server
//! ```
//!
//! A source makes its [`Listen`] when it is built, which refuses what may not be, and starts the [`Server`] with its
//! first sample; dropping that closes the listener and every connection. A route's path is exact. A body is taken whole,
//! unpacked if it is gzip, and handed to the handler on a thread that may block, one request at a time, while the
//! agent's loop goes on. What a stranger can make grow has a limit ([`Limits`]), which holds before memory is taken:
//!
//! | what | answer |
//! |---|---|
//! | no such path; another method; another content type or encoding | 404; 405; 415 |
//! | no token or a wrong one, where there is one | 401 |
//! | a body that is too long, packed or unpacked | 413 |
//! | bodies of all requests together too long | 429, Retry-After |
//! | too many connections | 503, Retry-After |
//! | a head or a body that does not come in time | closed, 408 |

mod body;
mod listen;
#[cfg(test)]
pub(crate) mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use body::{Ledger, Whole};
pub use listen::{Listen, Token};

/// What a handler is given: a request with its whole body.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// The path of its route.
    pub path: &'a str,
    /// What stands behind `?`.
    pub query: Option<&'a str>,
    /// Its headers, by lower-case names.
    pub headers: &'a HeaderMap,
    /// The content type in lower case, without parameters; empty if there is none.
    pub kind: &'a str,
    /// The body, unpacked.
    pub body: &'a [u8],
}

/// What it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The content type; none if empty.
    pub kind: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// Seconds after which asking again may help.
    pub retry_after_s: Option<u32>,
}

impl Response {
    /// An answer in words.
    #[must_use]
    pub fn text(status: u16, text: &str) -> Self {
        Self { status, kind: "text/plain", body: format!("{text}\n").into_bytes(), retry_after_s: None }
    }

    fn later(status: u16, text: &str) -> Self {
        Self { retry_after_s: Some(1), ..Self::text(status, text) }
    }
}

/// Answers a request. It may block for a moment.
pub type Handler = Arc<dyn Fn(&Request<'_>) -> Response + Send + Sync>;

/// Who answers what.
#[derive(Clone)]
pub struct Route {
    /// `POST`.
    pub method: &'static str,
    /// `/v1/traces`, exactly.
    pub path: &'static str,
    /// The content types it takes, in lower case. A browser asks before it sends these from a foreign page, and is not
    /// answered; so `text/plain` and forms do not belong here.
    pub kinds: &'static [&'static str],
    /// Who answers.
    pub handler: Handler,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// What a server takes on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body, packed and unpacked.
    pub body: usize,
    /// Bytes of all bodies that are being taken.
    pub bodies: usize,
    /// Connections. As many again are told that there are too many.
    pub connections: usize,
    /// How long a head, and how long a body may take.
    pub patience: Duration,
    /// How long a connection may last.
    pub life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4 << 20,
            bodies: 8 << 20,
            connections: 32,
            patience: Duration::from_secs(10),
            life: Duration::from_secs(300),
        }
    }
}

/// Bytes and lines of a head.
const HEAD: (usize, usize) = (16 << 10, 64);

/// What was asked of a server since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that a handler answered.
    pub taken: u64,
    /// Requests and connections that were turned away, whatever the reason.
    pub refused: u64,
}

/// A running server; dropped, it is closed.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: AbortHandle,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    routes: Vec<Route>,
    token: Option<Token>,
    limits: Limits,
    ledger: Arc<Ledger>,
    /// Handlers take turns.
    turn: Semaphore,
    taken: AtomicU64,
    refused: AtomicU64,
}

impl Server {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the address is taken, or the token cannot be read.
    pub fn start(runtime: &Handle, listen: &Listen, limits: Limits, routes: Vec<Route>) -> io::Result<Self> {
        let token = listen.token()?;
        let listener = std::net::TcpListener::bind(listen.address())?;
        listener.set_nonblocking(true)?;
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let inner = Arc::new(Inner {
            routes,
            token,
            limits,
            ledger: Arc::new(Ledger::new(limits.bodies)),
            turn: Semaphore::new(1),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let address = listener.local_addr()?;
        let task = runtime.spawn(serve(listener, inner.clone())).abort_handle();
        Ok(Self { address, task, inner })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked of it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { taken: read(&self.inner.taken), refused: read(&self.inner.refused) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Its connections end with it.
async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    let most = inner.limits.connections;
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_ended) = open.join_next(), if !open.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if open.len() < 2 * most => {
                    let is_one_too_many = open.len() >= most;
                    open.spawn(talk(stream, inner.clone(), is_one_too_many));
                }
                Ok(_) => inner.refuse(),
                // No file descriptor is left, for one: it comes back or it does not.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }
}

async fn talk(stream: TcpStream, inner: Arc<Inner>, is_one_too_many: bool) {
    let (patience, life) = (inner.limits.patience, inner.limits.life);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let inner = inner.clone();
        async move { Ok::<_, Infallible>(inner.serve(request, is_one_too_many).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD.0)
        .max_headers(HEAD.1)
        // The clock of a device may be unset.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // Ends by itself, or is asked to; whatever goes wrong with it is the other side's trouble.
    if tokio::time::timeout(life, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _over = tokio::time::timeout(patience, connection).await;
    }
}

impl Inner {
    fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    async fn serve(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        is_one_too_many: bool,
    ) -> hyper::Response<Whole> {
        let answer = match is_one_too_many {
            true => Err(Response::later(503, "too many connections")),
            false => self.answer(request).await,
        };
        match answer {
            Ok(answer) => respond(answer),
            Err(refused) => {
                self.refuse();
                let mut answer = respond(refused);
                // What is left of its body is not wanted.
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                answer
            }
        }
    }

    /// Err: it was turned away.
    async fn answer(self: &Arc<Self>, request: hyper::Request<Incoming>) -> Result<Response, Response> {
        let (head, body) = request.into_parts();
        let route = self.route(&head)?;
        let is_packed = is_packed(&head.headers)?;
        let taking = body::take(body, self.limits.body, &self.ledger);
        let taken = tokio::time::timeout(self.limits.patience, taking).await;
        let packed = taken.map_err(|_| Response::text(408, "the body did not come in time"))??;
        let _turn = self.turn.acquire().await;
        let inner = self.clone();
        let room = is_packed.then(|| body::room(packed.bytes(), self.limits.body));
        let handled = tokio::task::spawn_blocking(move || {
            let unpacked =
                room.map(|room| body::unpack(packed.bytes(), inner.limits.body, room)).transpose()?;
            let request = Request {
                method: head.method.as_str(),
                path: head.uri.path(),
                query: head.uri.query(),
                headers: &head.headers,
                kind: &kind(&head.headers),
                body: unpacked.as_deref().unwrap_or(packed.bytes()),
            };
            Ok::<_, Response>((inner.routes[route].handler)(&request))
        });
        let answer = handled.await.map_err(|_| Response::text(500, "the handler failed"))??;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(answer)
    }

    /// The place of the route that takes it.
    fn route(&self, head: &hyper::http::request::Parts) -> Result<usize, Response> {
        let offered = head.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        if self.token.as_ref().is_some_and(|token| !token.is_bearer(offered)) {
            return Err(Response::text(401, "a bearer token is needed"));
        }
        let mut there = self.routes.iter().enumerate().filter(|(_, r)| r.path == head.uri.path()).peekable();
        if there.peek().is_none() {
            return Err(Response::text(404, "nothing is here"));
        }
        let Some((at, route)) = there.find(|(_, r)| r.method == head.method.as_str()) else {
            return Err(Response::text(405, "not by this method"));
        };
        let kind = kind(&head.headers);
        if !route.kinds.is_empty() && !route.kinds.contains(&kind.as_str()) {
            let kinds = route.kinds.join(" or ");
            return Err(Response::text(415, &format!("the content type must be {kinds}")));
        }
        Ok(at)
    }
}

/// The content type in lower case, without parameters.
fn kind(headers: &HeaderMap) -> String {
    let whole = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    whole.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn is_packed(headers: &HeaderMap) -> Result<bool, Response> {
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(Response::text(415, "the content encoding must be gzip or none")),
    }
}

fn respond(answer: Response) -> hyper::Response<Whole> {
    let mut response = hyper::Response::new(Whole::new(answer.body));
    *response.status_mut() = hyper::StatusCode::from_u16(answer.status).unwrap_or_default();
    let headers = response.headers_mut();
    if !answer.kind.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.kind));
    }
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    match answer.status {
        401 => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        405 => headers.insert(header::ALLOW, HeaderValue::from_static("POST")),
        415 => headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        _ => None,
    };
    response
}
