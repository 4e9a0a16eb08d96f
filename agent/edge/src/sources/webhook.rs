//! `webhook`: what GitHub, GitLab, Gitea, Forgejo, Jenkins and scripts post about jobs, deployments and releases. They are
//! handed to the source `job`. It listens nowhere unless told where, and beyond this machine only with a secret.

use std::path::PathBuf;
use std::sync::Arc;

use fieldmouse_core::series::{Millis, NoData};
use hyper::header::HeaderMap;
use ring::hmac;
use serde::Deserialize;
use tokio::runtime::Handle;

use super::job::unhex;
use super::{Kind, Place, Readings, Source, SourceError};
use crate::http::{Limits, Listen, Request, Response, Route, Server, Token};
use crate::jobs::Inbox;
use crate::jobs::payload::{self, Sender};

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "webhook",
    about: "jobs, deployments and releases that GitHub, GitLab, Gitea, Forgejo, Jenkins or scripts post: facts",
    every_ms: 1000,
    build: |keys, place| Ok(Box::new(Webhook::new(super::config(KIND.name, keys)?, place)?)),
};

/// `[source.webhook]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Address and port; empty: it does not listen.
    listen: String,
    /// The file with the secret by which senders sign.
    secret_file: Option<PathBuf>,
}

const PATH: &str = "/webhook";
/// Payloads of large pipelines name every job; more is nobody's.
const BODY: usize = 512 << 10;
const LIMITS: Limits = Limits {
    body: BODY,
    bodies: 2 * BODY,
    connections: 8,
    patience: std::time::Duration::from_secs(10),
    life: std::time::Duration::from_secs(60),
};

struct Webhook {
    listen: Option<Listen>,
    secret_file: Option<PathBuf>,
    inbox: Inbox,
    server: Option<Server>,
}

impl Webhook {
    fn new(config: Config, place: &Place) -> anyhow::Result<Self> {
        let Config { listen, secret_file } = config;
        let listens = (!listen.is_empty()).then(|| Listen::signed(&listen, secret_file.as_deref()));
        let listen = listens.transpose()?;
        // Who only looks must not take the agent's place.
        let listen = listen.filter(|_| place.state.is_some());
        Ok(Self { listen, secret_file, inbox: place.jobs.clone(), server: None })
    }

    fn start(&self, listen: &Listen) -> std::io::Result<Server> {
        let runtime = Handle::try_current().map_err(std::io::Error::other)?;
        let secret = self.secret_file.as_deref().map(Token::read).transpose()?;
        let inbox = self.inbox.clone();
        let handler = move |request: &Request<'_>| {
            answer(request.headers, request.query, request.body, secret.as_ref(), &inbox)
        };
        let route = Route { method: "POST", path: PATH, kinds: &["application/json"], handler: Arc::new(handler) };
        Server::start(&runtime, listen, LIMITS, vec![route])
    }
}

impl Source for Webhook {
    fn sample(&mut self, _: Millis, _: &mut Readings) -> Result<(), SourceError> {
        let Some(listen) = self.listen.as_ref().filter(|_| self.server.is_none()) else { return Ok(()) };
        match self.start(listen) {
            Ok(server) => {
                log::info!("webhook: listens at http://{}{PATH}", server.address());
                self.server = Some(server);
                Ok(())
            }
            Err(e) => {
                let what = format!("cannot listen: {e}");
                Err(SourceError { path: listen.address().to_string().into(), what, why: NoData::Failed })
            }
        }
    }
}

/// Takes one delivery.
fn answer(headers: &HeaderMap, query: Option<&str>, body: &[u8], secret: Option<&Token>, inbox: &Inbox) -> Response {
    let secrets = ["token=", "secret=", "key="];
    if query.is_some_and(|query| query.split('&').any(|part| secrets.iter().any(|s| part.starts_with(s)))) {
        return Response::text(400, "a secret in the address ends up in logs; send it in a header, or sign with it");
    }
    if secret.is_some_and(|secret| !is_signed(headers, body, secret)) {
        return Response::text(401, "no signature or token of this webhook's secret");
    }
    let run = match payload::parse(sender(headers), body) {
        Err(why) => return Response::text(400, &why),
        Ok(None) => return Response::text(200, "nothing that is told"),
        Ok(Some(run)) => run,
    };
    if inbox.put(run, false) {
        return Response::text(202, "taken");
    }
    Response { retry_after_s: Some(5), ..Response::text(503, "too many wait; is the source `job` off?") }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Gitea and Forgejo say to be GitHub, too; so they are asked first.
fn sender(headers: &HeaderMap) -> Sender<'_> {
    let of = |name| header(headers, name);
    None.or_else(|| of("x-forgejo-event").or_else(|| of("x-gitea-event")).map(Sender::Gitea))
        .or_else(|| of("x-gitlab-event").map(|_| Sender::GitLab))
        .or_else(|| of("x-github-event").map(Sender::GitHub))
        .unwrap_or(Sender::Unsaid)
}

