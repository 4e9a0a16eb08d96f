//! TLS to the broker: the given authority and nothing else, optionally our own certificate. Errors name the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

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
///
/// # Errors
/// If a file cannot be read, holds nothing usable, or key and certificate do not belong together.
pub fn client_config(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(ca)? {
        roots.add(cert).map_err(|e| TlsError::Content(ca.to_path_buf(), format!("not an authority: {e}")))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
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
        let said = |path: &Path| client_config(path, None).unwrap_err().to_string();
        assert!(said(&dir.path().join("none.pem")).contains("none.pem: No such file"));
        assert!(
            said(&file("empty.pem", "hello")).ends_with("empty.pem: no certificate in it; PEM is expected")
        );
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(said(&file("junk.pem", junk)).contains("junk.pem: not an authority"));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(said(&file("cut.pem", cut)).contains("cut.pem: malformed PEM"));
    }
}
