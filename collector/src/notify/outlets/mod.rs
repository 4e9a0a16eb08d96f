//! Outlets: who tells people. Each has its own queue of notices in the store, so that nothing that is to be told is lost
//! when this process dies, and everything it sends has a key that stays the same however often it is sent.

mod alertmanager;
mod client;
mod notice;
mod queue;
mod sender;
mod webhook;

use std::path::PathBuf;

use fieldmouse_core::wire;
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

pub use notice::{Event, Notice, notices};
pub use queue::{Answer, State, backoff_ms};
pub use sender::{Counts, Mine, Outlets};

/// After so many tries in vain a notice is given up: about a day.
const TRIES: u32 = 300;

/// `[[outlet]]`, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutletTable {
    /// What policies call it: `[a-z0-9-]`, 1 to 48 characters.
    pub name: String,
    /// How it tells.
    pub kind: Kind,
    /// Where: `https://…`; of Alertmanager without its path.
    pub url: String,
    /// The file that holds the secret with which a webhook's requests are signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The file that holds a bearer token, if one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Authority of the server's certificate; the system's if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// After so many tries in vain a notice is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// File and line.
    #[serde(skip)]
    pub place: String,
}

/// How an outlet tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A signed request for every notice.
    Webhook,
    /// Alerts for Prometheus' Alertmanager, by version 2 of its API.
    Alertmanager,
}

/// An outlet, as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    /// What policies call it.
    pub name: String,
    /// How it tells.
    pub kind: Kind,
    /// Where requests go.
    pub url: http::Uri,
    /// The file that holds the secret.
    pub secret_file: Option<PathBuf>,
    /// The file that holds the token.
    pub token_file: Option<PathBuf>,
    /// Authority of the server's certificate.
    pub ca_file: Option<PathBuf>,
    /// After so many tries in vain a notice is given up.
    pub tries: u32,
}

impl OutletTable {
    pub(super) fn outlet(&self) -> Result<Outlet, ConfigError> {
        let error =
            |key: &str, what: String| ConfigError::of_table(&self.place, "outlet", &self.name, key, what);
        if !wire::is_name(&self.name) {
            return Err(error("name", "is not a name: [a-z0-9-], 1 to 48 characters".to_owned()));
        }
        let path = match self.kind {
            Kind::Webhook => "",
            Kind::Alertmanager => "/api/v2/alerts",
        };
        let base = if path.is_empty() { &*self.url } else { self.url.trim_end_matches('/') };
        let url = web(&format!("{base}{path}")).ok_or_else(|| {
            error("url", format!("\"{}\" is not https://host/path or http://host:port", self.url))
        })?;
        match (self.kind, &self.secret_file) {
            (Kind::Webhook, None) => {
                let what = "is needed: a file with the secret by which the receiver knows that it is us";
                return Err(error("secret_file", what.to_owned()));
            }
            (Kind::Alertmanager, Some(_)) => {
                return Err(error(
                    "secret_file",
                    "is for webhooks; Alertmanager knows no signatures".to_owned(),
                ));
            }
            _ => {}
        }
        if self.ca_file.is_some() && url.scheme_str() == Some("http") {
            return Err(error("ca_file", "needs https://".to_owned()));
        }
        let tries = self.tries.unwrap_or(TRIES);
        if tries == 0 {
            return Err(error("tries", "must be 1 or more".to_owned()));
        }
        Ok(Outlet {
            name: self.name.clone(),
            kind: self.kind,
            url,
            secret_file: self.secret_file.clone(),
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
            tries,
        })
    }
}

/// An address of the web, whole.
pub(super) fn web(text: &str) -> Option<http::Uri> {
    let uri: http::Uri = text.parse().ok()?;
    (matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()).then_some(uri)
}

#[cfg(test)]
mod tests;
