//! A market on a chain of its own, with one account for each party and a clock: every transaction is mined at the
//! timestamp that it is sent with, so that figures are reproducible.

use alloy::{
    eips::BlockId,
    primitives::{Address, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::{SolCall, SolEvent, SolValue},
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_contracts::{
    IPlimsoll, MarketParams, RateCurve, Risk, SurgeLimit,
    market::{BPS, SECONDS_PER_YEAR},
};
use plimsoll_keeper::math::types::Market;
use plimsoll_testkit::devnet::{Devnet, IOneSlotOracle};

/// Timestamp of the genesis block: fixed, so that figures are reproducible.
const GENESIS: &str = "1700000000";
/// Seconds after the set-up's last block at which the first measured transaction may be mined.
const SET_UP_SECS: u64 = 3_600;
/// Gas limit of every transaction. An estimate would be made at another timestamp.
const GAS_LIMIT: u64 = 5_000_000;
const BORROW_LTV_BPS: u16 = 8_000;
const LIQUIDATION_LTV_BPS: u16 = 8_600;
/// 4 % a year.
const START_RATE_PER_SECOND: u64 = 40_000_000_000_000_000 / SECONDS_PER_YEAR;
/// Units of a whole loan token, which has 6 decimals.
pub(super) const TOKEN: u128 = 1_000_000;
/// Units of collateral of 18 decimals that are worth a unit of the loan token while both tokens have the same value.
const COLLATERAL_PER_UNIT: u128 = 1_000_000_000_000;
/// The oracle's price at which both tokens have the same value: units for a unit × 1e36.
const PAR: u128 = 10u128.pow(36 + 6 - 18);
/// The market's minimum debt: 100 tokens.
pub(super) const MIN_DEBT: u128 = 100 * TOKEN;
/// What each account has of either token: enough for everything, and far from an overflow.
const BALANCE: u128 = 1 << 120;

/// The parties, by the node's account.
#[derive(Debug, Clone, Copy)]
pub(super) enum Party {
    Lender = 1,
    /// Borrows against good collateral, long before the attack.
    Borrower,
    /// Borrows against collateral that was never backed.
    Attacker,
    Liquidator,
}

/// The market, and the time up to which the chain has come.
pub(super) struct Chain {
    devnet: Devnet,
    core: Address,
    params: MarketParams,
    risk: Risk,
    curve: RateCurve,
    clock: u64,
}

impl Chain {
    /// Starts a node with a market, in which the lender has supplied `supplied` units.
    pub(super) async fn start(limit: Option<SurgeLimit>, supplied: u128) -> eyre::Result<Self> {
        let devnet = Devnet::start_with(&["--timestamp", GENESIS]).await?;
        let core = devnet.deploy("Plimsoll", devnet.deployer().abi_encode()).await?;
        let loan_token = devnet.deploy_token("USD", 6).await?;
        let collateral_token = devnet.deploy_token("RST", 18).await?;
        let oracle = devnet.deploy("OneSlotOracle", U256::from(PAR).abi_encode()).await?;
        let risk = Risk::new(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT)?;
        let risk = limit.map_or(Ok(risk), |limit| risk.with_surge_limit(limit))?;
        let curve = RateCurve::new(START_RATE_PER_SECOND, 9_000, 40_000, 500_000)?;
        let params = MarketParams::new(loan_token, collateral_token, oracle, risk, curve);
        for party in [Party::Lender, Party::Borrower, Party::Attacker, Party::Liquidator] {
            for token in [loan_token, collateral_token] {
                devnet.mint_and_approve(token, devnet.account(party as usize)?, U256::from(BALANCE), core).await?;
            }
        }
        let latest = devnet.provider().get_block(BlockId::latest()).await?.wrap_err("the node has no block")?;
        let clock = latest.header.timestamp.next_multiple_of(SET_UP_SECS) + SET_UP_SECS;
        let mut chain = Self { devnet, core, params, risk, curve, clock };
        let call = IPlimsoll::createMarketCall { params: chain.params.clone() };
        chain.send(clock, chain.devnet.deployer(), core, call).await?;
        let lender = chain.account(Party::Lender)?;
        let (params, assets) = (chain.params.clone(), U256::from(supplied));
        let call = IPlimsoll::supplyCall { params, assets, shares: U256::ZERO, onBehalf: lender, data: Bytes::new() };
        chain.send(clock + 1, lender, core, call).await?;
        Ok(chain)
    }

    /// Returns the timestamp of the last transaction.
    pub(super) const fn time(&self) -> u64 {
        self.clock
    }

    /// Returns the market's totals with interest accrued and the surge limit refilled up to a timestamp.
    pub(super) async fn totals(&self, timestamp: u64) -> eyre::Result<Market> {
        let stored = IPlimsoll::new(self.core, self.devnet.provider()).market(self.params.id().0).call().await?;
        let market = Market::try_from(stored)?;
        Ok(market.accrued(self.risk, self.curve, timestamp))
    }

    /// Returns the most that the market lends at a timestamp to a borrower with enough collateral.
    pub(super) async fn max_borrow(&self, timestamp: u64) -> eyre::Result<u128> {
        let totals = self.totals(timestamp).await?;
        Ok(liquidity(&totals).min(totals.surge_room(self.risk).unwrap_or(u128::MAX)))
    }

    /// Posts collateral and borrows `assets` units against it, up to this part of its value at the oracle's price.
    pub(super) async fn borrow(&mut self, time: u64, party: Party, assets: u128, ltv_bps: u32) -> eyre::Result<()> {
        let account = self.account(party)?;
        let collateral = U256::from(assets * COLLATERAL_PER_UNIT) * U256::from(BPS) / U256::from(ltv_bps);
        let params = self.params.clone();
        let data = Bytes::new();
        let post = IPlimsoll::supplyCollateralCall { params, assets: collateral, onBehalf: account, data };
        let (params, assets, shares) = (self.params.clone(), U256::from(assets), U256::ZERO);
        let borrow = IPlimsoll::borrowCall { params, assets, shares, onBehalf: account, receiver: account };
        let calls = vec![post.abi_encode().into(), borrow.abi_encode().into()];
        self.send(time, account, self.core, IPlimsoll::multicallCall { calls }).await?;
        Ok(())
    }

    /// Withdraws `assets` units of the lender's supply.
    pub(super) async fn withdraw(&mut self, time: u64, assets: u128) -> eyre::Result<()> {
        let lender = self.account(Party::Lender)?;
        let (params, assets, shares) = (self.params.clone(), U256::from(assets), U256::ZERO);
        let call = IPlimsoll::withdrawCall { params, assets, shares, onBehalf: lender, receiver: lender };
        self.send(time, lender, self.core, call).await?;
        Ok(())
    }

    /// Sets the collateral's value as a percentage of its former one. The core refuses a price of 0, so worthless
    /// collateral gets the lowest price that there is.
    pub(super) async fn revalue(&mut self, time: u64, percent: u128) -> eyre::Result<()> {
        let call = IOneSlotOracle::setCall { price: U256::from((PAR * percent / 100).max(1)) };
        self.send(time, self.devnet.deployer(), self.params.oracle, call).await?;
        Ok(())
    }

    /// Liquidates the whole loan of a party. Returns by how many units the loss lowered the supply assets.
    pub(super) async fn liquidate(&mut self, time: u64, party: Party) -> eyre::Result<u128> {
        let liquidator = self.account(Party::Liquidator)?;
        let before = self.totals(time).await?;
        let call = IPlimsoll::liquidateCall {
            params: self.params.clone(),
            borrowers: vec![self.account(party)?],
            maxRepay: U256::MAX,
            minSeizedPerRepaid: U256::ZERO,
            receiver: liquidator,
            data: Bytes::new(),
        };
        let receipt = self.send(time, liquidator, self.core, call).await?;
        let mut realised =
            receipt.logs().iter().filter(|log| log.topic0() == Some(&IPlimsoll::RealiseLoss::SIGNATURE_HASH));
        let lost = match realised.next() {
            Some(log) => {
                let event = IPlimsoll::RealiseLoss::decode_log(&log.inner)?;
                u128::try_from(event.loss - event.fromCover)?
            }
            None => 0,
        };
        let after = self.totals(time).await?;
        ensure!(
            before.supply_assets - after.supply_assets == lost,
            "a loss of {lost} units lowered the supply assets from {} to {}",
            before.supply_assets,
            after.supply_assets
        );
        Ok(lost)
    }

    fn account(&self, party: Party) -> eyre::Result<Address> {
        self.devnet.account(party as usize)
    }

    /// Sends a transaction in a block with this timestamp. Fails when it reverts.
    async fn send<C: SolCall>(
        &mut self,
        time: u64,
        from: Address,
        to: Address,
        call: C,
    ) -> eyre::Result<TransactionReceipt> {
        let provider = self.devnet.provider();
        provider.anvil_set_next_block_timestamp(time).await?;
        let input = Bytes::from(call.abi_encode());
        let request = TransactionRequest::default().from(from).to(to).input(input.into()).gas_limit(GAS_LIMIT);
        let receipt = provider.send_transaction(request).await.wrap_err(C::SIGNATURE)?.get_receipt().await?;
        ensure!(receipt.status(), "{} reverted in the transaction {}", C::SIGNATURE, receipt.transaction_hash);
        self.clock = time;
        Ok(receipt)
    }
}

/// Returns what a market has left to lend or to pay out, in units.
pub(super) fn liquidity(totals: &Market) -> u128 {
    totals.supply_assets.saturating_sub(totals.borrow_assets)
}
