//! Plimsoll on a node of our own: contracts compiled and deployed, and tokens that anybody mints.

use alloy::{
    contract::{CallBuilder, CallDecoder},
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256},
    providers::{DynProvider, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol,
    sol_types::SolValue,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::{compile::Artifacts, tools::Tools, workspace::Workspace};

use crate::node::Node;

/// What only local chains need, by file.
const LOCAL_SOURCES: [&str; 7] = [
    "contracts/test/support/MarketMaker.sol",
    "contracts/test/support/Crowd.sol",
    "contracts/test/support/TestToken.sol",
    "contracts/test/support/OneSlotOracle.sol",
    "contracts/test/support/StakingRewards.sol",
    "contracts/test/support/MathHarness.sol",
    "contracts/test/support/RewardsHarness.sol",
];

sol! {
    /// A plain token that anybody mints.
    #[sol(rpc)]
    interface ITestToken {
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
    }

    /// An oracle whose only price anybody sets.
    #[sol(rpc)]
    interface IOneSlotOracle {
        function set(uint256 price) external;
    }
}

/// A node, and what can be put on it.
#[derive(Debug)]
pub struct Rig {
    /// The node.
    pub node: Node,
    /// Every contract that can be deployed, the local ones included.
    pub artifacts: Artifacts,
    deployer: Address,
}

impl Rig {
    /// Finds the tools, compiles what changed and starts a node with further arguments for Anvil.
    pub async fn start(arguments: &[&str]) -> eyre::Result<Self> {
        let prepare = || -> eyre::Result<_> {
            let tools = Tools::ready(&Workspace::find()?)?;
            let artifacts = Artifacts::compile_with(&tools, &LOCAL_SOURCES)?;
            Ok((tools, artifacts))
        };
        let (tools, artifacts) = tokio::task::spawn_blocking(prepare).await??;
        let node = Node::start(&tools, arguments).await?;
        let deployer = node.account(0)?;
        Ok(Self { node, artifacts, deployer })
    }

    /// Reads, and signs for every account of the node.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        self.node.provider()
    }

    /// The account that deploys, and owns what needs an owner.
    #[must_use]
    pub const fn deployer(&self) -> Address {
        self.deployer
    }

    /// Deploys a contract by name with its ABI-encoded constructor arguments. Fails when the constructor reverts.
    pub async fn deploy(&self, name: &str, arguments: Vec<u8>) -> eyre::Result<Address> {
        let code = [&self.artifacts.get(name)?.creation_code[..], &arguments].concat();
        let request = TransactionRequest::default().with_from(self.deployer).with_deploy_code(Bytes::from(code));
        let pending = self.provider().send_transaction(request).await.wrap_err_with(|| format!("deploying {name}"))?;
        let receipt = pending.get_receipt().await?;
        ensure!(receipt.status(), "the constructor of {name} reverted");
        receipt.contract_address.wrap_err_with(|| format!("{name} was not created"))
    }

    /// Deploys a token that anybody mints.
    pub async fn deploy_token(&self, name: &str, decimals: u8) -> eyre::Result<Address> {
        self.deploy("TestToken", (name, U256::from(decimals)).abi_encode_params()).await
    }

    /// Mints tokens to an account of the node, and lets `spender` take them.
    pub async fn give(&self, token: Address, account: Address, amount: U256, spender: Address) -> eyre::Result<()> {
        let token = ITestToken::new(token, self.provider());
        mined(token.mint(account, amount).from(self.deployer)).await?;
        mined(token.approve(spender, amount).from(account)).await?;
        Ok(())
    }
}

/// Sends a call and waits until it is mined. Fails when it reverts, with what the contract said.
pub async fn mined<P: Provider, D: CallDecoder>(call: CallBuilder<P, D>) -> eyre::Result<TransactionReceipt> {
    let receipt = call.send().await?.get_receipt().await?;
    ensure!(receipt.status(), "the transaction {} reverted after {} gas", receipt.transaction_hash, receipt.gas_used);
    Ok(receipt)
}

/// A transaction that offers the base fee of the next block and no more: there it comes after everybody's who offers
/// anything beyond.
pub fn behind_others<P: Provider, D: CallDecoder>(call: CallBuilder<P, D>, base_fee: u128) -> CallBuilder<P, D> {
    call.max_fee_per_gas(base_fee).max_priority_fee_per_gas(0)
}
