//! A core with three markets of unusual decimals and two staking programmes on a node, and actors with random actions.
//! It does not depend on the keeper, so that any part of it can be tested on this.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{
        TransactionRequest,
        anvil::{ReorgOptions, TransactionData},
    },
    sol_types::{SolCall, SolValue},
};
use eyre::ContextCompat;
use plimsoll_contracts::{IOracle, IPlimsoll, IRewards, MarketParams, RateCurve, Risk, SurgeLimit};
use plimsoll_keeper::chain::Sources;
use plimsoll_testkit::devnet::{Devnet, ITestToken, mined};

use super::guarding::authorisation;
use crate::random::Random;

const ACTORS: u64 = 24;
/// Number of actors that stake in the second pool: so few that it is sometimes empty.
const ACTORS_OF_SMALL_POOL: usize = 2;
pub(crate) const MIN_DEBT: u128 = 10_000;
/// Gas limit of every action. An estimate would cost a call, and not reflect the next block.
const GAS_LIMIT: u64 = 3_000_000;
/// The longest time between two blocks, in seconds.
const MAX_BLOCK_SECONDS: u128 = 200_000;

/// A chain with its contracts and actors.
pub(crate) struct Simulation<'a> {
    devnet: &'a Devnet,
    provider: DynProvider,
    pub(crate) core: Address,
    pub(crate) rewards: Address,
    pub(crate) guard: Address,
    pub(crate) lens: Address,
    pub(crate) markets: Vec<LocalMarket>,
    pub(crate) pools: Vec<LocalPool>,
    pub(crate) vaults: BTreeSet<Address>,
    pub(crate) actors: Vec<Address>,
    pub(crate) random: Random,
    pub(crate) timestamp: u64,
    nonces: BTreeMap<Address, u64>,
    /// Requests that are held for replacement blocks instead of being sent.
    held: Option<Vec<TransactionRequest>>,
}

/// A market with its current price.
#[derive(Clone)]
pub(crate) struct LocalMarket {
    pub(crate) params: MarketParams,
    pub(crate) first_price: U256,
    pub(crate) price: U256,
    /// Factor by which most loans exceed the minimum, so that their collateral is more than a few units.
    pub(crate) scale: u128,
}

/// A staking programme.
#[derive(Clone)]
pub(crate) struct LocalPool {
    pub(crate) id: B256,
    pub(crate) stake_token: Address,
    pub(crate) reward_tokens: Vec<Address>,
    /// Number of actors that stake in it, from the first on.
    pub(crate) stakers: usize,
}

impl<'a> Simulation<'a> {
    /// Deploys contracts, markets and pools, and funds the actors. From then on blocks are mined on request only.
    pub(crate) async fn new(devnet: &'a Devnet, seed: u64) -> eyre::Result<Self> {
        let core = devnet.deploy("Plimsoll", devnet.deployer().abi_encode()).await?;
        let mut tokens = Vec::new();
        for decimals in [6, 18, 0] {
            tokens.push((devnet.deploy_token("Token", decimals).await?, decimals));
        }
        let mut simulation = Self {
            devnet,
            provider: devnet.node.impersonating().await?,
            core,
            rewards: devnet.deploy("Rewards", Vec::new()).await?,
            guard: devnet.deploy("Guard", core.abi_encode()).await?,
            lens: devnet.deploy("Lens", core.abi_encode()).await?,
            markets: Vec::new(),
            pools: Vec::new(),
            vaults: BTreeSet::new(),
            actors: (0..ACTORS).map(|number| Address::from_word(keccak256(number.to_be_bytes()))).collect(),
            random: Random::from_seed(seed),
            timestamp: 0,
            nonces: BTreeMap::new(),
            held: None,
        };
        simulation.create_markets(&tokens).await?;
        let [first, second, third] = [0, 1, 2].map(|index: usize| tokens[index].0);
        simulation.create_pool(first, vec![first, second], simulation.actors.len()).await?;
        simulation.create_pool(third, vec![second], ACTORS_OF_SMALL_POOL).await?;
        for actor in simulation.actors.clone() {
            simulation.provider.anvil_set_balance(actor, U256::from(10).pow(U256::from(24))).await?;
            simulation.enqueue(actor, core, authorisation(simulation.guard)).await?;
            for (token, _) in &tokens {
                let wealth = ITestToken::mintCall { to: actor, amount: U256::ONE << 110 };
                simulation.enqueue(actor, *token, wealth.abi_encode()).await?;
                for spender in [core, simulation.rewards, simulation.guard] {
                    let allowance = ITestToken::approveCall { spender, amount: U256::MAX };
                    simulation.enqueue(actor, *token, allowance.abi_encode()).await?;
                }
            }
        }
        simulation.provider.anvil_set_auto_mine(false).await?;
        simulation.refresh().await?;
        Ok(simulation)
    }

