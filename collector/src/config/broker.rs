//! The broker: one's own, or somebody's, and never a bit of both.

use super::{Broker, ConfigError, Embedded, Identity, Remote, True, address, written, wrong};

/// What was written of it, as it is meant; none if nobody said which.
pub(super) fn meant(w: written::Broker) -> Result<Option<Broker>, ConfigError> {
    let identity = match (w.cert_file, w.key_file) {
        (Some(cert_file), Some(key_file)) => Some(Identity { cert_file, key_file }),
        (None, None) => None,
        (Some(_), None) => return wrong("broker.key_file", "is needed beside broker.cert_file"),
        (None, Some(_)) => return wrong("broker.cert_file", "is needed beside broker.key_file"),
    };
    if w.embedded == Some(true) {
        for (key, given) in [
            ("broker.url", w.url.is_some()),
            ("broker.user", w.user.is_some()),
            ("broker.password_file", w.password_file.is_some()),
        ] {
            if given {
                return wrong(key, "cannot stand beside broker.embedded = true");
            }
        }
        let listen = address("broker.listen", w.listen.as_deref(), "127.0.0.1:1883")?;
        // Whoever reaches an open broker can speak for any device.
        if !listen.ip().is_loopback() && identity.is_none() && w.allow_plain != Some(true) {
            return wrong(
                "broker.listen",
                "is not on this machine alone: give broker.cert_file and broker.key_file (and broker.ca_file to \
                 demand certificates of devices), or say broker.allow_plain = true",
            );
        }
        if w.ca_file.is_some() && identity.is_none() {
            return wrong("broker.ca_file", "needs broker.cert_file and broker.key_file");
        }
        return Ok(Some(Broker::Embedded(Embedded {
            embedded: True,
            listen,
            allow_plain: w.allow_plain == Some(true),
            tls: identity,
            ca_file: w.ca_file,
        })));
    }
    for (key, given) in
        [("broker.listen", w.listen.is_some()), ("broker.allow_plain", w.allow_plain.is_some())]
    {
        if given {
            return wrong(key, "only has a meaning beside broker.embedded = true");
        }
    }
    let Some(url) = w.url else { return Ok(None) };
    let (tls, rest) = match url.split_once("://") {
        Some(("mqtt", rest)) => (false, rest),
        Some(("mqtts", rest)) => (true, rest),
        _ => return wrong("broker.url", &format!("\"{url}\" does not begin with mqtt:// or mqtts://")),
    };
    // Whoever may read the configuration, or the log, would read it too.
    if rest.contains('@') {
        return wrong(
            "broker.url",
            "must not hold the user: write broker.user, and broker.password_file beside it",
        );
    }
    let Some((host, port)) = host_and_port(rest.trim_end_matches('/'), if tls { 8883 } else { 1883 }) else {
        return wrong("broker.url", &format!("\"{url}\" is not mqtt://host:port or mqtts://host:port"));
    };
    if !tls && (w.ca_file.is_some() || identity.is_some()) {
        return wrong("broker.url", "certificates need mqtts://");
    }
    if w.password_file.is_some() && w.user.is_none() {
        return wrong("broker.user", "is needed beside broker.password_file");
    }
    Ok(Some(Broker::Remote(Remote {
        host,
        port,
        tls,
        url,
        ca_file: w.ca_file,
        identity,
        user: w.user,
        password_file: w.password_file,
    })))
}

fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let bad = |c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '#');
    if host.is_empty() || host.contains(bad) {
        return None;
    }
    let port = port.map_or(Some(default), |p| p.parse().ok())?;
    (port > 0).then(|| (host.to_owned(), port))
}
