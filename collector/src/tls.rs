//! TLS towards a broker or an outlet elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::Identity;

/// Where distributions keep the authorities they trust.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What is trusted, and who we are.
///
/// # Errors
/// If a file cannot be read or holds no certificate or key.
pub(crate) fn client(ca: Option<&Path>, identity: Option<&Identity>) -> anyhow::Result<Arc<ClientConfig>> {
    let ca = match ca {
        Some(path) => path.to_owned(),
        None => match SYSTEM.iter().map(PathBuf::from).find(|p| p.exists()) {
            Some(path) => path,
            None => bail!("ca_file: none is given, and the system has no list of authorities"),
        },
    };
    let mut roots = RootCertStore::empty();
    let (added, _bad) = roots.add_parsable_certificates(certificates("ca_file", &ca)?);
    if added == 0 {
        bail!("ca_file {}: holds no certificate that can be used; PEM is wanted", ca.display());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = chain_and_key(identity)?;
            builder.with_client_auth_cert(chain, key).context("cert_file and key_file")?
        }
    }))
}

/// What we show of ourselves.
///
/// # Errors
/// If one of the files cannot be read or holds none.
pub(crate) fn chain_and_key(
    identity: &Identity,
) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = PrivateKeyDer::from_pem_file(&identity.key_file)
        .with_context(|| format!("key_file {}", identity.key_file.display()))?;
    Ok((certificates("cert_file", &identity.cert_file)?, key))
}

/// Whom nobody can convince: for what never speaks TLS and has to have a configuration all the same.
///
/// # Errors
/// If the provider knows no version of TLS.
pub(crate) fn trusting_nobody() -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

/// The certificates in the file that this key names.
///
/// # Errors
/// If it cannot be read or is no PEM.
pub(crate) fn certificates(key: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let context = || format!("{key} {}", path.display());
    let all = CertificateDer::pem_file_iter(path).with_context(context)?;
    all.collect::<Result<Vec<_>, _>>().with_context(context)
}