    async fn create_markets(&mut self, tokens: &[(Address, u8)]) -> eyre::Result<()> {
        // 2,000 of the first for one of the second, the inverse, and 50 for the token without decimals.
        for (loan, collateral, times, divided_by, scale) in
            [(0, 1, 2_000u64, 1u64, 1), (1, 0, 1, 2_000, 1_000_000), (0, 2, 50, 1, 1_000)]
        {
            let ((loan_token, loan_decimals), (collateral_token, collateral_decimals)) =
                (tokens[loan], tokens[collateral]);
            let par = U256::from(10).pow(U256::from(36 + loan_decimals - collateral_decimals));
            let price = par * U256::from(times) / U256::from(divided_by);
            let oracle = self.devnet.deploy("OneSlotOracle", price.abi_encode()).await?;
            let mut risk = Risk::new(8_000, 8_600, MIN_DEBT)?;
            // One of the markets limits how fast its debt grows, so that some loans are refused.
            if self.markets.is_empty() {
                let limit = SurgeLimit { share_bps: 5_000, period_secs: 2_592_000, floor_multiple: 20_000 };
                risk = risk.with_surge_limit(limit)?;
            }
            let curve = RateCurve::new(5_000_000_000, 8_000, 40_000, 500_000)?;
            let params = MarketParams::new(loan_token, collateral_token, oracle, risk, curve);
            let core = IPlimsoll::new(self.core, self.devnet.provider());
            mined(core.createMarket(params.clone()).from(self.deployer())).await?;
            self.markets.push(LocalMarket { params, first_price: price, price, scale });
        }
        Ok(())
    }

    async fn create_pool(
        &mut self,
        stake_token: Address,
        reward_tokens: Vec<Address>,
        stakers: usize,
    ) -> eyre::Result<()> {
        let rewards = IRewards::new(self.rewards, self.devnet.provider());
        let id = rewards.poolId(stake_token, reward_tokens.clone(), B256::ZERO).call().await?;
        mined(rewards.createPool(stake_token, reward_tokens.clone(), B256::ZERO).from(self.deployer())).await?;
        self.pools.push(LocalPool { id, stake_token, reward_tokens, stakers });
        Ok(())
    }

    pub(crate) const fn provider(&self) -> &DynProvider {
        &self.provider
    }

    pub(crate) const fn deployer(&self) -> Address {
        self.devnet.deployer()
    }

    pub(crate) fn sources(&self) -> Sources {
        let all = Sources::all(self.core, Some(self.rewards));
        Sources { guard: Some(self.guard), vaults: self.vaults.clone(), ..all }
    }

    /// Sends a random action, which the contracts may refuse. It waits for the next block.
    pub(crate) async fn random_action(&mut self) -> eyre::Result<()> {
        match self.below(4) {
            0 => self.random_staking_action().await,
            1 => self.random_guard_action().await,
            _ => self.random_lending_action().await,
        }
    }

    /// Returns the number of the newest block.
    pub(crate) async fn head_number(&self) -> eyre::Result<u64> {
        Ok(self.provider.get_block_number().await?)
    }

    /// Chooses the timestamp of the next block.
    pub(crate) fn next_timestamp(&mut self) -> u64 {
        self.timestamp + 1 + u64::try_from(self.random.amount_to(MAX_BLOCK_SECONDS)).unwrap_or(0)
    }

    /// Mines the pending actions in a block with this timestamp.
    pub(crate) async fn mine_at(&mut self, timestamp: u64) -> eyre::Result<()> {
        self.provider.anvil_set_next_block_timestamp(timestamp).await?;
        self.provider.evm_mine(None).await?;
        self.timestamp = timestamp;
        Ok(())
    }

    /// Replaces the last blocks by others with other actions.
    pub(crate) async fn reorg(&mut self, depth: u64, deeds: u64) -> eyre::Result<()> {
        self.held = Some(Vec::new());
        for _ in 0..deeds {
            self.random_action().await?;
        }
        let deeds = self.held.take().unwrap_or_default();
        let mut blocks: Vec<_> = deeds.iter().map(|_| self.random.below(depth)).collect();
        blocks.sort_unstable();
        // An empty first block could equal the one that it replaces.
        blocks.first_mut().into_iter().for_each(|first| *first = 0);
        let tx_block_pairs = deeds.into_iter().map(TransactionData::JSON).zip(blocks).collect();
        self.provider.anvil_reorg(ReorgOptions { depth, tx_block_pairs }).await?;
        self.refresh().await
    }

    /// Removes the last blocks.
    pub(crate) async fn roll_back(&mut self, depth: u64) -> eyre::Result<()> {
        self.provider.anvil_rollback(Some(depth)).await?;
        self.refresh().await
    }

    /// Reads the remembered state from the chain, which has changed by a reorg.
    pub(crate) async fn refresh(&mut self) -> eyre::Result<()> {
        self.nonces.clear();
        let head = self.provider.get_block(BlockId::latest()).await?.wrap_err("a chain has a head")?;
        self.timestamp = head.header.timestamp;
        for market in &mut self.markets {
            market.price = IOracle::new(market.params.oracle, &self.provider).liquidationPrice().call().await?;
        }
        Ok(())
    }

    /// Sends a transaction without waiting. One that reverts is mined, too, and has no effect.
    pub(crate) async fn enqueue(&mut self, from: Address, to: Address, data: Vec<u8>) -> eyre::Result<()> {
        let request = TransactionRequest::default()
            .with_from(from)
            .with_to(to)
            .with_gas_limit(GAS_LIMIT)
            .with_input(Bytes::from(data));
        if let Some(held) = &mut self.held {
            held.push(request);
            return Ok(());
        }
        let nonce = match self.nonces.get(&from) {
            Some(nonce) => *nonce,
            None => self.provider.get_transaction_count(from).pending().await?,
        };
        self.nonces.insert(from, nonce + 1);
        let _pending = self.provider.send_transaction(request.with_nonce(nonce)).await?;
        Ok(())
    }

    pub(crate) fn anybody(&mut self) -> Address {
        let index = self.below(self.actors.len());
        self.actors[index]
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.random.index(end)
    }
}
