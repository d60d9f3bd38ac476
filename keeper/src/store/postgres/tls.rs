//! TLS to the database, as the URL asks for it: `sslmode` and `sslrootcert` mean what they mean to other clients of
//! PostgreSQL, and a mode that would fall back to plain text, or that checks only a part of a certificate, is refused.

use std::{path::Path, sync::Arc};

use percent_encoding::percent_decode_str;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Name by which TLS servers know PostgreSQL's protocol.
const PROTOCOL: &[u8] = b"postgresql";

/// How the connection is secured.
#[derive(Clone)]
pub(super) enum Security {
    /// Nothing is encrypted.
    Plain,
    /// Encrypted, with a server that proves nothing.
    Encrypted(MakeRustlsConnect),
    /// Encrypted with a server whose certificate names the host and leads to a trusted root.
    Verified(MakeRustlsConnect),
}

/// Reads a URL. Fails with the reason.
pub(super) fn parse(url: &str) -> Result<(tokio_postgres::Config, Security), String> {
    let (mode, root, url) = split(url)?;
    let mut config: tokio_postgres::Config = url.parse().map_err(|error: tokio_postgres::Error| super::text(&error))?;
    let security = match (mode.as_deref(), root) {
        (Some("verify-full"), root) => Security::Verified(verified(root.as_deref())?),
        (_, Some(root)) => {
            return Err(format!("sslrootcert={root} is used with sslmode=verify-full alone: add that to the URL"));
        }
        (None | Some("disable"), None) if config.get_ssl_mode() != SslMode::Require => Security::Plain,
        (Some("require"), None) => Security::Encrypted(unverified()?),
        (None, None) => return Err("write it as a URL, as in postgres://user@host/plimsoll?sslmode=require".to_owned()),
        (Some(other), None) => {
            return Err(format!("sslmode={other} is not supported: use disable, require or verify-full"));
        }
    };
    config.ssl_mode(match security {
        Security::Plain => SslMode::Disable,
        Security::Encrypted(_) | Security::Verified(_) => SslMode::Require,
    });
    Ok((config, security))
}

/// Takes `sslmode` and `sslrootcert` out of a URL.
fn split(url: &str) -> Result<(Option<String>, Option<String>, String), String> {
    let Some((base, query)) = url.split_once('?') else { return Ok((None, None, url.to_owned())) };
    let (mut mode, mut root, mut others) = (None, None, Vec::new());
    for parameter in query.split('&') {
        let place = match parameter.split_once('=') {
            Some(("sslmode", value)) => Some((&mut mode, value)),
            Some(("sslrootcert", value)) => Some((&mut root, value)),
            _ => None,
        };
        match place {
            Some((place, value)) => {
                let decoded = percent_decode_str(value).decode_utf8();
                *place = Some(decoded.map_err(|_| format!("{parameter} is not text"))?.into_owned());
            }
            None => others.push(parameter),
        }
    }
    Ok((mode, root, if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) }))
}

/// Trusts the certificates of a file, or else those that the system trusts.
fn verified(root: Option<&str>) -> Result<MakeRustlsConnect, String> {
    let mut roots = RootCertStore::empty();
    if let Some(root) = root {
        let path = Path::new(root);
        let problem = |error: &dyn std::fmt::Display| {
            format!(
                "sslrootcert={}: {error}; name a file with the certificate of the server's authority",
                path.display()
            )
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| problem(&error))? {
            roots.add(certificate.map_err(|error| problem(&error))?).map_err(|error| problem(&error))?;
        }
        if roots.is_empty() {
            return Err(problem(&"it holds no certificate"));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("the system trusts no certificate: add sslrootcert=FILE to the URL".to_owned());
        }
    }
    connector(|provider| {
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    })
}

fn unverified() -> Result<MakeRustlsConnect, String> {
    connector(|provider| {
        let verifier = Arc::new(AnyServer(Arc::clone(&provider)));
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    })
}

fn connector(
    build: impl FnOnce(Arc<CryptoProvider>) -> Result<ClientConfig, rustls::Error>,
) -> Result<MakeRustlsConnect, String> {
    let mut config = build(Arc::new(aws_lc_rs::default_provider())).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

/// Accepts every certificate whose key the server has, as `sslmode=require` says.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        parse(url).map(|_| ()).unwrap_err()
    }

    #[test]
    fn a_mode_that_could_fall_back_or_verifies_half_is_refused_by_its_name() {
        for mode in ["prefer", "allow", "verify-ca", "full"] {
            let text = problem(&format!("postgres://keeper:secret@db/plimsoll?sslmode={mode}"));
            assert!(text.contains(&format!("sslmode={mode} ")) && text.contains("verify-full"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        let unused = problem("postgres://db/plimsoll?sslmode=require&sslrootcert=/etc/ca.pem");
        assert!(unused.contains("sslrootcert=/etc/ca.pem") && unused.contains("sslmode=verify-full"), "{unused}");
        let missing = problem("postgres://db/plimsoll?sslmode=verify-full&sslrootcert=%2Fnowhere%2Fca.pem");
        assert!(missing.contains("sslrootcert=/nowhere/ca.pem"), "{missing}");
        assert!(problem("host=db sslmode=require").contains("as a URL"));
    }

    #[test]
    fn what_is_said_of_tls_leaves_the_other_parameters_as_they_are() {
        let (config, security) =
            parse("postgres://keeper@a,b/plimsoll?target_session_attrs=read-write&sslmode=require").unwrap();
        assert!(matches!(security, Security::Encrypted(_)) && config.get_ssl_mode() == SslMode::Require);
        assert_eq!((config.get_hosts().len(), config.get_dbname()), (2, Some("plimsoll")));
        for plain in ["postgres://a/plimsoll", "postgres://a/plimsoll?sslmode=disable", "host=a dbname=plimsoll"] {
            let (config, security) = parse(plain).unwrap();
            assert!(matches!(security, Security::Plain) && config.get_ssl_mode() == SslMode::Disable, "{plain}");
        }
    }
}
