//! A PostgreSQL server, and how it is spoken to.
//!
//! What leaves this machine is encrypted, and whoever answers has to show that he is the server, unless the address says
//! in so many words that it goes in the clear (`sslmode=disable`). There is no way to encrypt without knowing to whom:
//! libpq's `require` means `verify-full` here, and what tries TLS and does without if it fails is refused.

use std::path::Path;

use ::postgres::Config;
use ::postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls;

/// What a URL of a server looks like.
const SHAPE: &str = "postgres://user@host:port/database";

/// Where a server is, who we are there, and whom we trust.
#[derive(Clone)]
pub struct Server {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    /// What people may read of it.
    pub(super) place: String,
}

impl Server {
    /// The server at this address, with its password, if it wants one, and the authority of its certificate, if it is
    /// not one of the system's.
    ///
    /// # Errors
    /// As [`check`], or if the file of the authority cannot be used.
    pub fn new(url: &str, password: Option<&str>, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut config = parse(url).map_err(anyhow::Error::msg)?;
        let is_encrypted = config.get_ssl_mode() == SslMode::Require;
        let tls = if is_encrypted { (*tls::client(ca_file, None)?).clone() } else { tls::trusting_nobody()? };
        if let Some(password) = password {
            config.password(password);
        }
        Ok(Self { config, tls: MakeRustlsConnect::new(tls), place: url.to_owned() })
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Whether what goes to this address is encrypted.
///
/// # Errors
/// A sentence, if it is no address of a server, or leaves open whether it is.
pub(crate) fn check(url: &str) -> Result<bool, String> {
    Ok(parse(url)?.get_ssl_mode() == SslMode::Require)
}

fn parse(url: &str) -> Result<Config, String> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(format!("\"{url}\" is not {SHAPE}"));
    }
    let wanted = url.split(['?', '&']).skip(1).find_map(|part| part.strip_prefix("sslmode="));
    if let Some(mode) = wanted.filter(|mode| !["disable", "require", "verify-full"].contains(mode)) {
        return Err(format!(
            "sslmode={mode} is not disable (in the clear) or require (by TLS; the certificate is always verified)"
        ));
    }
    let url = url.replace("sslmode=verify-full", "sslmode=require");
    let mut config: Config = url.parse().map_err(|e| format!("\"{url}\" is not {SHAPE}: {e}"))?;
    if wanted.is_none() {
        let is_near = !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_here);
        config.ssl_mode(if is_near { SslMode::Disable } else { SslMode::Require });
    }
    Ok(config)
}

/// Whether a host is this machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_the_address_says_otherwise() {
        let check = |url: &str, said: Result<bool, &str>| match (super::check(url), said) {
            (Ok(is_encrypted), said) => assert_eq!(Ok(is_encrypted), said, "{url}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{url}: {why}"),
            (Err(why), Ok(_)) => panic!("{url}: {why}"),
        };
        check("postgres://u@db.example/f", Ok(true));
        check("postgres://u@10.0.0.7:5433/f?connect_timeout=3", Ok(true));
        check("postgres://u@db.example/f?sslmode=disable", Ok(false));
        check("postgres://u@localhost/f", Ok(false));
        check("postgresql://u@127.0.0.1:5433/f", Ok(false));
        check("postgres://u@%2Frun%2Fpostgresql/f", Ok(false));
        check("postgres://u@localhost/f?sslmode=require", Ok(true));
        check("postgres://u@localhost/f?application_name=x&sslmode=verify-full", Ok(true));
        // One of two is elsewhere.
        check("postgres://u@localhost,db.example/f", Ok(true));
        check("postgres://u@db/f?sslmode=prefer", Err("sslmode=prefer"));
        check("postgres://u@db/f?sslmode=verify-ca", Err("disable (in the clear) or require"));
        check("postgres://u@db:x/f", Err(SHAPE));
        check("mysql://u@db/f", Err(SHAPE));
    }
}
