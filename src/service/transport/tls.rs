//! Certificates: from PEM files to what connections are made with, or what is wrong with which file.
//!
//! As a server we show ours, and ask a client for one where `verify_client` says so. As a client we show ours if we are asked,
//! and believe a server only on the word of `ca`, by the name that the configuration calls it. Source: RFC 3261 §26.3.1,
//! RFC 5922 §7 (SIP identities in certificates).

use super::streams::Names;
use crate::base::transport::Transport;
use crate::config::{Config, Tls, TlsFile};
use crate::sip::wire::{Host, Uri};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::Path as File;
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What TLS connections are made with.
#[derive(Clone)]
pub struct TlsSetup {
    /// For peers that connect to us.
    pub(super) acceptor: TlsAcceptor,
    /// For our own connections; `None` without `ca`, because nobody could be believed.
    pub(super) connector: Option<TlsConnector>,
}

/// What is wrong, file by file.
pub type Faults = Vec<(TlsFile, String)>;

/// Reads the files.
///
/// # Errors
/// All files that cannot be used, each with why.
pub fn load(files: &Tls) -> Result<TlsSetup, Faults> {
    let (cert, key) = (chain(&files.cert), private_key(&files.key));
    let roots = files.ca.as_deref().map(authorities).transpose();
    let mut faults = Vec::new();
    let mut note = |file, says: &String| faults.push((file, says.clone()));
    cert.as_ref()
        .err()
        .into_iter()
        .for_each(|says| note(TlsFile::Cert, says));
    key.as_ref()
        .err()
        .into_iter()
        .for_each(|says| note(TlsFile::Key, says));
    roots
        .as_ref()
        .err()
        .into_iter()
        .for_each(|says| note(TlsFile::Ca, says));
    let (Ok(cert), Ok(key), Ok(roots)) = (cert, key, roots) else {
        return Err(faults);
    };
    let acceptor = acceptor(files, &cert, &key, roots.as_ref())?;
    let connector = roots.map(|roots| connector(cert, key, roots)).transpose()?;
    Ok(TlsSetup {
        acceptor,
        connector,
    })
}

/// Faults in words.
pub(super) fn told(faults: &Faults) -> String {
    let one = |(file, says): &(TlsFile, String)| {
        let key = match file {
            TlsFile::Cert => "sip.tls.cert",
            TlsFile::Key => "sip.tls.key",
            TlsFile::Ca => "sip.tls.ca",
        };
        format!("{key} {says}")
    };
    faults.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What the certificates of targets must say, where the configuration calls them by name.
pub(super) fn names(config: &Config) -> Names {
    let targets = config.hotlines.iter().flat_map(|hotline| &hotline.targets);
    let over_tls = targets.filter(|target| target.transport == Transport::Tls);
    let named = over_tls.filter_map(|target| match Uri::parse(&target.uri).ok()?.host()? {
        Host::Domain(name) => Some((target.address, name.clone())),
        Host::Ip(_) => None,
    });
    named.collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn chain(file: &File) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(|all| all.collect::<Result<Vec<_>, _>>())
        .map_err(|error| format!("cannot be read: {error}"))?;
    match certificates.is_empty() {
        true => Err("holds no certificate in PEM form".into()),
        false => Ok(certificates),
    }
}

fn private_key(file: &File) -> Result<Arc<PrivateKeyDer<'static>>, String> {
    let key = PrivateKeyDer::from_pem_file(file);
    key.map(Arc::new)
        .map_err(|error| format!("cannot be read: {error}"))
}

fn authorities(file: &File) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(file)? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
    }
    Ok(Arc::new(roots))
}

fn acceptor(
    files: &Tls,
    cert: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    roots: Option<&Arc<RootCertStore>>,
) -> Result<TlsAcceptor, Faults> {
    let with_versions = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| vec![(TlsFile::Cert, error.to_string())])?;
    let with_clients = match roots.filter(|_| files.verify_client) {
        None => with_versions.with_no_client_auth(),
        Some(roots) => {
            let built = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
            let verifier = built.build();
            let verifier = verifier.map_err(|error| vec![(TlsFile::Ca, error.to_string())])?;
            with_versions.with_client_cert_verifier(verifier)
        }
    };
    let config = with_clients
        .with_single_cert(cert.to_vec(), key.clone_key())
        .map_err(pair_fault)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn connector(
    cert: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    roots: Arc<RootCertStore>,
) -> Result<TlsConnector, Faults> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    let verifier = verifier.map_err(|error| vec![(TlsFile::Ca, error.to_string())])?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| vec![(TlsFile::Cert, error.to_string())])?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(cert, key.clone_key())
        .map_err(pair_fault)?;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Certificate and key were read, but do not go together.
fn pair_fault(error: rustls::Error) -> Faults {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            vec![(TlsFile::Key, "is not the key of sip.tls.cert".into())]
        }
        rustls::Error::InvalidCertificate(_) => {
            vec![(TlsFile::Cert, format!("cannot be used: {error}"))]
        }
        error => vec![(TlsFile::Key, format!("cannot be used: {error}"))],
    }
}
