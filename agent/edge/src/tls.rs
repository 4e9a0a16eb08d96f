//! TLS to the broker: the given authority and nothing else, optionally our own certificate. Errors name the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::floor::Floor;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file is not what it should be.
    #[error("{0}: {1}")]
    Content(PathBuf, String),
    /// The library refuses.
    #[error("TLS: {0}")]
    Library(#[from] rustls::Error),
}

fn open(file: &Path, e: pem::Error, what: &str) -> TlsError {
    match e {
        pem::Error::Io(e) => TlsError::Read(file.to_path_buf(), e),
        pem::Error::NoItemsFound => {
            TlsError::Content(file.to_path_buf(), format!("no {what} in it; PEM is expected"))
        }
        e => TlsError::Content(file.to_path_buf(), format!("malformed PEM: {e}")),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|e| open(file, e, "certificate"))?.collect();
    let found = found.map_err(|e| open(file, e, "certificate"))?;
    if found.is_empty() {
        return Err(open(file, pem::Error::NoItemsFound, "certificate"));
    }
    Ok(found)
}

/// A configuration that trusts the authorities of `ca` alone and shows `identity` (certificate chain, key) if asked.
/// Certificates are judged by the time of `floor`.
///
/// # Errors
/// If a file cannot be read, holds nothing usable, or key and certificate do not belong together.
pub fn client_config(
    ca: &Path,
    identity: Option<(&Path, &Path)>,
    floor: Arc<Floor>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(ca)? {
        roots.add(cert).map_err(|e| TlsError::Content(ca.to_path_buf(), format!("not an authority: {e}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, floor)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| open(key, e, "private key"))?;
            builder.with_client_auth_cert(chain, secret).map_err(|e| {
                TlsError::Content(key.to_path_buf(), format!("does not go with {}: {e}", cert.display()))
            })?
        }
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let said = |path: &Path| client_config(path, None, Arc::default()).unwrap_err().to_string();
        assert!(said(&dir.path().join("none.pem")).contains("none.pem: No such file"));
        assert!(
            said(&file("empty.pem", "hello")).ends_with("empty.pem: no certificate in it; PEM is expected")
        );
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(said(&file("junk.pem", junk)).contains("junk.pem: not an authority"));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(said(&file("cut.pem", cut)).contains("cut.pem: malformed PEM"));
    }

    fn openssl(dir: &Path, args: &str) {
        let done = std::process::Command::new("openssl").args(args.split(' ')).current_dir(dir).output();
        let done = done.unwrap_or_else(|e| panic!("openssl: {e}; install it: apt-get install openssl"));
        assert!(done.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A broker whose certificate is valid for two days from now.
    fn server(dir: &Path) -> rustls::ServerConfig {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(dir, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca"));
        openssl(dir, &format!("req {key} -keyout b.key -out b.csr -subj /CN=b"));
        std::fs::write(dir.join("san"), "subjectAltName=DNS:localhost\n").unwrap();
        openssl(
            dir,
            "x509 -req -in b.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out b.pem -extfile san",
        );
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                certificates(&dir.join("b.pem")).unwrap(),
                PrivateKeyDer::from_pem_file(dir.join("b.key")).unwrap(),
            )
            .unwrap()
    }

    /// What the client says of the server's certificate.
    fn handshake(client: Arc<ClientConfig>, server: &Arc<rustls::ServerConfig>) -> Result<(), rustls::Error> {
        let mut server = rustls::ServerConnection::new(server.clone()).unwrap();
        let mut client = rustls::ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn with_a_clock_that_was_never_set_certificates_are_judged_by_the_floor() {
        const TEN_YEARS_S: u64 = 315_360_000;
        let dir = tempfile::tempdir().unwrap();
        let server = Arc::new(server(dir.path()));
        let now = crate::clock::wall_s();
        let check = |clock: fn() -> u64, floor_s: u64, wanted: &str| {
            let floor = Arc::new(Floor::over(clock));
            floor.raise(floor_s);
            let client = client_config(&dir.path().join("ca.pem"), None, floor.clone()).unwrap();
            let said = match handshake(client, &server) {
                Ok(()) => "accepted".to_owned(),
                Err(e) => crate::link::words_of_tls(&e, &floor),
            };
            assert!(said.contains(wanted), "{said}");
        };
        check(|| 0, now, "accepted");
        check(|| 0, now + 3 * 86_400, "certificate expired: it was valid until");
        check(|| 0, 0, "certificate not valid yet");
        check(crate::clock::wall_s, 0, "accepted");
        check(|| crate::clock::wall_s() + TEN_YEARS_S, 0, "this device's clock says 203");
    }
}
