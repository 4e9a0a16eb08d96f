//! Which database.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::{ConfigError, written, wrong};

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
            if w.password_file.is_some() {
                return wrong("store.password_file", "only has a meaning beside store.url");
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
        const SHAPE: &str = "postgres://user@host:port/database";
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let Some(rest) = rest else {
            return wrong("store.url", &format!("\"{url}\" is not {SHAPE}"));
        };
        // Whoever may read the configuration, or the log, would read it too.
        let user = rest.split(['/', '?']).next().and_then(|place| place.rsplit_once('@'));
        if user.is_some_and(|(user, _)| user.contains(':')) || rest.contains("password=") {
            return wrong(
                "store.url",
                "must not hold the password: write it into a file, and name that as store.password_file",
            );
        }
        match url.parse::<postgres::Config>() {
            Ok(_) => Ok(Self::Server { url, password_file: w.password_file.clone() }),
            Err(e) => wrong("store.url", &format!("\"{url}\" is not {SHAPE}: {e}")),
        }
    }
}
