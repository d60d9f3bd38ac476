//! The chain on which the keeper races: loans that become liquidatable one after another, and blocks on request.

use std::process::Command;

use alloy::{
    consensus::{Transaction as _, TxEnvelope},
    eips::{BlockId, Decodable2718},
    network::TransactionBuilder,
    primitives::{Address, B256, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::{SolCall, SolEvent},
};
use eyre::{ContextCompat, WrapErr};
use plimsoll_contracts::ILiquidator;
use plimsoll_deploy::toolchain::progress::say;
use tokio::time::{self, Duration};

use super::rivals::{Bid, WHOLE};
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    keeper::{Keeper, KeeperSetup},
    market_env::MarketEnv,
    observer::Observer,
    relay::Relay,
};

/// Arguments for Anvil: the transaction with the highest priority fee comes first.
const NODE: [&str; 2] = ["--order", "fees"];
/// Gas limit of the transactions that open the loans.
const TRANSACTION_GAS: u64 = 16_000_000;
/// Base fee of every block, in wei.
pub(super) const BASE_FEE: u128 = 1_000_000_000;
/// Minimum priority fee of the keeper's configuration, in wei per gas.
pub(super) const MIN_PRIORITY_FEE: u128 = 100_000_000;
/// Priority fee of trades that come first in their block, in wei: more than anybody bids here.
const TRADE_FEE: u128 = 1_000_000_000_000;
/// A dollar, as the feed's answers count it.
const DOLLAR: u128 = 100_000_000;
/// Gas limit of a rival's liquidation.
const RIVALS_GAS: u64 = 1_500_000;
/// Index of the Anvil account that the rival sends from.
const RIVAL: usize = 5;
/// Time that the keeper has to find out who won before the next race; it is not measured.
const PAUSE: Duration = Duration::from_millis(150);
/// Difference between the prices of two races, in millionths of a dollar.
const STEP: u128 = 20_000;
/// Liquidation price of the first race's loan, in millionths of a dollar for an ether.
const FIRST_PRICE: u128 = 1_850_000_000;
const LIQUIDATION_LTV_PERCENT: u128 = 86;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// The pool's ether and dollars, in units, at the manifest's price of 2,000 dollars.
const POOL: [u128; 2] = [10_000 * ETHER, 20_000_000_000_000];
/// Price in the pool before a race, and the lowest to which a sandwich pushes it, in dollars.
const POOL_PRICES: [u128; 2] = [2_000, 1_840];

/// What happens between the keeper's transaction and its block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Interference {
    /// A rival bids for the same loan.
    Rival(Bid),
    /// The pool's price is pushed down before the keeper's swap, by this step of so many.
    Sandwich {
        /// Number of the step.
        step: u64,
        /// Number of steps to the lowest price.
        steps: u64,
    },
}

/// How one race ended. Amounts are in wei.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RaceOutcome {
    /// Whether the keeper sent anything.
    pub(super) sent: bool,
    /// Whether its transaction succeeded.
    pub(super) won: bool,
    /// Value of the profit that was there, before gas.
    pub(super) gain: u128,
    /// Value of what the keeper received.
    pub(super) received: u128,
    /// What its transaction cost.
    pub(super) cost: u128,
    /// Gas that its transaction used.
    pub(super) gas: u64,
    /// Share of the net profit that the rival bid, in millionths; `None` without a rival.
    pub(super) rival: Option<u128>,
    /// Whether its bundle was left out of the block because it would have reverted.
    pub(super) dropped: bool,
    /// Whether it reverted in a block.
    pub(super) reverted: bool,
}

/// The chain, its loans and the keeper.
#[derive(Debug)]
pub(super) struct Arena<'a> {
    suite: &'a Suite,
    market_env: MarketEnv<'a>,
    observer: Observer,
    borrowers: Vec<Address>,
    rival: Address,
    keeper: Option<Keeper>,
    /// Where the keeper's transactions go, if they go in bundles.
    relay: Option<Relay>,
    /// Number of the next race.
    next: u64,
    /// The keeper's last call, which rivals imitate.
    template: Option<ILiquidator::Liquidation>,
}