/// GitHub, Gitea and Forgejo sign the body; GitLab sends the secret, as scripts do that cannot sign.
fn is_signed(headers: &HeaderMap, body: &[u8], secret: &Token) -> bool {
    let of = |name| header(headers, name);
    let signature = of("x-hub-signature-256").and_then(|s| s.strip_prefix("sha256="));
    let signatures = [signature, of("x-gitea-signature"), of("x-forgejo-signature")];
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
    let fits = |signature: &str| unhex(signature).is_some_and(|tag| hmac::verify(&key, body, &tag).is_ok());
    signatures.into_iter().flatten().any(fits)
        || of("x-gitlab-token").is_some_and(|token| secret.is(token.as_bytes()))
        || secret.is_bearer(of("authorization").map(str::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"job":"backup","status":"failed"}"#;

    fn secret() -> Token {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "It's a Secret to Everybody\n").unwrap();
        Token::read(&file).unwrap()
    }

    fn said(pairs: &[(&'static str, &str)], query: Option<&str>, body: &[u8], secret: Option<&Token>) -> u16 {
        let headers = pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect();
        answer(&headers, query, body, secret, &Inbox::default()).status
    }

    #[test]
    fn only_who_knows_the_secret_is_heard() {
        let secret = secret();
        let check = |pairs: &[(&'static str, &str)], want: u16| {
            assert_eq!(said(pairs, None, BODY, Some(&secret)), want, "{pairs:?}");
        };
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"It's a Secret to Everybody"), BODY);
        let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let hub = format!("sha256={tag}");
        check(&[("x-hub-signature-256", &hub)], 202);
        check(&[("x-gitea-signature", &tag)], 202);
        check(&[("x-forgejo-signature", &tag)], 202);
        check(&[("x-gitlab-token", "It's a Secret to Everybody")], 202);
        check(&[("authorization", "Bearer It's a Secret to Everybody")], 202);
        check(&[], 401);
        check(&[("x-hub-signature-256", &tag)], 401);
        check(&[("x-hub-signature-256", &hub.replace("=", "=00"))], 401);
        check(&[("x-hub-signature-256", &hub[..hub.len() - 2])], 401);
        check(&[("x-hub-signature-256", "sha256=")], 401);
        check(&[("x-gitlab-token", "It's a secret to everybody")], 401);
        check(&[("x-gitlab-token", "")], 401);
        assert_eq!(said(&[("x-gitea-signature", &tag)], None, b"{}", Some(&secret)), 401, "another body");
    }

    /// The example of GitHub's own documentation.
    #[test]
    fn signatures_are_those_of_github() {
        let headers = HeaderMap::from_iter([(
            "x-hub-signature-256".parse().unwrap(),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17".parse().unwrap(),
        )]);
        assert!(is_signed(&headers, b"Hello, World!", &secret()));
        assert!(!is_signed(&headers, b"Hello, World?", &secret()));
    }

    #[test]
    fn what_is_answered() {
        assert_eq!(said(&[], None, BODY, None), 202);
        assert_eq!(said(&[], Some("token=x"), BODY, None), 400);
        assert_eq!(said(&[], Some("a=1&secret=x"), BODY, None), 400);
        assert_eq!(said(&[], Some("a=1"), BODY, None), 202);
        assert_eq!(said(&[], None, b"no JSON", None), 400);
        assert_eq!(said(&[("x-github-event", "ping")], None, b"{}", None), 200);
        assert_eq!(said(&[("x-github-event", "workflow_run"), ("x-gitea-event", "push")], None, b"{}", None), 200);
        let (inbox, none) = (Inbox::default(), HeaderMap::new());
        let mut said = (0..300).map(|_| answer(&none, None, BODY, None, &inbox));
        let refused = said.find(|answer| answer.status != 202).expect("the inbox has an end");
        assert_eq!((refused.status, refused.retry_after_s), (503, Some(5)));
    }

    #[test]
    fn beyond_this_machine_a_secret_is_needed() {
        let check = |text: &str, want: Option<&str>| {
            let said = (KIND.build)(toml::from_str(text).unwrap(), &Place::default()).err().map(|e| format!("{e:#}"));
            match want {
                None => assert_eq!(said, None, "{text}"),
                Some(want) => assert!(said.as_deref().is_some_and(|s| s.contains(want)), "{text}: {said:?}"),
            }
        };
        check("", None);
        check("listen = \"127.0.0.1:9000\"", None);
        check("listen = \"0.0.0.0:9000\"\nsecret_file = \"/etc/fieldmouse/webhook.secret\"", None);
        check("listen = \"0.0.0.0:9000\"", Some("`listen`: other machines reach `0.0.0.0:9000`; set `secret_file`, too"));
        check("listen = \"9000\"", Some("`listen`: `9000` is no address"));
    }
}
