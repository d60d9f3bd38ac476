//! An Anvil of our own, on a port that the system chooses, with nothing left behind when it goes.

use std::time::Duration;

use alloy::{
    network::{Ethereum, EthereumWallet},
    primitives::Address,
    providers::{DynProvider, Provider, ProviderBuilder, ext::AnvilApi},
};
use eyre::ContextCompat;
use plimsoll_chain::{endpoint::Endpoint, local::LocalChain, signer::SignerSource};

use crate::{
    fees::GasWithMargin,
    toolchain::{
        process::Process,
        scratch::ScratchFolder,
        tools::{Tool, Tools},
    },
};

/// How many accounts with ether, and with keys that everybody knows, an Anvil starts with.
pub const ACCOUNTS: usize = 10;

/// How soon who sends without a key asks again whether it is mined: hundreds of transactions, each in a block of its own,
/// would wait a quarter of a second each.
const POLL: Duration = Duration::from_millis(10);
/// What Anvil prints once it answers, before its address.
const READY: &str = "Listening on ";

/// A running Anvil. Dropping it ends it.
#[derive(Debug)]
pub struct Node {
    provider: DynProvider,
    accounts: [Address; ACCOUNTS],
    address: String,
    process: Process,
    // Anvil's scratch space: declared, and so removed, after the process.
    _scratch: ScratchFolder,
}

impl Node {
    /// Starts an Anvil with further arguments and waits until it answers. Where they name no `--port`, the system
    /// chooses a free one. Fails with Anvil's own words, for example when the port is in use.
    pub async fn start(tools: &Tools, arguments: &[&str]) -> eyre::Result<Self> {
        let scratch = ScratchFolder::new("plimsoll-anvil-")?;
        let mut command = tools.command(Tool::Anvil)?;
        if !arguments.contains(&"--port") {
            command.args(["--port", "0"]);
        }
        command.arg("--cache-path").arg(scratch.path()).args(arguments);
        let start = move || Process::start("anvil", command, |line| Some(line.strip_prefix(READY)?.to_owned()));
        let (process, address) = tokio::task::spawn_blocking(start).await??;

        let endpoint: Endpoint = format!("http://{address}").parse()?;
        let client = endpoint.client().await?;
        let local = LocalChain::detect(&endpoint, &client).await?;
        let mut wallet = EthereumWallet::default();
        let mut accounts = [Address::ZERO; ACCOUNTS];
        for (index, account) in accounts.iter_mut().enumerate() {
            let signer = SignerSource::Anvil(index).load(local)?;
            *account = signer.address();
            wallet.register_signer(signer);
        }
        let provider = ProviderBuilder::<_, _, Ethereum>::default()
            .filler(GasWithMargin::default())
            .with_cached_nonce_management()
            .fetch_chain_id()
            .wallet(wallet)
            .connect_client(client)
            .erased();
        // A line per request would be written for nobody, and cost a measurement its precision.
        provider.anvil_set_logging(false).await?;
        Ok(Self { provider, accounts, address, process, _scratch: scratch })
    }

    /// Signs for every one of the node's own accounts: a request names the one it wants in `from`.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// A provider through which anybody sends, without a key: the node signs for whoever a transaction is from.
    pub async fn impersonating(&self) -> eyre::Result<DynProvider> {
        let endpoint: Endpoint = self.http_url().parse()?;
        let client = endpoint.client().await?.with_poll_interval(POLL);
        let provider = ProviderBuilder::<_, _, Ethereum>::default().connect_client(client).erased();
        provider.anvil_auto_impersonate_account(true).await?;
        Ok(provider)
    }

    /// One of its own accounts. Fails beyond [`ACCOUNTS`].
    pub fn account(&self, index: usize) -> eyre::Result<Address> {
        let account = self.accounts.get(index).copied();
        account.wrap_err_with(|| format!("Anvil has accounts 0 to {}, not {index}", ACCOUNTS - 1))
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it is reached by HTTP.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it is reached by WebSocket.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Its number in the operating system, to measure it by.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}