/// Starts the node for the races.
pub(super) async fn start_node() -> eyre::Result<Suite> {
    say("starting a node and deploying");
    Suite::start_with(&NODE).await
}

impl<'a> Arena<'a> {
    /// Opens a loan for each race.
    pub(super) async fn new(suite: &'a Suite, races: u64) -> eyre::Result<Self> {
        let params = suite.market("weth-usdc")?;
        let debts: Vec<_> = (0..races).map(|race| debt(liquidation_price(race))).collect();
        suite.supply(&params, U256::from(2 * debts.iter().sum::<u128>())).await?;
        let market_env = MarketEnv::open(suite, "weth-usdc", "eth-usd", POOL.map(U256::from)).await?;
        say(format_args!("opening {races} loans"));
        let core = suite.contract("Plimsoll")?;
        let loans: Vec<_> = debts.into_iter().map(|debt| NewLoan { collateral: ETHER, debt }).collect();
        Borrowers::deploy(&suite.devnet, core, TRANSACTION_GAS).await?.open(&params, &loans).await?;
        // The base fee has fallen in almost empty blocks. A transaction that is priced by it could not pay that of the races,
        // and the node would discard it.
        let provider = suite.devnet.provider();
        provider.anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
        provider.evm_mine(None).await?;
        let borrowers = market_env.borrowers().await?;
        let observer = Observer::start(&suite.devnet.node).await?;
        let rival = suite.devnet.node.account(RIVAL)?;
        Ok(Self { suite, market_env, observer, borrowers, rival, keeper: None, relay: None, next: 0, template: None })
    }

    /// Starts a keeper that knows of no rivals, and whose transactions enter the pool.
    pub(super) async fn start_keeper(&mut self, name: &str, program: Command) -> eyre::Result<()> {
        let setup = KeeperSetup { folder: format!("keeper-{name}"), ..KeeperSetup::live(self.suite) };
        self.start(setup, program).await
    }

    /// Starts a keeper that knows of no rivals, and whose transactions go to a builder in bundles.
    pub(super) async fn start_keeper_with_builder(&mut self, name: &str, program: Command) -> eyre::Result<()> {
        let relay = Relay::start(self.suite.devnet.provider().clone()).await?;
        let setup = KeeperSetup {
            folder: format!("keeper-bundles-{name}"),
            endpoints: vec![
                format!("url = \"{}\"\nrole = \"read\"", self.suite.devnet.node.ws_url()),
                format!("url = \"{}\"\nrole = \"bundle\"", relay.url()),
            ],
            ..KeeperSetup::live(self.suite)
        };
        self.relay = Some(relay);
        self.start(setup, program).await
    }

    async fn start(&mut self, setup: KeeperSetup, program: Command) -> eyre::Result<()> {
        self.suite.devnet.provider().anvil_set_auto_mine(true).await?;
        let keeper = Keeper::start_with(self.suite, program, &setup).await?;
        keeper.wait_until_ready().await?;
        self.keeper = Some(keeper);
        self.suite.devnet.provider().anvil_set_auto_mine(false).await?;
        Ok(())
    }

    pub(super) async fn stop_keeper(&mut self) -> eyre::Result<()> {
        self.relay = None;
        match self.keeper.take() {
            Some(keeper) => keeper.shut_down().await,
            None => Ok(()),
        }
    }

