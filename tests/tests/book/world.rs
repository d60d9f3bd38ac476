//! A core with three markets of odd decimals on a node of our own, and people who do whatever comes to mind.

use std::collections::BTreeMap;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256, keccak256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol_types::{SolCall, SolValue},
};
use plimsoll_contracts::{IPlimsoll, MarketParams, RateCurve, Risk};
use plimsoll_keeper::{book::Book, math::liquidation::ORACLE_SCALE};
use plimsoll_lab::rig::{IOneSlotOracle, ITestToken, Rig, mined};

use crate::random::Random;

const ACTORS: u64 = 24;
const SMALLEST_DEBT: u128 = 10_000;
/// Enough for each deed; an estimate would cost a call and know nothing of the block to come.
const GAS_LIMIT: u64 = 3_000_000;

/// Where everything happens.
pub(super) struct World<'a> {
    rig: &'a Rig,
    provider: DynProvider,
    pub(super) core: Address,
    pub(super) lens: Address,
    pub(super) markets: Vec<LocalMarket>,
    pub(super) actors: Vec<Address>,
    pub(super) random: Random,
    pub(super) timestamp: u64,
    nonces: BTreeMap<Address, u64>,
}

/// A market and its price.
#[derive(Clone)]
pub(super) struct LocalMarket {
    pub(super) params: MarketParams,
    first_price: U256,
    pub(super) price: U256,
}

impl<'a> World<'a> {
    pub(super) async fn new(rig: &'a Rig, seed: u64) -> eyre::Result<Self> {
        let provider = rig.node.impersonating().await?;
        let core = rig.deploy("Plimsoll", rig.deployer().abi_encode()).await?;
        let mut tokens = Vec::new();
        for decimals in [6, 18, 0] {
            tokens.push((rig.deploy_token("Token", decimals).await?, decimals));
        }
        let actors: Vec<_> = (0..ACTORS).map(|number| Address::from_word(keccak256(number.to_be_bytes()))).collect();
        let mut world = Self {
            rig,
            provider,
            core,
            lens: rig.deploy("Lens", core.abi_encode()).await?,
            markets: Vec::new(),
            actors,
            random: Random::from_seed(seed),
            timestamp: 0,
            nonces: BTreeMap::new(),
        };
        // Two thousand of the first for one of the second, the other way round, and fifty for what has no decimals.
        for (loan, collateral, times, divided_by) in [(0, 1, 2_000u64, 1u64), (1, 0, 1, 2_000), (0, 2, 50, 1)] {
            let ((loan_token, loan_decimals), (collateral_token, collateral_decimals)) =
                (tokens[loan], tokens[collateral]);
            let scale = U256::from(10).pow(U256::from(36 + loan_decimals - collateral_decimals));
            let price = scale * U256::from(times) / U256::from(divided_by);
            let oracle = rig.deploy("OneSlotOracle", price.abi_encode()).await?;
            let (risk, curve) =
                (Risk::new(8_000, 8_600, SMALLEST_DEBT)?, RateCurve::new(5_000_000_000, 8_000, 40_000, 500_000)?);
            let params = MarketParams::new(loan_token, collateral_token, oracle, risk, curve);
            mined(IPlimsoll::new(core, rig.provider()).createMarket(params.clone()).from(rig.deployer())).await?;
            world.markets.push(LocalMarket { params, first_price: price, price });
        }
        for actor in world.actors.clone() {
            world.provider.anvil_set_balance(actor, U256::from(10).pow(U256::from(24))).await?;
            for (token, _) in &tokens {
                let wealth = ITestToken::mintCall { to: actor, amount: U256::ONE << 110 };
                world.enqueue(actor, *token, wealth.abi_encode()).await?;
                let allowance = ITestToken::approveCall { spender: core, amount: U256::MAX };
                world.enqueue(actor, *token, allowance.abi_encode()).await?;
            }
        }
        let head = world.provider.get_block(alloy::eips::BlockId::latest()).await?;
        world.timestamp = head.map_or(0, |block| block.header.timestamp);
        let deployer = rig.deployer();
        world.nonces.insert(deployer, world.provider.get_transaction_count(deployer).await?);
        world.provider.anvil_set_auto_mine(false).await?;
        Ok(world)
    }

    pub(super) const fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// When the next block will be.
    pub(super) fn next_timestamp(&mut self) -> u64 {
        self.timestamp + 1 + u64::try_from(self.random.amount_to(200_000)).unwrap_or(0)
    }

    /// Mines what was sent since the last time.
    pub(super) async fn mine_at(&mut self, timestamp: u64) -> eyre::Result<()> {
        self.provider.anvil_set_next_block_timestamp(timestamp).await?;
        self.provider.evm_mine(None).await?;
        self.timestamp = timestamp;
        Ok(())
    }

    /// Sends without waiting; what reverts is mined, too, and leaves no trace.
    pub(super) async fn enqueue(&mut self, from: Address, to: Address, data: Vec<u8>) -> eyre::Result<()> {
        let nonce = self.nonces.entry(from).or_default();
        let request = TransactionRequest::default()
            .with_from(from)
            .with_to(to)
            .with_nonce(*nonce)
            .with_gas_limit(GAS_LIMIT)
            .with_input(Bytes::from(data));
        *nonce += 1;
        let _pending = self.provider.send_transaction(request).await?;
        Ok(())
    }

