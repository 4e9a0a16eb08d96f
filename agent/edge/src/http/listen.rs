//! Where a server listens, and by which token it knows who may speak.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ring::digest::{SHA256, digest};

/// A token file needs no more.
const LONGEST: u64 = 4096;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    address: SocketAddr,
    token_file: Option<PathBuf>,
}

impl Listen {
    /// As the keys `listen` and `token_file` say.
    ///
    /// # Errors
    /// If it is no address, or one that other machines reach although there is no token.
    pub fn new(listen: &str, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let address = address(listen, "token_file", token_file)?;
        Ok(Self { address, token_file: token_file.map(ToOwned::to_owned) })
    }

    /// As the keys `listen` and `secret_file` say, where the handlers see to it who may speak: by signatures.
    ///
    /// # Errors
    /// If it is no address, or one that other machines reach although there is no secret.
    pub fn signed(listen: &str, secret_file: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self { address: address(listen, "secret_file", secret_file)?, token_file: None })
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the token, if one is needed.
    ///
    /// # Errors
    /// If the file cannot be read, or there is no token in it.
    pub fn token(&self) -> io::Result<Option<Token>> {
        self.token_file.as_deref().map(Token::read).transpose()
    }
}

fn address(listen: &str, key: &str, file: Option<&Path>) -> anyhow::Result<SocketAddr> {
    let address: SocketAddr = listen
        .parse()
        .with_context(|| format!("`listen`: `{listen}` is no address with a port, such as 127.0.0.1:4318"))?;
    ensure!(
        address.ip().is_loopback() || file.is_some(),
        "`listen`: other machines reach `{listen}`; set `{key}`, too, or listen at 127.0.0.1"
    );
    Ok(address)
}

/// A secret that those who may speak know, too.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl Token {
    /// The text of a file, without white space around it.
    ///
    /// # Errors
    /// If it cannot be read, or is shorter than 16 bytes.
    pub fn read(path: &Path) -> io::Result<Self> {
        let at = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let mut text = Vec::new();
        std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut text)).map_err(at)?;
        let token = text.trim_ascii();
        if token.len() < 16 {
            return Err(at(io::Error::other("a token has at least 16 bytes")));
        }
        Ok(Self(token.to_vec()))
    }

    /// The secret, for signatures.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is it. How long that takes says nothing of it.
    #[must_use]
    pub fn is(&self, offered: &[u8]) -> bool {
        digest(&SHA256, offered).as_ref() == digest(&SHA256, &self.0).as_ref()
    }

    /// Whether it stands in an `Authorization` header.
    #[must_use]
    pub fn is_bearer(&self, offered: Option<&[u8]>) -> bool {
        let scheme = |all: &[u8]| all.get(..7).is_some_and(|s| s.eq_ignore_ascii_case(b"bearer "));
        offered.filter(|all| scheme(all)).is_some_and(|all| self.is(all[7..].trim_ascii()))
    }
}

/// It is never shown.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}
