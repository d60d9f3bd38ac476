//! A local chain: an Anvil process with the compiled contracts at hand and tokens that anybody can mint.

use std::time::Duration;

use alloy::{
    contract::{CallBuilder, CallDecoder},
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol,
    sol_types::SolValue,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::compile::Artifacts;

use crate::{
    contracts,
    deployment::Suite,
    node::{self, Node},
    workspace::tools,
};

/// How long a transaction may wait for its block: much more than it does.
pub const MINING_TIMEOUT: Duration = Duration::from_mins(5);
sol! {
    /// An ERC-20 token that anybody can mint.
    #[sol(rpc)]
    interface ITestToken {
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
    }

    /// An oracle whose single price anybody can set.
    #[sol(rpc)]
    interface IOneSlotOracle {
        function set(uint256 price) external;
    }
}

/// A running Anvil with the compiled contracts. Dropping it ends the process.
#[derive(Debug)]
pub struct Devnet {
    /// The Anvil process, with its URLs and accounts.
    pub node: Node,
    /// Compiled contracts that [`Devnet::deploy`] can deploy, test contracts included.
    pub artifacts: &'static Artifacts,
    deployer: Address,
}

impl Devnet {
    /// Starts an empty chain with id 31337 on a free port. The first call installs the pinned tools and compiles the
    /// contracts; later calls, also those of other processes, find both done.
    ///
    /// # Errors
    /// When the tools cannot be installed, the contracts do not compile, or Anvil does not start.
    ///
    /// # Example
    /// ```no_run
    /// # async fn example() -> eyre::Result<()> {
    /// use plimsoll_testkit::devnet::Devnet;
    ///
    /// let devnet = Devnet::start().await?;
    /// let token = devnet.deploy_token("USD", 6).await?;
    /// # Ok(()) }
    /// ```
    pub async fn start() -> eyre::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a chain like [`Devnet::start`], with further command-line arguments for Anvil.
    ///
    /// # Errors
    /// As [`Devnet::start`]; an argument that Anvil does not know is an error with Anvil's own message.
    pub async fn start_with(arguments: &[&str]) -> eyre::Result<Self> {
        let prepare = || -> eyre::Result<_> { Ok((tools()?, contracts::local()?)) };
        let (tools, artifacts) = tokio::task::spawn_blocking(prepare).await??;
        let node = Node::start(&tools, arguments).await?;
        let deployer = node.account(0)?;
        Ok(Self { node, artifacts, deployer })
    }

    /// Starts a fork of the chain behind `url`, with the state after `block`. The chain id is the upstream's. The code
    /// of Anvil's own accounts is removed: their keys are public, and on public chains somebody has delegated them.
    ///
    /// State is fetched from `url` when it is first needed, so the node there must still have the state of `block`.
    ///
    /// # Errors
    /// As [`Devnet::start`], and when the upstream node does not answer or does not have that state.
    ///
    /// # Example
    /// ```no_run
    /// # async fn example() -> eyre::Result<()> {
    /// use plimsoll_testkit::devnet::Devnet;
    ///
    /// let url = std::env::var("ETH_RPC_URL")?;
    /// let devnet = Devnet::start_forked(&url, 19_426_585).await?;
    /// # Ok(()) }
    /// ```
    pub async fn start_forked(url: &str, block: u64) -> eyre::Result<Self> {
        let block = block.to_string();
        // Without a cache on disk: state of another run must not be served to this one.
        let arguments = ["--fork-url", url, "--fork-block-number", &block, "--no-storage-caching"];
        let devnet = Self::start_with(&arguments).await?;
        for index in 0..node::ACCOUNTS {
            let account = devnet.node.account(index)?;
            devnet.provider().anvil_set_code(account, Bytes::new()).await?;
        }
        Ok(devnet)
    }

    /// Deploys the whole suite on this chain, as `plimsoll-deploy up` does: core, oracles, markets, rewards, backstop,
    /// periphery, a Uniswap V3 exchange, tokens that anybody can mint and price feeds that can be set. The manifest is
    /// `examples/local.toml`, with the chain id of this chain. [`Suite::deploy`] takes another one.
    ///
    /// # Errors
    /// When a transaction of the deployment fails.
    ///
    /// # Example
    /// ```no_run
    /// # async fn example() -> eyre::Result<()> {
    /// use plimsoll_testkit::devnet::Devnet;
    ///
    /// let suite = Devnet::start().await?.deploy_suite().await?;
    /// let market = suite.market("weth-usdc")?;
    /// let core = suite.contract("Plimsoll")?;
    /// # Ok(()) }
    /// ```
    pub async fn deploy_suite(self) -> eyre::Result<Suite> {
        let mut manifest = Suite::local_manifest()?;
        manifest.tables.network.chain_id = self.provider().get_chain_id().await?;
        Suite::deploy(self, &manifest).await
    }

    /// Returns a provider that signs for all of the node's own accounts: a request names the one it wants in `from`.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        self.node.provider()
    }

    /// Returns the account that deploys contracts and owns those that need an owner: the node's account 0.
    #[must_use]
    pub const fn deployer(&self) -> Address {
        self.deployer
    }

    /// Returns one of the node's own accounts, each with ether and a key that [`Devnet::provider`] signs with. Account
    /// 0 is the deployer, account 1 supplies in [`Suite::supply`], accounts 8 and 9 sign for the keeper.
    ///
    /// # Errors
    /// From index [`node::ACCOUNTS`] on.
    pub fn account(&self, index: usize) -> eyre::Result<Address> {
        self.node.account(index)
    }

    /// Deploys a contract by name with its ABI-encoded constructor arguments and returns its address.
    ///
    /// # Errors
    /// When there is no contract of that name, or its constructor reverts.
    pub async fn deploy(&self, name: &str, arguments: Vec<u8>) -> eyre::Result<Address> {
        let code = [&self.artifacts.get(name)?.creation_code[..], &arguments].concat();
        let request = TransactionRequest::default().with_from(self.deployer).with_deploy_code(Bytes::from(code));
        let pending = self.provider().send_transaction(request).await.wrap_err_with(|| format!("deploying {name}"))?;
        let receipt = pending.get_receipt().await?;
        ensure!(receipt.status(), "the constructor of {name} reverted");
        receipt.contract_address.wrap_err_with(|| format!("{name} was not created"))
    }

    /// Deploys a token that anybody can mint and returns its address.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn deploy_token(&self, name: &str, decimals: u8) -> eyre::Result<Address> {
        self.deploy("TestToken", (name, U256::from(decimals)).abi_encode_params()).await
    }

    /// Lets a test token of 18 decimals wrap the chain's coin, too: it gets the code for that, and coins for all that is minted.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn wrap_coin(&self, token: Address) -> eyre::Result<()> {
        let wrapper = self.deploy("WrappedCoin", "wrapped coin".abi_encode()).await?;
        self.provider().anvil_set_code(token, self.provider().get_code_at(wrapper).await?).await?;
        self.provider().anvil_set_balance(token, U256::from(u128::MAX)).await?;
        Ok(())
    }

    /// Mints `amount` of a test token for an account of the node and approves `spender` for it.
    ///
    /// # Errors
    /// When the token cannot be minted by anybody, or a transaction fails.
    pub async fn mint_and_approve(
        &self,
        token: Address,
        account: Address,
        amount: U256,
        spender: Address,
    ) -> eyre::Result<()> {
        let token = ITestToken::new(token, self.provider());
        mined(token.mint(account, amount).from(self.deployer)).await?;
        mined(token.approve(spender, amount).from(account)).await?;
        Ok(())
    }
}

/// Sends a contract call, waits until it is mined and returns its receipt.
///
/// # Errors
/// When the call reverts; the error of the contract can be had by downcasting to [`alloy::contract::Error`] where gas
/// was estimated. Also when the transaction is not mined in [`MINING_TIMEOUT`].
pub async fn mined<P: Provider, D: CallDecoder>(call: CallBuilder<P, D>) -> eyre::Result<TransactionReceipt> {
    let receipt = call.send().await?.with_timeout(Some(MINING_TIMEOUT)).get_receipt().await?;
    ensure!(receipt.status(), "the transaction {} reverted after {} gas", receipt.transaction_hash, receipt.gas_used);
    Ok(receipt)
}

/// Limits a call's fees to the base fee of the next block, in wei, without a priority fee. In that block it is ordered
/// after every transaction that pays a priority fee.
pub fn without_priority_fee<P: Provider, D: CallDecoder>(call: CallBuilder<P, D>, base_fee: u128) -> CallBuilder<P, D> {
    call.max_fee_per_gas(base_fee).max_priority_fee_per_gas(0)
}