    /// Makes one more loan liquidatable, lets the keeper and the interference act, and mines both.
    pub(super) async fn race(&mut self, interference: Interference) -> eyre::Result<RaceOutcome> {
        let race = self.next;
        self.next += 1;
        // In a block of its own, so that the price alone is new in the next one.
        let provider = self.suite.devnet.provider();
        provider.anvil_set_auto_mine(true).await?;
        self.market_env.trade_to(POOL_PRICES[0] * DOLLAR).await?;
        provider.anvil_set_auto_mine(false).await?;
        self.suite.send_price("eth-usd", (liquidation_price(race) - STEP / 2) * 100).await?;
        let block = self.mine().await?;
        let ours = self.keepers_transaction(block).await?;
        let mut outcome = RaceOutcome { sent: ours.is_some(), ..RaceOutcome::default() };
        let mut theirs = None;
        match interference {
            // A bundle cannot be seen, and what is not seen is not copied.
            Interference::Rival(Bid::Copy) if self.relay.is_some() => {}
            Interference::Rival(bid) => {
                (theirs, outcome.rival) = self.rival_bids(race, bid, ours.map(|(_, tip)| tip)).await?;
            }
            Interference::Sandwich { step, steps } => {
                let [from, to] = POOL_PRICES;
                let price = from - (from - to) * u128::from(step) / u128::from(steps - 1);
                self.market_env.send_trade_first(price * DOLLAR, TRADE_FEE).await?;
            }
        }
        let block = match &self.relay {
            Some(relay) => {
                self.suite.devnet.provider().anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
                let built = relay.build_block().await?;
                outcome.dropped = ours.is_some_and(|(hash, _)| built.dropped.contains(&hash));
                built.number
            }
            None => self.mine().await?,
        };
        if let Some((hash, _)) = ours.filter(|_| !outcome.dropped) {
            let receipt = self.receipt(hash).await?;
            (outcome.won, outcome.reverted) = (receipt.status(), !receipt.status());
            outcome.gas = receipt.gas_used;
            outcome.cost = u128::from(receipt.gas_used) * receipt.effective_gas_price;
            outcome.received = self.profit(&receipt)?;
        }
        outcome.gain = outcome.received;
        if let Some(hash) = theirs {
            outcome.gain = outcome.gain.max(self.profit(&self.receipt(hash).await?)?);
        }
        self.keeper()?.wait_for_block(block).await?;
        time::sleep(PAUSE).await;
        Ok(outcome)
    }

    fn keeper(&self) -> eyre::Result<&Keeper> {
        self.keeper.as_ref().wrap_err("no keeper is running")
    }

    /// Mines a block with the usual base fee, and returns its number.
    async fn mine(&self) -> eyre::Result<u64> {
        let provider = self.suite.devnet.provider();
        provider.anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
        provider.evm_mine(None).await?;
        Ok(provider.get_block_number().await?)
    }

    /// Returns the keeper's pending transaction after a block, and its priority fee; `None` where it sends nothing.
    async fn keepers_transaction(&mut self, block: u64) -> eyre::Result<Option<(B256, u128)>> {
        let provider = self.suite.devnet.provider().clone();
        if let Some(relay) = &self.relay {
            let is_sent = || async { Ok(!relay.bundles_for(block + 1).is_empty()) };
            if !self.keeper()?.wait_until_sent(block, is_sent).await? {
                return Ok(None);
            }
            let bundle = relay.wait_for_bundle(block + 1).await?;
            let transaction = TxEnvelope::decode_2718(&mut bundle.raw.as_ref())?;
            self.template = Some(ILiquidator::liquidateCall::abi_decode(transaction.input())?.liquidation);
            return Ok(Some((*transaction.tx_hash(), transaction.max_priority_fee_per_gas().unwrap_or_default())));
        }
        let (signer, sends) = {
            let keeper = self.keeper()?;
            (keeper.signer(), keeper.wait_for_response(&provider, block).await?)
        };
        if !sends {
            return Ok(None);
        }
        loop {
            let hash = self.observer.next_pending().await?;
            let Some(transaction) = provider.get_transaction_by_hash(hash).await? else { continue };
            if transaction.inner.signer() != signer || transaction.block_number.is_some() {
                continue;
            }
            self.template = Some(ILiquidator::liquidateCall::abi_decode(transaction.input())?.liquidation);
            return Ok(Some((hash, transaction.max_priority_fee_per_gas().unwrap_or_default())));
        }
    }

