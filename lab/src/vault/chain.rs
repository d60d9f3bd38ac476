//! A vault over several markets on a chain of its own, with a clock: every transaction is mined at the timestamp that it
//! is sent with, so that figures are reproducible.

use alloy::{
    eips::BlockId,
    primitives::{Address, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::{SolCall, SolValue},
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_contracts::{
    IERC4626, IPlimsoll, IVault, MarketParams, RateCurve, Risk,
    market::{BPS, SECONDS_PER_YEAR},
};
use plimsoll_keeper::{
    book::{collateral_cap_id, oracle_cap_id},
    math::{shares::to_assets_down, types::Market},
    strategies::rebalance::{
        Flag, VaultMarket, VaultSnapshot,
        level::{AllocatedMarket, Allocations},
    },
};
use plimsoll_testkit::devnet::{Devnet, IOneSlotOracle};

use super::{demand::MARKETS, policy::LIMITS, units};

/// Timestamp of the genesis block: fixed, so that figures are reproducible.
const GENESIS: &str = "1700000000";
/// Seconds after the set-up's last block at which the first measured transaction may be mined.
const SET_UP_SECS: u64 = 3_600;
/// Gas limit of every transaction. An estimate would be made at another timestamp.
const GAS_LIMIT: u64 = 5_000_000;
/// 4 % a year.
const START_RATE_PER_SECOND: u64 = 40_000_000_000_000_000 / SECONDS_PER_YEAR;
/// Units of a whole loan token, which has 6 decimals.
pub(super) const TOKEN: u128 = 1_000_000;
/// The oracle's price at which a collateral of 18 decimals has the same value: units for a unit × 1e36.
pub(super) const PAR: u128 = 10u128.pow(36 + 6 - 18);
const MIN_DEBT: u128 = 100 * TOKEN;
/// What each account has of either token: enough for everything, and far from an overflow.
pub(super) const BALANCE: u128 = 1 << 120;
/// Price of gas in wei, and of the native currency in whole tokens.
const GAS_PRICE: u128 = 2_000_000_000;
const ETHER_PRICE: u128 = 3_000;

/// The parties, by the node's account.
#[derive(Debug, Clone, Copy)]
pub(super) enum Party {
    /// Supplies to the markets directly.
    Lender = 1,
    Borrower,
    Depositor,
    /// Another depositor, whose transactions are measured.
    Newcomer,
    Allocator,
}

/// A market of the vault.
#[derive(Debug)]
struct VaultMarketEnv {
    params: MarketParams,
    risk: Risk,
    curve: RateCurve,
}

/// The chain, and the time up to which it has come.
pub(super) struct Chain {
    pub(super) devnet: Devnet,
    core: Address,
    vault: Address,
    markets: Vec<VaultMarketEnv>,
    /// The market whose oracle has no price, if any.
    without_price: Option<usize>,
    clock: u64,
}

/// Returns what gas costs, in units of the loan token.
pub(super) const fn gas_cost(gas: u64) -> u128 {
    gas as u128 * GAS_PRICE * ETHER_PRICE * TOKEN / 1_000_000_000_000_000_000
}

impl Chain {
    /// Starts a node with the markets, in which others have supplied and nobody has borrowed, and an empty vault.
    pub(super) async fn start() -> eyre::Result<Self> {
        let devnet = Devnet::start_with(&["--timestamp", GENESIS, "--prune-history", "100"]).await?;
        let core = devnet.deploy("Plimsoll", devnet.deployer().abi_encode()).await?;
        let loan_token = devnet.deploy_token("USD", 6).await?;
        let collateral_token = devnet.deploy_token("COL", 18).await?;
        let risk = Risk::new(8_000, 8_600, MIN_DEBT)?;
        let curve = RateCurve::new(START_RATE_PER_SECOND, 9_000, 40_000, 500_000)?;
        let mut markets = Vec::new();
        for _ in MARKETS {
            let oracle = devnet.deploy("OneSlotOracle", U256::from(PAR).abi_encode()).await?;
            let params = MarketParams::new(loan_token, collateral_token, oracle, risk, curve);
            markets.push(VaultMarketEnv { params, risk, curve });
        }
        let latest = devnet.provider().get_block(BlockId::latest()).await?.wrap_err("the node has no block")?;
        let clock = latest.header.timestamp.next_multiple_of(SET_UP_SECS) + SET_UP_SECS;
        let mut chain = Self { devnet, core, vault: Address::ZERO, markets, without_price: None, clock };
        for (index, terms) in MARKETS.iter().enumerate() {
            let params = chain.params(index)?;
            chain.send(1, chain.devnet.deployer(), core, IPlimsoll::createMarketCall { params }).await?;
            if index == 0 {
                for party in [Party::Lender, Party::Borrower] {
                    for token in [loan_token, collateral_token] {
                        let account = chain.account(party)?;
                        chain.devnet.mint_and_approve(token, account, U256::from(BALANCE), core).await?;
                    }
                }
                chain.clock += SET_UP_SECS;
            }
            let lender = chain.account(Party::Lender)?;
            let (params, assets) = (chain.params(index)?, U256::from(units(terms.others)));
            let call =
                IPlimsoll::supplyCall { params, assets, shares: U256::ZERO, onBehalf: lender, data: Bytes::new() };
            chain.send(1, lender, core, call).await?;
            let borrower = chain.account(Party::Borrower)?;
            let (params, assets) = (chain.params(index)?, U256::from(BALANCE / 8));
            let call = IPlimsoll::supplyCollateralCall { params, assets, onBehalf: borrower, data: Bytes::new() };
            chain.send(1, borrower, core, call).await?;
        }
        chain.vault = chain.devnet.deploy("Vault", (chain.setup()?,).abi_encode_params()).await?;
        for party in [Party::Depositor, Party::Newcomer] {
            let account = chain.account(party)?;
            chain.devnet.mint_and_approve(loan_token, account, U256::from(BALANCE), chain.vault).await?;
        }
        chain.clock += SET_UP_SECS;
        Ok(chain)
    }

    /// The vault's settings: no caps, no fee, and gains that are recognised at once.
    fn setup(&self) -> eyre::Result<IVault::Setup> {
        let first = self.params(0)?;
        let ids: Vec<_> = self.markets.iter().map(|market| market.params.id().0).collect();
        let oracles = self.markets.iter().map(|market| oracle_cap_id(market.params.oracle));
        let cap_ids = ids.iter().copied().chain(oracles).chain([collateral_cap_id(first.collateralToken)]);
        let uncapped =
            |id| IVault::CapSetup { capId: id, absolute: U256::from(u128::MAX), relativeBps: U256::from(BPS) };
        Ok(IVault::Setup {
            plimsoll: self.core,
            asset: first.loanToken,
            name: "Vault".to_owned(),
            symbol: "V".to_owned(),
            owner: self.devnet.deployer(),
            curator: self.devnet.deployer(),
            guardian: Address::ZERO,
            allocators: vec![self.account(Party::Allocator)?],
            feeRecipient: Address::ZERO,
            feeBps: U256::ZERO,
            maxRatePerSecond: U256::from(2_000_000_000_000_000_000 / SECONDS_PER_YEAR),
            penaltyBps: U256::from(10),
            raiseDelaySecs: U256::from(3 * 86_400),
            nudgeBps: U256::ZERO,
            nudgeSecs: U256::from(86_400),
            caps: cap_ids.map(uncapped).collect(),
            markets: ids,
            depositMarket: Default::default(),
        })
    }

    /// Returns the timestamp of the last transaction.
    pub(super) const fn time(&self) -> u64 {
        self.clock
    }

    /// Returns a market's rate curve.
    pub(super) fn curve(&self, index: usize) -> eyre::Result<RateCurve> {
        Ok(self.markets.get(index).wrap_err("no such market")?.curve)
    }

    fn params(&self, index: usize) -> eyre::Result<MarketParams> {
        Ok(self.markets.get(index).wrap_err("no such market")?.params.clone())
    }

    /// Returns the loan token and the collateral token.
    pub(super) fn tokens(&self) -> eyre::Result<[Address; 2]> {
        let params = self.params(0)?;
        Ok([params.loanToken, params.collateralToken])
    }

    /// Leaves time for transactions that were mined without a time of their own.
    pub(super) const fn wait_for_set_up(&mut self) {
        self.clock += SET_UP_SECS;
    }

    pub(super) fn account(&self, party: Party) -> eyre::Result<Address> {
        self.devnet.account(party as usize)
    }

    /// Returns a market's totals with interest up to a timestamp.
    pub(super) async fn totals(&self, index: usize, timestamp: u64) -> eyre::Result<Market> {
        let market = self.markets.get(index).wrap_err("no such market")?;
        let stored = IPlimsoll::new(self.core, self.devnet.provider()).market(market.params.id().0).call().await?;
        let totals = Market::try_from(stored)?;
        Ok(totals.accrued(market.risk, market.curve, timestamp))
    }

    /// Reads the vault with values up to a timestamp, by the keeper's arithmetic. A market without a
    /// price is flagged where `flags` says so.
    pub(super) async fn snapshot(&self, time: u64, flags: bool) -> eyre::Result<VaultSnapshot> {
        let vault = IVault::new(self.vault, self.devnet.provider());
        let (holdings, state) = (vault.holdings().call().await?, vault.state().call().await?);
        let mut allocations = Allocations { idle: state.idle.try_into()?, ..Allocations::default() };
        let mut markets = Vec::new();
        for (index, (market, holding)) in self.markets.iter().zip(&holdings).enumerate() {
            let totals = self.totals(index, time).await?;
            let held = to_assets_down(holding.shares.try_into()?, totals.supply_assets, totals.supply_shares);
            let is_flagged = flags && self.without_price == Some(index);
            let flag = is_flagged.then_some(Flag::NoPrice);
            let allocated =
                AllocatedMarket::new(totals, market.curve, held, u128::MAX, is_flagged, LIMITS.max_utilisation_bps);
            allocations.markets.push(allocated);
            markets.push(VaultMarket { id: market.params.id(), flag });
        }
        allocations.min_idle = allocations.total() * u128::from(LIMITS.min_idle_bps) / u128::from(BPS);
        let asset = self.params(0)?.loanToken;
        Ok(VaultSnapshot { address: self.vault, asset, markets, allocations })
    }

    /// Brings the debt of each market to an amount, as far as there is liquidity, in one transaction.
    pub(super) async fn set_debts(&mut self, time: u64, debts: &[u128]) -> eyre::Result<()> {
        let borrower = self.account(Party::Borrower)?;
        let mut calls = Vec::new();
        for (index, wanted) in debts.iter().enumerate() {
            let totals = self.totals(index, time).await?;
            let (params, shares) = (self.params(index)?, U256::ZERO);
            if *wanted > totals.borrow_assets {
                let assets = (*wanted - totals.borrow_assets).min(totals.supply_assets - totals.borrow_assets);
                if assets >= MIN_DEBT {
                    let assets = U256::from(assets);
                    let call = IPlimsoll::borrowCall { params, assets, shares, onBehalf: borrower, receiver: borrower };
                    calls.push(call.abi_encode().into());
                }
            } else if totals.borrow_assets - *wanted >= MIN_DEBT {
                let assets = U256::from(totals.borrow_assets - *wanted);
                let call = IPlimsoll::repayCall { params, assets, shares, onBehalf: borrower, data: Bytes::new() };
                calls.push(call.abi_encode().into());
            }
        }
        if !calls.is_empty() {
            self.send_at(time, borrower, self.core, IPlimsoll::multicallCall { calls }).await?;
        }
        Ok(())
    }

    /// Withdraws the other lenders' assets from a market.
    pub(super) async fn withdraw_others(&mut self, time: u64, index: usize, assets: u128) -> eyre::Result<()> {
        let lender = self.account(Party::Lender)?;
        let (params, assets, shares) = (self.params(index)?, U256::from(assets), U256::ZERO);
        let call = IPlimsoll::withdrawCall { params, assets, shares, onBehalf: lender, receiver: lender };
        self.send_at(time, lender, self.core, call).await?;
        Ok(())
    }

    /// Takes a market's price away.
    pub(super) async fn stop_oracle(&mut self, time: u64, index: usize) -> eyre::Result<()> {
        let oracle = self.params(index)?.oracle;
        self.send_at(time, self.devnet.deployer(), oracle, IOneSlotOracle::setCall { price: U256::ZERO }).await?;
        self.without_price = Some(index);
        Ok(())
    }

    /// Deposits into the vault. Returns the gas used.
    pub(super) async fn deposit(&mut self, time: u64, party: Party, assets: u128) -> eyre::Result<u64> {
        let receiver = self.account(party)?;
        let call = IVault::depositCall { assets: U256::from(assets), receiver, minShares: U256::ZERO };
        Ok(self.send_at(time, receiver, self.vault, call).await?.gas_used)
    }

    /// Withdraws from the vault. Returns the gas used.
    pub(super) async fn withdraw(&mut self, time: u64, party: Party, assets: u128) -> eyre::Result<u64> {
        let owner = self.account(party)?;
        let call = IVault::withdrawCall { assets: U256::from(assets), receiver: owner, owner, maxShares: U256::MAX };
        Ok(self.send_at(time, owner, self.vault, call).await?.gas_used)
    }

    /// Returns what a depositor's shares are worth, and what of it could be withdrawn.
    pub(super) async fn worth(&self, party: Party) -> eyre::Result<(u128, u128)> {
        let (account, vault) = (self.account(party)?, IERC4626::new(self.vault, self.devnet.provider()));
        let worth = vault.convertToAssets(vault.balanceOf(account).call().await?).call().await?;
        Ok((worth.try_into()?, vault.maxWithdraw(account).call().await?.try_into()?))
    }

    /// Has a depositor leave in kind. Returns the gas used, and what the depositor has then in the markets and in tokens.
    pub(super) async fn redeem_in_kind(&mut self, time: u64, party: Party) -> eyre::Result<(u64, u128)> {
        let owner = self.account(party)?;
        let token = IERC4626::new(self.params(0)?.loanToken, self.devnet.provider().clone());
        let before = token.balanceOf(owner).call().await?;
        let shares = IERC4626::new(self.vault, self.devnet.provider()).balanceOf(owner).call().await?;
        let call = IVault::redeemInKindCall { shares, receiver: owner, owner, leaveIdle: false };
        let gas = self.send_at(time, owner, self.vault, call).await?.gas_used;
        let mut has = (token.balanceOf(owner).call().await? - before).try_into()?;
        for (index, market) in self.markets.iter().enumerate() {
            let totals = self.totals(index, time).await?;
            let core = IPlimsoll::new(self.core, self.devnet.provider());
            let position = core.position(market.params.id().0, owner).call().await?;
            has += to_assets_down(position.supplyShares.try_into()?, totals.supply_assets, totals.supply_shares);
        }
        Ok((gas, has))
    }

    /// Reallocates the vault's assets. Returns the gas used.
    pub(super) async fn reallocate(&mut self, time: u64, call: IVault::reallocateCall) -> eyre::Result<u64> {
        let allocator = self.account(Party::Allocator)?;
        Ok(self.send_at(time, allocator, self.vault, call).await?.gas_used)
    }

    /// Makes a market the one that deposits go to.
    pub(super) async fn set_deposit_market(&mut self, time: u64, index: usize) -> eyre::Result<()> {
        let (allocator, id) = (self.account(Party::Allocator)?, self.params(index)?.id().0);
        self.send_at(time, allocator, self.vault, IVault::setDepositMarketCall { id }).await?;
        Ok(())
    }

    /// Has the vault store its value at a time, and returns it.
    pub(super) async fn stored_total(&mut self, time: u64) -> eyre::Result<u128> {
        self.send_at(time, self.devnet.deployer(), self.vault, IVault::accrueCall {}).await?;
        Ok(IVault::new(self.vault, self.devnet.provider()).state().call().await?.lastTotal.try_into()?)
    }

    /// Sends a transaction so many seconds after the last.
    pub(super) async fn send<C: SolCall>(
        &mut self,
        secs: u64,
        from: Address,
        to: Address,
        call: C,
    ) -> eyre::Result<TransactionReceipt> {
        self.send_at(self.clock + secs, from, to, call).await
    }

    /// Sends a transaction in a block with this timestamp. Fails when it reverts.
    async fn send_at<C: SolCall>(
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
