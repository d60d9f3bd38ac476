//! A local Anvil node, on a free port, that leaves nothing behind when it ends.

use std::time::Duration;

use super::{
    process::Process,
    scratch::ScratchFolder,
    tools::{Tool, Tools},
};
use crate::gas::GasWithMargin;
use alloy::{
    network::{Ethereum, EthereumWallet},
    primitives::Address,
    providers::{DynProvider, Provider, ProviderBuilder, ext::AnvilApi},
};
use eyre::ContextCompat;
use plimsoll_chain::{endpoint::Endpoint, local::LocalChain, signer::SignerSource};

/// Number of accounts with ether and publicly known keys that Anvil starts with.
pub const ACCOUNTS: usize = 10;

/// Time between two queries for a receipt through [`Node::impersonating`]. With alloy's default each of hundreds of
/// transactions, mined one after the other, would wait a quarter of a second.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// What Anvil prints in front of its address when it accepts requests.
const READY: &str = "Listening on ";

/// A running Anvil. Dropping it ends the process and removes its temporary folder; when this process is killed, both
/// happen, too (on Linux; elsewhere only the folder is removed).
#[derive(Debug)]
pub struct Node {
    provider: DynProvider,
    accounts: [Address; ACCOUNTS],
    address: String,
    process: Process,
    // Anvil's temporary files: declared, and so dropped, after the process.
    _scratch: ScratchFolder,
}

/// Returns a provider that signs for the accounts of the node at `address`, and these accounts.
async fn connect(address: &str) -> eyre::Result<(DynProvider, [Address; ACCOUNTS])> {
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
    Ok((provider, accounts))
}

impl Node {
    /// Starts Anvil with further command-line arguments and waits until it accepts requests. Without `--port` among them
    /// the system chooses a free port. Fails with Anvil's own output, for example when the port is in use.
    pub async fn start(tools: &Tools, arguments: &[&str]) -> eyre::Result<Self> {
        let scratch = ScratchFolder::new("plimsoll-anvil-")?;
        let mut command = tools.command(Tool::Anvil)?;
        if !arguments.contains(&"--port") {
            command.args(["--port", "0"]);
        }
        command.arg("--cache-path").arg(scratch.path()).args(arguments);
        let start = move || Process::start("anvil", command, |line| Some(line.strip_prefix(READY)?.to_owned()));
        let (process, address) = tokio::task::spawn_blocking(start).await??;

        let (provider, accounts) = connect(&address).await?;
        // Nobody reads a log line per request, and writing it would distort measurements.
        provider.anvil_set_logging(false).await?;
        Ok(Self { provider, accounts, address, process, _scratch: scratch })
    }

    /// Replaces the provider by one that asks for each account's count of transactions. The provider keeps what it has
    /// asked once, so this is needed when somebody else has sent transactions of an account that it has sent from.
    pub async fn reconnect(&mut self) -> eyre::Result<()> {
        (self.provider, self.accounts) = connect(&self.address).await?;
        Ok(())
    }

    /// Returns a provider that signs for all of the node's own accounts; a request selects one by `from`.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// Turns on automatic impersonation, and returns a provider that sends from any address without a key.
    pub async fn impersonating(&self) -> eyre::Result<DynProvider> {
        let endpoint: Endpoint = self.http_url().parse()?;
        let client = endpoint.client().await?.with_poll_interval(POLL_INTERVAL);
        let provider = ProviderBuilder::<_, _, Ethereum>::default().connect_client(client).erased();
        provider.anvil_auto_impersonate_account(true).await?;
        Ok(provider)
    }

    /// Returns one of the node's own accounts. Fails if `index` is not below [`ACCOUNTS`].
    pub fn account(&self, index: usize) -> eyre::Result<Address> {
        let account = self.accounts.get(index).copied();
        account.wrap_err_with(|| format!("Anvil has accounts 0 to {}, not {index}", ACCOUNTS - 1))
    }

    /// Returns host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the URL for HTTP.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the URL for WebSocket.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Returns the process id, by which its use of memory and processor can be measured.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}
