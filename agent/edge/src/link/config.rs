//! Where the broker is, and who we are to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldmouse_core::wire::is_name;
use rustls::ClientConfig;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::duration::Span;
use crate::floor::Floor;
use crate::tls::{self, TlsError};

/// The link's part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `mqtt://host:1883` or `mqtts://host:8883`, or a list of them. The one thing that has no default.
    pub url: Urls,
    /// First part of every topic.
    pub root: String,
    /// The site.
    #[serde(skip)]
    pub site: String,
    /// The device; also the client id.
    #[serde(skip)]
    pub node: String,
    /// PEM file of the authority that signed the broker's certificate.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate, if the broker wants one.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
    /// User name.
    pub user: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// How often silence is broken, at least 5 s.
    pub keep_alive: Span,
    /// How long the broker keeps our session.
    pub session_expiry: Span,
    /// For TCP, TLS and MQTT together.
    pub connect_timeout: Span,
    /// First wait after a failure, at most.
    pub retry_min: Span,
    /// Longest wait.
    pub retry_max: Span,
    /// Longest wait if the broker refuses us.
    pub refused_max: Span,
    /// After so long at another broker the first one is looked for.
    #[serde(skip)]
    pub return_after: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: Urls::default(),
            root: "fieldmouse".to_owned(),
            site: "default".to_owned(),
            node: String::new(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            user: None,
            password_file: None,
            keep_alive: Span::secs(600),
            session_expiry: Span::secs(3600),
            connect_timeout: Span::secs(20),
            retry_min: Span::secs(1),
            retry_max: Span::secs(120),
            refused_max: Span::secs(600),
            return_after: Span::secs(600),
        }
    }
}

/// One address, or several in the order in which they are tried. Written as text or as a list of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Urls(pub Vec<String>);

impl From<&str> for Urls {
    fn from(url: &str) -> Self {
        Self(vec![url.to_owned()])
    }
}

impl From<String> for Urls {
    fn from(url: String) -> Self {
        Self(vec![url])
    }
}

impl std::fmt::Display for Urls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl Serialize for Urls {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => to.serialize_str(""),
            [one] => to.serialize_str(one),
            several => several.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Urls;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text, or a list of texts")
            }

            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Urls, E> {
                Ok(url.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Urls, A::Error> {
                let mut urls = Vec::new();
                while let Some(url) = list.next_element()? {
                    urls.push(url);
                }
                Ok(Urls(urls))
            }
        }
        from.deserialize_any(Texts)
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value.
    #[error("{0}: {1}")]
    Value(&'static str, String),
    /// The file that a key names.
    #[error("{0}: {1}")]
    File(&'static str, TlsError),
}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
}

impl Broker {
    /// Reads `mqtts://host:port`.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        let bad = |why: &str| {
            ConfigError::Value("url", format!("`{url}` {why}; write it like mqtts://broker:8883"))
        };
        if url.contains('@') {
            // A password may stand there: it is not shown.
            let why =
                "holds a user; write it like mqtts://broker:8883, with `user` and `password_file` beside it";
            return Err(ConfigError::Value("url", why.to_owned()));
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("has no scheme"))?;
        let (tls, usual) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(bad("has an unknown scheme (mqtt or mqtts)")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', ' ']) {
            return Err(bad("has a path"));
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => rest.rsplit_once(':').map_or((rest, None), |(h, p)| (h, Some(p))),
        };
        let port = match port {
            None | Some("") => usual,
            Some(p) => p.parse().ok().filter(|p| *p > 0).ok_or_else(|| bad("has a port that is none"))?,
        };
        if host.is_empty() {
            return Err(bad("has no host"));
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl std::fmt::Display for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

/// A configuration that was checked, with its files read.
#[derive(Clone)]
pub struct Ready {
    pub(super) config: Config,
    /// In the order in which they are tried; there is at least one.
    pub(super) brokers: Vec<Broker>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) floor: Arc<Floor>,
    pub(super) login: Option<(String, String)>,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ready({:?})", self.brokers)
    }
}

impl Ready {
    /// Where to connect to, in the order in which they are tried.
    #[must_use]
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// The time by which certificates are judged.
    #[must_use]
    pub fn floor(&self) -> &Arc<Floor> {
        &self.floor
    }
}

