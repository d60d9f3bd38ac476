//! The common ground of both sides: tokens, an oracle, accounts without keys, and a clock.

use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256, keccak256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::SolCall,
};
use eyre::{ContextCompat, WrapErr, ensure};

use plimsoll_testkit::devnet::{Devnet, IOneSlotOracle, ITestToken};

/// Seconds between one transaction and the next.
const STEP_SECS: u64 = 3_600;
/// Gas limit of every transaction. An estimate would be made at another timestamp, before interest accrues.
const GAS_LIMIT: u64 = 20_000_000;
/// Balance of every account in each token, in whole tokens.
const BALANCE: u64 = 1_000_000_000;
/// Initial price of an ether, in dollars.
pub(super) const PRICE: u64 = 2_000;

/// Both sides' node, tokens, oracle and accounts.
pub(super) struct Bench<'a> {
    pub(super) devnet: &'a Devnet,
    pub(super) provider: DynProvider,
    pub(super) loan_token: Address,
    pub(super) collateral_token: Address,
    pub(super) oracle: Address,
    clock: u64,
}

impl<'a> Bench<'a> {
    pub(super) async fn new(devnet: &'a Devnet) -> eyre::Result<Self> {
        let provider = devnet.node.impersonating().await?;
        let loan_token = devnet.deploy_token("USD", 6).await?;
        let collateral_token = devnet.deploy_token("ETH", 18).await?;
        let oracle = devnet.deploy("OneSlotOracle", scaled_price(PRICE).to_be_bytes_vec()).await?;
        let latest = provider.get_block(BlockId::latest()).await?.map_or(0, |block| block.header.timestamp);
        Ok(Self { devnet, provider, loan_token, collateral_token, oracle, clock: latest })
    }

    /// Creates an account with ether for gas and both tokens, and approves the spenders.
    pub(super) async fn account(&mut self, name: &str, spenders: &[Address]) -> eyre::Result<Address> {
        let account = Address::from_word(keccak256(name));
        self.provider.anvil_set_balance(account, U256::from(10).pow(U256::from(24))).await?;
        for (token, decimals) in [(self.loan_token, 6), (self.collateral_token, 18)] {
            let amount = plimsoll_testkit::market::units(BALANCE, decimals);
            self.send(account, token, ITestToken::mintCall { to: account, amount }).await?;
            for spender in spenders {
                self.send(account, token, ITestToken::approveCall { spender: *spender, amount: U256::MAX }).await?;
            }
        }
        Ok(account)
    }

    /// Deploys a contract of this repository by name, with its ABI-encoded constructor arguments.
    pub(super) async fn deploy(&mut self, name: &str, arguments: Vec<u8>) -> eyre::Result<Address> {
        let devnet = self.devnet;
        self.deploy_code(&devnet.artifacts.get(name)?.creation_code, arguments).await.wrap_err_with(|| name.to_owned())
    }

    /// Deploys other creation code, with its ABI-encoded constructor arguments.
    pub(super) async fn deploy_code(&mut self, code: &Bytes, arguments: Vec<u8>) -> eyre::Result<Address> {
        let code = Bytes::from([&code[..], &arguments].concat());
        let request = TransactionRequest::default().from(self.devnet.deployer()).with_deploy_code(code);
        let receipt = self.provider.send_transaction(request).await?.get_receipt().await?;
        ensure!(receipt.status(), "a constructor reverted");
        receipt.contract_address.wrap_err("no contract was created")
    }

    /// Returns the timestamp of the last transaction.
    pub(super) const fn time(&self) -> u64 {
        self.clock
    }

    /// Advances the time to `timestamp`, unless it is past already.
    pub(super) fn wait_until(&mut self, timestamp: u64) {
        self.clock = self.clock.max(timestamp);
    }

    /// Sets the price of an ether, in dollars.
    pub(super) async fn set_price(&mut self, dollars: u64) -> eyre::Result<()> {
        let call = IOneSlotOracle::setCall { price: scaled_price(dollars) };
        self.send(self.devnet.deployer(), self.oracle, call).await?;
        Ok(())
    }

    /// Sends a transaction in a block of its own, an hour after the last. Fails when it reverts.
    pub(super) async fn send<C: SolCall>(
        &mut self,
        from: Address,
        to: Address,
        call: C,
    ) -> eyre::Result<TransactionReceipt> {
        self.send_raw(from, to, call.abi_encode().into()).await.wrap_err(C::SIGNATURE)
    }

    /// Sends calldata as [`Bench::send`] does.
    pub(super) async fn send_raw(
        &mut self,
        from: Address,
        to: Address,
        data: Bytes,
    ) -> eyre::Result<TransactionReceipt> {
        self.clock += STEP_SECS;
        self.provider.anvil_set_next_block_timestamp(self.clock).await?;
        let request = TransactionRequest::default().from(from).to(to).input(data.into()).gas_limit(GAS_LIMIT);
        let receipt = self.provider.send_transaction(request).await?.get_receipt().await?;
        ensure!(receipt.status(), "the transaction {} reverted", receipt.transaction_hash);
        Ok(receipt)
    }
}

/// Returns a price in dollars of 6 decimals for an ether of 18 decimals as oracles return it: units for a unit × 1e36.
fn scaled_price(dollars: u64) -> U256 {
    U256::from(dollars) * U256::from(10).pow(U256::from(36 + 6 - 18))
}
