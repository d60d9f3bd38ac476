//! Tests of the whole daemon: on a local chain with our contracts, paid by x402's published client.

mod documents;
mod hostile;
#[cfg(feature = "engine")]
mod model;
mod paid;
mod sending;

use std::sync::Arc;

use alloy::{
    primitives::{Address, U256, utils::Unit},
    providers::ext::AnvilApi,
    signers::local::PrivateKeySigner,
    sol_types::SolValue,
};
use plimsoll_testkit::{
    devnet::{Devnet, ITestToken},
    x402,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    config::Config,
    engine::Engine,
    kind::Kind,
    script::{Letters, Script},
};

const TOKEN: &str = "USD Coin";
const MINTED: u64 = 10_000_000;

/// A node that serves on a local chain.
pub(crate) struct Served {
    pub(crate) devnet: Devnet,
    pub(crate) token: Address,
    pub(crate) config: Config,
    pub(crate) url: String,
    payer: PrivateKeySigner,
    signer: PrivateKeySigner,
    server: JoinHandle<eyre::Result<()>>,
    _folder: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A model that needs no download, for tests of everything around it.
pub(crate) fn scripted(queue: usize) -> eyre::Result<Engine> {
    Ok(Engine::new(Kind::load(None)?, Arc::new(Letters::default()), Box::new(Script::default()), queue))
}

impl Served {
    pub(crate) async fn start(engine: Engine) -> eyre::Result<Self> {
        let devnet = Devnet::start().await?;
        x402::place_channels(&devnet).await?;
        let provider = devnet.provider();
        let token = devnet.deploy("ERC3009Token", (TOKEN, U256::from(6)).abi_encode_params()).await?;
        let (payer, signer) = (PrivateKeySigner::random(), PrivateKeySigner::random());
        provider.anvil_set_balance(payer.address(), Unit::ETHER.wei()).await?;
        let minted = ITestToken::new(token, provider);
        let mint = minted.mint(payer.address(), U256::from(MINTED));
        mint.from(devnet.deployer()).send().await?.get_receipt().await?;

        let folder = tempfile::tempdir()?;
        let mut config = Config::parse(include_str!("../node.example.toml"))?;
        config.store = folder.path().join("store.sqlite");
        config.chain.rpc = Some(devnet.node.http_url());
        config.payment.token = token;
        config.payment.min_deposit.0 = 1_000;
        config.limits.unpaid_per_second = 1_000;
        config.keys.authorizer = plimsoll_chain::signer::SignerSource::Anvil(1);
        config.keys.sender = plimsoll_chain::signer::SignerSource::Anvil(2);
        config.claims.interval_seconds = 1;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(Box::pin(crate::serve(config.clone(), engine, listener)));
        Ok(Self { devnet, token, config, url, payer, signer, server, _folder: folder })
    }
}