impl Config {
    /// Checks every value and reads the files.
    ///
    /// # Errors
    /// The first thing that is wrong, by key or by file.
    pub fn check(&self) -> Result<Ready, ConfigError> {
        let value = |key, why: String| Err(ConfigError::Value(key, why));
        if self.url.0.iter().all(String::is_empty) {
            return value("url", "is missing; write it like mqtts://broker:8883".to_owned());
        }
        let brokers: Vec<Broker> = self.url.0.iter().map(|u| Broker::parse(u)).collect::<Result<_, _>>()?;
        if let Some(twice) = (1..brokers.len()).find(|i| brokers[..*i].contains(&brokers[*i])) {
            return value("url", format!("names {} twice", brokers[twice]));
        }
        let is_tls = brokers.iter().any(|b| b.tls);
        for (key, name) in [("root", &self.root), ("site", &self.site), ("node", &self.node)] {
            if !is_name(name) {
                return value(key, format!("`{name}` is not of a-z, 0-9 and -, 1 to 48 of them"));
            }
        }
        if self.keep_alive < Span::secs(5) || self.keep_alive > Span::secs(65_535) {
            return value("keep_alive", format!("{} is not between 5s and 18h", self.keep_alive));
        }
        if self.retry_min.0 == 0 || self.retry_min > self.retry_max || self.retry_max > self.refused_max {
            return value("retry_min", "retry_min, retry_max and refused_max must rise".to_owned());
        }
        if self.connect_timeout < Span::secs(1) {
            return value("connect_timeout", format!("{} is less than 1s", self.connect_timeout));
        }
        let floor = Arc::<Floor>::default();
        let tls = match (&self.ca_file, is_tls) {
            (Some(ca), true) => {
                let identity = match (&self.cert_file, &self.key_file) {
                    (Some(cert), Some(key)) => Some((cert.as_path(), key.as_path())),
                    (None, None) => None,
                    (Some(_), None) => return value("key_file", "is missing beside cert_file".to_owned()),
                    (None, Some(_)) => return value("cert_file", "is missing beside key_file".to_owned()),
                };
                Some(
                    tls::client_config(ca, identity, floor.clone())
                        .map_err(|e| ConfigError::File(self.key_of(&e), e))?,
                )
            }
            (None, true) => return value("ca_file", "is needed for mqtts".to_owned()),
            (_, false) if self.ca_file.is_some() || self.cert_file.is_some() || self.key_file.is_some() => {
                return value("url", "is mqtt, which uses no certificates; write mqtts".to_owned());
            }
            _ => None,
        };
        let login = match (&self.user, &self.password_file) {
            (Some(user), Some(file)) => Some((user.clone(), password(file)?)),
            (Some(user), None) => Some((user.clone(), String::new())),
            (None, Some(_)) => return value("user", "is missing beside password_file".to_owned()),
            (None, None) => None,
        };
        Ok(Ready { config: self.clone(), brokers, tls, floor, login })
    }

    /// The key that names the file of an error.
    fn key_of(&self, error: &TlsError) -> &'static str {
        let (TlsError::Read(at, _) | TlsError::Content(at, _)) = error else { return "ca_file" };
        let files = [("key_file", &self.key_file), ("cert_file", &self.cert_file)];
        files.into_iter().find(|(_, file)| file.as_ref() == Some(at)).map_or("ca_file", |(key, _)| key)
    }
}

/// The password without the newline editors put behind it.
fn password(file: &Path) -> Result<String, ConfigError> {
    let wrong = |e| ConfigError::File("password_file", e);
    let text = std::fs::read_to_string(file).map_err(|e| wrong(TlsError::Read(file.to_path_buf(), e)))?;
    let word = text.trim_end_matches(['\n', '\r']);
    if word.is_empty() {
        return Err(wrong(TlsError::Content(file.to_path_buf(), "no password in it".to_owned())));
    }
    Ok(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let ok = |u: &str| Broker::parse(u).map(|b| (b.host, b.port, b.tls)).unwrap();
        assert_eq!(ok("mqtt://broker"), ("broker".into(), 1883, false));
        assert_eq!(ok("mqtts://b.example.org:9883/"), ("b.example.org".into(), 9883, true));
        assert_eq!(ok("mqtt://[::1]:1884"), ("::1".into(), 1884, false));
        for bad in [
            "broker:1883",
            "http://b",
            "mqtt://",
            "mqtt://u:p@b",
            "mqtt://b/x",
            "mqtt://b:0",
            "mqtt://b:99999",
        ] {
            assert!(Broker::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_by_key() {
        let good = Config { url: "mqtt://b".into(), node: "n-1".into(), ..Config::default() };
        assert!(good.check().is_ok());
        let said = |c: Config| c.check().unwrap_err().to_string();
        assert!(said(Config { node: "N".into(), ..good.clone() }).starts_with("node: `N`"));
        assert!(said(Config { keep_alive: Span::secs(4), ..good.clone() }).starts_with("keep_alive: 4s"));
        assert!(said(Config { url: "mqtts://b".into(), ..good.clone() }).starts_with("ca_file: is needed"));
        assert!(said(Config { ca_file: Some("x".into()), ..good.clone() }).starts_with("url: is mqtt"));
        assert!(said(Config { password_file: Some("x".into()), ..good.clone() }).starts_with("user: "));
        assert!(
            toml::from_str::<Config>("urll = 'x'").unwrap_err().to_string().contains("unknown field `urll`")
        );
        let c: Config = toml::from_str("url = 'mqtt://b'\nkeep_alive = '1m'").unwrap();
        assert_eq!(c.keep_alive, Span::secs(60));
    }

    #[test]
    fn several_brokers_are_a_list() {
        let read = |text: &str| toml::from_str::<Config>(text).map(|c| Config { node: "n-1".into(), ..c });
        let c = read("url = ['mqtt://a', 'mqtt://b:1884']").unwrap();
        let shown: Vec<String> = c.check().unwrap().brokers().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["mqtt://a:1883", "mqtt://b:1884"]);
        assert!(toml::to_string(&c).unwrap().contains("url = [\"mqtt://a\", \"mqtt://b:1884\"]"));
        let said = |text: &str| read(text).unwrap().check().unwrap_err().to_string();
        assert!(said("url = ['mqtt://a', 'mqtt://a:1883']").contains("url: names mqtt://a:1883 twice"));
        assert!(said("url = ['mqtt://a', 'b']").starts_with("url: `b` has no scheme"));
        assert!(said("url = ['mqtt://a', 'mqtts://b']").starts_with("ca_file: is needed"));
        assert!(said("url = []").starts_with("url: is missing"));
        assert!(read("url = 7").unwrap_err().to_string().contains("expected text, or a list of texts"));
    }
}
