//! Why the store could not do it, and what helps.

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("database: {}", with_fix(.0.to_string()))]
    Sqlite(rusqlite::Error),
    /// PostgreSQL refused, or cannot be reached.
    #[error("database: {}", whole(.0))]
    Postgres(::postgres::Error),
    /// A column that is absent, or holds what it should not.
    #[error("database: column `{0}` cannot be read")]
    Column(&'static str),
    /// The database was written by a newer collector.
    #[error(
        "database: schema version {found} is newer than this program's {known}; start the program that wrote it, or a newer one"
    )]
    Newer {
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Rows cannot be restored beside others.
    #[error("database: `{0}` has rows already: restore into a new, empty database")]
    NotEmpty(&'static str),
    /// What would be written over.
    #[error("{0} is there already, and nothing is written over; name another place")]
    Exists(String),
    /// A file or folder of a backup or an export.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// A file of an export.
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A read that panicked left the connection locked.
    #[error("database: a connection is unusable after a panic")]
    Poisoned,
    /// A store that only one collector can use.
    #[error("database: sites can be shared out only where the store is PostgreSQL")]
    Alone,
    /// This collector gave up its sites.
    #[error("this collector has left its cluster")]
    Left,
    /// Another collector of the cluster looks after the site.
    #[error("site `{0}` is another collector's by now")]
    Foreign(String),
}

impl StoreError {
    /// Whether another writer was in the way: nothing was changed, and it may be tried again at once.
    pub(super) fn is_conflict(&self) -> bool {
        use ::postgres::error::SqlState;
        let Self::Postgres(e) = self else { return false };
        e.code().is_some_and(|c| {
            [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(c)
        })
    }
}

// Not as a source: whoever prints all sources would print it twice.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<::postgres::Error> for StoreError {
    fn from(error: ::postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// The error with what clients leave to those who look further, each thing once.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(e) = next {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = e.source();
    }
    with_fix(text)
}

fn with_fix(mut text: String) -> String {
    if let Some((_, fix)) = FIXES.iter().find(|(what, _)| text.contains(what)) {
        text.push_str("; ");
        text.push_str(fix);
    }
    text
}

/// What helps when a file is none, or when a server and we do not come to trust each other.
const FIXES: [(&str, &str); 6] = [
    ("cannot be opened", "its folder must exist, and both must be ours to read and write"),
    ("file is not a database", "name another file"),
    (
        "server does not support TLS",
        "`ssl = on` in its postgresql.conf turns it on, sslmode=disable in store.url does without",
    ),
    ("UnknownIssuer", "name the file with the authority of its certificate as store.ca_file"),
    ("not valid for name", "the host in store.url must be one that its certificate names"),
    ("no encryption", "sslmode=require in store.url speaks TLS"),
];
