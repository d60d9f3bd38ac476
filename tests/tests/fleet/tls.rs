//! The connection to the database, encrypted and with a server that has proven who it is.

use std::{fs, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use eyre::{ContextCompat, ensure};
use plimsoll_chain::secret::Secret;
use plimsoll_keeper::{
    config,
    store::{Identity, Server},
};
use plimsoll_testkit::postgres::Postgres;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};

const IDENTITY: Identity = Identity { chain_id: 1, genesis: B256::ZERO, core: Address::ZERO, rewards: None };

/// An authority, and what it has signed for a server with this name: certificate of the authority, then certificate and key
/// of the server, in PEM.
fn certificates(name: &str) -> eyre::Result<[String; 3]> {
    let named = |params: &mut CertificateParams, name: String| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
    };
    let mut authority = CertificateParams::default();
    named(&mut authority, format!("authority {}", B256::random()));
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let root = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut of_server = CertificateParams::new([name.to_owned()])?;
    named(&mut of_server, name.to_owned());
    let certificate = of_server.signed_by(&key, &issuer)?.pem();
    Ok([root, certificate, key.serialize_pem()])
}

async fn open(url: String) -> Result<Server, String> {
    let url = Arc::new(Secret::new(url));
    let settings = config::Postgres { url, lease: Duration::from_secs(6), name: "a".to_owned() };
    Server::open(&settings, &IDENTITY).await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_encrypted_and_the_server_is_the_right_one_where_the_url_says_so() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let [root, certificate, key] = certificates("localhost")?;
    let [other_root, ..] = certificates("localhost")?;
    let mut server = Postgres::start().await?;
    server.require_tls(&certificate, &key)?;
    let (_, port) =
        server.address()?.split_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).wrap_err("no port")?;
    let file = |name: &str, content: &str| -> eyre::Result<String> {
        let path = folder.path().join(name);
        fs::write(&path, content)?;
        Ok(path.to_str().wrap_err("a path that is no text")?.to_owned())
    };
    let (trusted, foreign) = (file("root.pem", &root)?, file("other.pem", &other_root)?);
    let url = |host: &str, parameters: &str| format!("postgres://keeper@{host}:{port}/postgres{parameters}");

    let plain = open(url("localhost", "")).await.err().wrap_err("it is not encrypted")?;
    ensure!(plain.contains("no encryption"), "{plain}");
    let encrypted = open(url("localhost", "?sslmode=require")).await.map_err(|error| eyre::eyre!(error))?;
    ensure!(encrypted.security() == (true, false));
    encrypted.measure().await?;

    let full = |root: &str| format!("?sslmode=verify-full&sslrootcert={root}");
    let verified = open(url("localhost", &full(&trusted))).await.map_err(|error| eyre::eyre!(error))?;
    ensure!(verified.security() == (true, true));
    verified.measure().await?;
    for (host, root, problem) in
        [("localhost", foreign.as_str(), "UnknownIssuer"), ("127.0.0.1", trusted.as_str(), "not valid for name")]
    {
        let refused = open(url(host, &full(root))).await.err().wrap_err("another server is trusted")?;
        ensure!(refused.contains(problem), "{refused}");
    }
    let system = open(url("localhost", "?sslmode=verify-full")).await.err().wrap_err("the system trusts the test")?;
    ensure!(system.contains("certificate") || system.contains("UnknownIssuer"), "{system}");
    let empty = open(url("localhost", &full(&file("empty.pem", "")?))).await.err().wrap_err("nothing is trusted")?;
    ensure!(empty.contains("empty.pem") && empty.contains("no certificate"), "{empty}");
    Ok(())
}
