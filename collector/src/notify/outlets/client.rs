//! One request of an outlet: what goes out, and what the answer means.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::notice::Notice;
use super::queue::Answer;
use super::{Kind, Outlet, alertmanager, webhook};
use crate::tls;

/// A receiver that takes longer has not taken it.
const PATIENCE: Duration = Duration::from_secs(10);
/// So much of what a receiver says is read.
const MOST_SAID: usize = 4096;

/// Sends the notices of one outlet.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) outlet: Outlet,
    page: Option<String>,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// # Errors
    /// If the authority cannot be used.
    pub(super) fn new(outlet: Outlet, page: Option<String>) -> anyhow::Result<Self> {
        let connector = if outlet.url.scheme_str() == Some("https") {
            let tls = tls::client(outlet.ca_file.as_deref(), None)
                .with_context(|| format!("outlet \"{}\"", outlet.name))?;
            HttpsConnectorBuilder::new().with_tls_config((*tls).clone())
        } else {
            // It will not be asked for; there is no other way to a connector of the same type.
            HttpsConnectorBuilder::new().with_tls_config(tls::trusting_nobody()?)
        };
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Self { outlet, page, pool: Pool::builder(TokioExecutor::new()).build(connector) })
    }

    /// Tries once.
    pub(super) async fn send(&self, notice: &Notice, now: u64) -> Answer {
        let request = match self.request(notice, now) {
            Ok(request) => request,
            // A secret that cannot be read may be put right.
            Err(e) => return later(format!("{e:#}")),
        };
        match tokio::time::timeout(PATIENCE, self.exchange(request, now)).await {
            Err(_) => later(format!("{}: no answer within {} s", self.outlet.url, PATIENCE.as_secs())),
            Ok(Err(e)) => later(format!("{}: {e:#}", self.outlet.url)),
            Ok(Ok(answer)) => answer,
        }
    }

    /// Whether its secrets can be used.
    ///
    /// # Errors
    /// Which file cannot, and why.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.token()?;
        self.key()?;
        Ok(())
    }

    fn token(&self) -> anyhow::Result<Option<HeaderValue>> {
        let Some(path) = &self.outlet.token_file else { return Ok(None) };
        let context = || format!("outlet \"{}\", token_file {}", self.outlet.name, path.display());
        let text = std::fs::read_to_string(path).context("cannot read").with_context(context)?;
        let token = HeaderValue::from_str(&format!("Bearer {}", text.trim()));
        let mut token = token.context("no token: one line of visible characters").with_context(context)?;
        token.set_sensitive(true);
        Ok(Some(token))
    }

    fn key(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(path) = &self.outlet.secret_file else { return Ok(None) };
        let context = || format!("outlet \"{}\", secret_file {}", self.outlet.name, path.display());
        let text = std::fs::read_to_string(path).context("cannot read").with_context(context)?;
        Ok(Some(webhook::key(&text).map_err(anyhow::Error::msg).with_context(context)?))
    }

    fn request(&self, notice: &Notice, now: u64) -> anyhow::Result<Request<Full<Bytes>>> {
        let outlet = &self.outlet;
        let body = match outlet.kind {
            Kind::Webhook => webhook::body(notice, self.page.as_deref()),
            Kind::Alertmanager => alertmanager::body(notice, self.page.as_deref(), now),
        };
        let body = serde_json::to_vec(&body)?;
        let mut request = Request::post(outlet.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("user-agent", concat!("fieldmouse-collector/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = self.token()? {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(key) = self.key()? {
            let (id, seconds) = (notice.idempotency_key(), now / 1000);
            request = request
                .header("idempotency-key", &id)
                .header("webhook-timestamp", seconds)
                .header("webhook-signature", webhook::signature(&key, &id, seconds, &body))
                .header("webhook-id", id);
        }
        Ok(request.body(Full::new(body.into()))?)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, now: u64) -> anyhow::Result<Answer> {
        let response = self.pool.request(request).await.map_err(deepest)?;
        let (status, after_ms) = (response.status(), retry_after(&response, now));
        if status.is_success() {
            return Ok(Answer::Taken);
        }
        let said = Limited::new(response.into_body(), MOST_SAID).collect().await;
        let said =
            said.map(|all| String::from_utf8_lossy(&all.to_bytes()).trim().to_owned()).unwrap_or_default();
        let what = format!("{}: {status}{}{said}", self.outlet.url, if said.is_empty() { "" } else { ": " });
        Ok(match status {
            // These are about the message. Whatever else is wrong may be put right.
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => Answer::Refused(what),
            _ => Answer::Later { what, after_ms },
        })
    }
}

fn later(what: String) -> Answer {
    Answer::Later { what, after_ms: None }
}

/// The client's own words say little; what lies below says why.
fn deepest(e: hyper_util::client::legacy::Error) -> anyhow::Error {
    let e = anyhow::Error::from(e);
    anyhow::anyhow!("{}", e.chain().skip(1).last().map_or_else(|| e.to_string(), ToString::to_string))
}

/// `Retry-After` in milliseconds: seconds, or a date.
fn retry_after<T>(response: &Response<T>, now: u64) -> Option<u64> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1000);
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(u64::try_from(at.as_millis()).ok()?.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_may_ask_for_time() {
        let check = |text: &str, wanted: Option<u64>| {
            let response = Response::builder().header(RETRY_AFTER, text).body(()).unwrap();
            assert_eq!(retry_after(&response, 784_111_777_000), wanted, "{text}");
        };
        check("120", Some(120_000));
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000));
        check("Sun, 06 Nov 1994 08:49:27 GMT", Some(0));
        check("soon", None);
        check("-1", None);
    }
}