    /// Sends the rival's liquidation of a race's loan. Returns its hash, and the share of the net profit that it bids.
    async fn rival_bids(&self, race: u64, bid: Bid, seen: Option<u128>) -> eyre::Result<(Option<B256>, Option<u128>)> {
        let Some(mut call) = self.template.clone().filter(|_| bid != Bid::Absent) else { return Ok((None, None)) };
        let borrower = self.borrowers.get(usize::try_from(race)?).wrap_err("no such loan")?;
        (call.borrowers, call.receiver, call.maxRepay) = (vec![*borrower], self.rival, U256::MAX);
        (call.minProfit, call.gasOverhead, call.deadline) = (U256::ZERO, U256::ZERO, U256::MAX);
        let rate = call.unitsPerWeiX96;
        let request = TransactionRequest::default()
            .with_from(self.rival)
            .with_to(self.suite.contract("Liquidator")?)
            .with_input(ILiquidator::liquidateCall { liquidation: call }.abi_encode())
            .with_gas_limit(RIVALS_GAS);
        let provider = self.suite.devnet.provider();
        // As of the block: in the next one, ours may come first.
        let outcome = provider.call(request.clone()).latest().await.wrap_err("the rival's liquidation")?;
        let profit = ILiquidator::liquidateCall::abi_decode_returns(&outcome)?.profit;
        let gas = u128::from(provider.estimate_gas(request.clone()).block(BlockId::latest()).await?);
        let net = in_wei(profit, rate).saturating_sub(gas * (BASE_FEE + MIN_PRIORITY_FEE));
        let tip = match bid {
            Bid::Absent => 0,
            Bid::Share(share) => net / WHOLE * share / gas,
            Bid::Copy => seen.map_or(MIN_PRIORITY_FEE, |tip| tip + tip / 1_000 + 1),
        };
        let request = request.with_max_priority_fee_per_gas(tip).with_max_fee_per_gas(2 * BASE_FEE + tip);
        let hash = *provider.send_transaction(request).await?.tx_hash();
        Ok((Some(hash), Some((tip * gas).saturating_mul(WHOLE) / net.max(1))))
    }

    async fn receipt(&self, hash: B256) -> eyre::Result<TransactionReceipt> {
        let receipt = self.suite.devnet.provider().get_transaction_receipt(hash).await?;
        receipt.wrap_err_with(|| format!("the transaction {hash} was not mined"))
    }

    /// Returns the value of the profit in a receipt, in wei; 0 without any.
    fn profit(&self, receipt: &TransactionReceipt) -> eyre::Result<u128> {
        let rate = self.template.as_ref().wrap_err("the keeper has sent nothing yet")?.unitsPerWeiX96;
        let events = receipt.logs().iter().filter_map(|log| {
            let event = ILiquidator::LiquidateWithoutCapital::decode_log(&log.inner).ok()?;
            Some(in_wei(event.profit, rate))
        });
        Ok(events.sum())
    }
}

/// Returns the value of units in wei, by the rate that a call charges its gas at.
fn in_wei(units: U256, units_per_wei_x96: u128) -> u128 {
    let wei: U256 = (units << 96) / U256::from(units_per_wei_x96.max(1));
    wei.saturating_to()
}

/// Returns the price at which a race's loan becomes liquidatable, in millionths of a dollar for an ether.
fn liquidation_price(race: u64) -> u128 {
    FIRST_PRICE - u128::from(race) * STEP
}

/// Returns the debt against one ether whose liquidation price this is, both in millionths of a dollar.
const fn debt(price: u128) -> u128 {
    price * LIQUIDATION_LTV_PERCENT / 100
}