    pub(super) fn anybody(&mut self) -> Address {
        let index = self.below(self.actors.len());
        self.actors[index]
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.random.below(end)).unwrap_or(0)
    }

    /// From the smallest debt to ten thousand times as much.
    fn some_debt(&mut self) -> u128 {
        SMALLEST_DEBT + ((u128::from(self.random.below(10_000)) * SMALLEST_DEBT) >> self.random.below(14))
    }

    /// Has somebody do something in some market, which the core may refuse.
    pub(super) async fn deed(&mut self, book: &Book) -> eyre::Result<()> {
        let index = self.below(self.markets.len());
        let LocalMarket { params, price, .. } = self.markets[index].clone();
        let (who, other) = (self.anybody(), self.anybody());
        let position = book.market(params.id()).map(|market| market.position(who)).unwrap_or_default();
        let debt = self.some_debt();
        let eighths = u128::from(1 + self.random.below(8));
        let part = |whole: u128| U256::from(if eighths == 8 { whole } else { whole / 8 * eighths });
        let (data, none) = (Bytes::new(), U256::ZERO);
        let call = match self.random.below(16) {
            0 | 1 => {
                let assets = U256::from(debt) * U256::from(20);
                IPlimsoll::supplyCall { params, assets, shares: none, onBehalf: other, data }.abi_encode()
            }
            2 => {
                let shares = part(position.supply_shares);
                IPlimsoll::withdrawCall { params, assets: none, shares, onBehalf: who, receiver: other }.abi_encode()
            }
            3 => {
                let assets = part(position.collateral);
                IPlimsoll::withdrawCollateralCall { params, assets, onBehalf: who, receiver: other }.abi_encode()
            }
            4 => {
                let assets = collateral_worth(debt, price);
                IPlimsoll::supplyCollateralCall { params, assets, onBehalf: other, data }.abi_encode()
            }
            5 => {
                let shares = part(position.borrow_shares);
                IPlimsoll::repayCall { params, assets: none, shares, onBehalf: who, data }.abi_encode()
            }
            6 => {
                let assets = U256::from(debt / 2);
                IPlimsoll::repayCall { params, assets, shares: none, onBehalf: other, data }.abi_encode()
            }
            7 => IPlimsoll::accrueCall { params }.abi_encode(),
            8 => return self.move_price(index).await,
            9 => return self.rule(params, who).await,
            10 => return self.cover(params, who, U256::from(debt)).await,
            // Most often, since only loans make the rest happen.
            _ => self.open_loan(params, price, who, debt),
        };
        self.enqueue(who, self.core, call).await
    }

    /// Collateral and a loan of up to what it carries, in one transaction.
    fn open_loan(&mut self, params: MarketParams, price: U256, who: Address, debt: u128) -> Vec<u8> {
        let assets = collateral_worth(debt * u128::from(126 + self.random.below(40)) / 100, price);
        let post =
            IPlimsoll::supplyCollateralCall { params: params.clone(), assets, onBehalf: who, data: Bytes::new() };
        let (assets, shares) = (U256::from(debt), U256::ZERO);
        let take = IPlimsoll::borrowCall { params, assets, shares, onBehalf: who, receiver: who };
        let calls = vec![post.abi_encode().into(), take.abi_encode().into()];
        IPlimsoll::multicallCall { calls }.abi_encode()
    }

    /// By up to a fifth either way, and back to where it began when it went too far.
    async fn move_price(&mut self, index: usize) -> eyre::Result<()> {
        let percent = U256::from(80 + self.random.below(38));
        let LocalMarket { params, first_price, price } = &mut self.markets[index];
        *price = *price * percent / U256::from(100);
        if *price < *first_price / U256::from(4) || *price > *first_price * U256::from(4) {
            *price = *first_price;
        }
        let (oracle, price) = (params.oracle, *price);
        self.enqueue(self.rig.deployer(), oracle, IOneSlotOracle::setCall { price }.abi_encode()).await
    }

    /// What the owner may change, or a payout that anybody may ask for.
    async fn rule(&mut self, params: MarketParams, who: Address) -> eyre::Result<()> {
        let id = params.id().0;
        let call = match self.random.below(4) {
            0 => IPlimsoll::setFeeCall { params, feeBps: U256::from(self.random.below(2_501)) }.abi_encode(),
            1 => IPlimsoll::setFeeRecipientCall { id, recipient: who }.abi_encode(),
            2 => IPlimsoll::setBackstopCall { id, backstop: who }.abi_encode(),
            _ => IPlimsoll::collectReserveCall { params }.abi_encode(),
        };
        self.enqueue(self.rig.deployer(), self.core, call).await
    }

    /// What a backstop does. Whoever covers some market is likely to be the one.
    async fn cover(&mut self, params: MarketParams, who: Address, assets: U256) -> eyre::Result<()> {
        let (id, token) = (params.id().0, params.loanToken);
        let covering = IPlimsoll::new(self.core, &self.provider).backstop(id).call().await?;
        let who = if covering.is_zero() { who } else { covering };
        let call = match self.random.below(8) {
            0 => IPlimsoll::withdrawCoverCall { token, assets, receiver: who }.abi_encode(),
            1 => IPlimsoll::setCoverFloorCall { token, floor: assets }.abi_encode(),
            2..5 => IPlimsoll::setCoverLimitCall { id, limit: assets }.abi_encode(),
            _ => IPlimsoll::depositCoverCall { token, assets }.abi_encode(),
        };
        self.enqueue(who, self.core, call).await
    }
}

/// At a price, rounded up.
fn collateral_worth(units: u128, price: U256) -> U256 {
    (U256::from(units) * ORACLE_SCALE).div_ceil(price)
}
