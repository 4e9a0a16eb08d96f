//! Which database.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::{ConfigError, written, wrong};
use crate::store::check_server;

/// Which database.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// A SQLite file.
    File {
        /// Where.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Server {
        /// `postgres://user@host:port/database`
        url: String,
        /// File with the password. The password itself is never in the configuration.
        #[serde(skip_serializing_if = "Option::is_none")]
        password_file: Option<PathBuf>,
        /// File with the authority of its certificate, unless that is one of the system's.
        #[serde(skip_serializing_if = "Option::is_none")]
        ca_file: Option<PathBuf>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => path.display().fmt(f),
            Self::Server { url, .. } => f.write_str(url),
        }
    }
}

impl Place {
    pub(super) fn mean(w: &written::Store) -> Result<Self, ConfigError> {
        let Some(url) = w.url.clone() else {
            for (key, file) in [("store.password_file", &w.password_file), ("store.ca_file", &w.ca_file)] {
                if file.is_some() {
                    return wrong(key, "only has a meaning beside store.url");
                }
            }
            let path = w.path.clone();
            let path = path.unwrap_or_else(|| "/var/lib/fieldmouse-collector/collector.db".into());
            return Ok(Self::File { path });
        };
        if w.path.is_some() {
            return wrong(
                "store.path",
                "cannot stand beside store.url: the database is a file or on a server",
            );
        }
        let rest = url.split_once("://").map_or(&*url, |(_, rest)| rest);
        // Whoever may read the configuration, or the log, would read it too.
        let user = rest.split(['/', '?']).next().and_then(|place| place.rsplit_once('@'));
        if user.is_some_and(|(user, _)| user.contains(':')) || rest.contains("password=") {
            return wrong(
                "store.url",
                "must not hold the password: write it into a file, and name that as store.password_file",
            );
        }
        match check_server(&url) {
            Ok(false) if w.ca_file.is_some() => {
                wrong("store.ca_file", "needs sslmode=require in store.url: what it says goes in the clear")
            }
            Ok(_) => {
                Ok(Self::Server { url, password_file: w.password_file.clone(), ca_file: w.ca_file.clone() })
            }
            Err(what) => wrong("store.url", &what),
        }
    }
}
