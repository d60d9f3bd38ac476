//! The book of a vault equals the chain through random histories with reorgs: deposits, exits of every kind, moves between
//! markets and changes of its settings, while others lend, borrow and are liquidated in its markets.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::ext::AnvilApi,
    sol_types::{SolCall, SolValue},
};
use eyre::ContextCompat;
use plimsoll_contracts::{IERC4626, IVault, MarketId};
use plimsoll_keeper::{
    book::{Book, collateral_cap_id, oracle_cap_id},
    chain::Event,
    math::shares::to_assets_down,
};
use plimsoll_testkit::devnet::{Devnet, ITestToken};

use super::{BookFollower, kind, simulation::Simulation};

const BLOCKS: u64 = 400;
const BLOCKS_BETWEEN_COMPARISONS: u64 = 20;
/// The most actions in a block.
const MAX_ACTIONS: u64 = 6;
const DAY_SECS: u64 = 86_400;
const SEED: u64 = 11;
/// Markets of the simulation that lend the vault's asset.
const MARKETS: [usize; 2] = [0, 2];
/// Number of the vault's own events that change the book, besides those of its constructor.
const CHANGING_EVENTS: usize = 13;

/// A vault, and the accounts that have its roles.
struct VaultSimulation<'a> {
    simulation: Simulation<'a>,
    vault: Address,
    allocator: Address,
    /// Owner, curator and guardian.
    senior: Address,
    /// A change that was submitted, and may be executed after its delay.
    submitted: Option<Vec<u8>>,
}

impl<'a> VaultSimulation<'a> {
    async fn new(devnet: &'a Devnet) -> eyre::Result<Self> {
        let mut simulation = Simulation::new(devnet, SEED).await?;
        let (allocator, senior) = (simulation.actors[0], simulation.actors[1]);
        let markets: Vec<_> = MARKETS.iter().map(|index| simulation.markets[*index].params.clone()).collect();
        let unbounded =
            |id| IVault::CapSetup { capId: id, absolute: U256::from(u128::MAX), relativeBps: U256::from(10_000) };
        let caps = markets.iter().flat_map(|params| {
            [params.id().0, collateral_cap_id(params.collateralToken), oracle_cap_id(params.oracle)].map(unbounded)
        });
        let setup = IVault::Setup {
            plimsoll: simulation.core,
            asset: markets[0].loanToken,
            name: "Vault".to_owned(),
            symbol: "V".to_owned(),
            owner: senior,
            curator: senior,
            guardian: senior,
            allocators: vec![allocator],
            feeRecipient: simulation.actors[2],
            feeBps: U256::from(2_000),
            // 100 % a year.
            maxRatePerSecond: U256::from(31_709_791_983_u64),
            penaltyBps: U256::from(10),
            raiseDelaySecs: U256::from(DAY_SECS),
            nudgeBps: U256::from(1_000),
            nudgeSecs: U256::from(DAY_SECS),
            markets: markets.iter().map(|params| params.id().0).collect(),
            caps: caps.collect(),
            depositMarket: markets[0].id().0,
        };
        simulation.provider().anvil_set_auto_mine(true).await?;
        let vault = devnet.deploy("Vault", setup.abi_encode()).await?;
        for actor in simulation.actors.clone() {
            let allowance = ITestToken::approveCall { spender: vault, amount: U256::MAX };
            simulation.enqueue(actor, setup.asset, allowance.abi_encode()).await?;
        }
        simulation.provider().anvil_set_auto_mine(false).await?;
        simulation.refresh().await?;
        simulation.vaults.insert(vault);
        Ok(Self { simulation, vault, allocator, senior, submitted: None })
    }

    /// Sends a random action at the vault, which it may refuse.
    async fn random_action(&mut self) -> eyre::Result<()> {
        let (who, other) = (self.simulation.anybody(), self.simulation.anybody());
        let shares = IERC4626::new(self.vault, self.simulation.provider()).balanceOf(who).call().await?;
        let eighths = U256::from(1 + self.simulation.random.below(8));
        let part = |whole: U256| whole * eighths / U256::from(8);
        let assets = U256::from(1 + self.simulation.random.amount_to(100_000_000_000_000));
        let [first, second] = MARKETS.map(|index| self.simulation.markets[index].params.id().0);
        let (one, another) = if self.simulation.below(2) == 0 { (first, second) } else { (second, first) };
        let none = U256::ZERO;
        let (from, call) = match self.simulation.below(20) {
            0..6 => (who, IVault::depositCall { assets, receiver: other, minShares: none }.abi_encode()),
            6 | 7 => {
                let shares = part(shares);
                (who, IVault::redeemCall { shares, receiver: other, owner: who, minAssets: none }.abi_encode())
            }
            8 => {
                let assets = part(shares) / U256::from(1_000_000);
                (who, IVault::withdrawCall { assets, receiver: who, owner: who, maxShares: U256::MAX }.abi_encode())
            }
            9 | 10 => {
                let leave_idle = self.simulation.below(4) == 0;
                let shares = part(shares);
                (
                    who,
                    IVault::redeemInKindCall { shares, receiver: other, owner: who, leaveIdle: leave_idle }
                        .abi_encode(),
                )
            }
            11..15 => {
                let sources = vec![IVault::Source { id: one, assets }];
                let bound = U256::from(9_000 + self.simulation.random.below(1_001));
                let targets =
                    vec![IVault::Target { id: another, assets, maxUtilisationBps: bound, minRatePerSecond: none }];
                let call = IVault::reallocateCall { sources, targets, minIdle: none, deadline: U256::MAX };
                (self.allocator, call.abi_encode())
            }
            15 => (
                self.allocator,
                IVault::setDepositMarketCall { id: if eighths > U256::from(2) { one } else { <_>::default() } }
                    .abi_encode(),
            ),
            16 => (who, IVault::accrueCall {}.abi_encode()),
            17 => (self.senior, IVault::deallocateCall { id: one }.abi_encode()),
            _ => return self.change_settings(one).await,
        };
        self.simulation.enqueue(from, self.vault, call).await
    }

    /// Lowers something, or submits or executes what raises risk.
    async fn change_settings(&mut self, market: B256) -> eyre::Result<()> {
        let number = U256::from(self.simulation.random.below(2_000));
        let (from, call) = match self.simulation.below(10) {
            0 => {
                let absolute = U256::from(self.simulation.random.amount_to(u128::MAX >> 40));
                (
                    self.senior,
                    IVault::setCapCall { capId: market, absolute, relativeBps: U256::from(8_000) + number }
                        .abi_encode(),
                )
            }
            1 => {
                let vault = IVault::new(self.vault, self.simulation.provider());
                let cap = vault.cap(market).call().await?;
                (
                    self.senior,
                    IVault::nudgeCapCall { capId: market, absolute: cap.absolute + cap.absolute / U256::from(20) }
                        .abi_encode(),
                )
            }
            2 => (self.senior, IVault::setFeeCall { feeBps: number }.abi_encode()),
            3 => {
                let rate = U256::from(31_000_000_000_u64) - number;
                (self.senior, IVault::setMaxRateCall { maxRatePerSecond: rate }.abi_encode())
            }
            4 => (self.senior, IVault::removeMarketCall { id: market }.abi_encode()),
            5 => (
                self.senior,
                IVault::setAllocatorCall { account: self.simulation.actors[3], allowed: false }.abi_encode(),
            ),
            6 | 7 => match self.submitted.take() {
                Some(call) => (self.allocator, IVault::executeCall { call: Bytes::from(call) }.abi_encode()),
                None => return self.submit(market, number).await,
            },
            _ => return self.submit(market, number).await,
        };
        self.simulation.enqueue(from, self.vault, call).await
    }

    /// Submits a change that raises risk.
    async fn submit(&mut self, market: alloy::primitives::B256, number: U256) -> eyre::Result<()> {
        let call = match self.simulation.below(5) {
            0 => IVault::enableMarketCall { id: market }.abi_encode(),
            1 => IVault::setAllocatorCall { account: self.simulation.actors[3], allowed: true }.abi_encode(),
            2 => IVault::setFeeCall { feeBps: number }.abi_encode(),
            3 => IVault::setMaxRateCall { maxRatePerSecond: U256::from(31_709_791_983_u64) }.abi_encode(),
            _ => IVault::setCapCall { capId: market, absolute: U256::from(u128::MAX), relativeBps: U256::from(10_000) }
                .abi_encode(),
        };
        let submit = IVault::submitCall { call: Bytes::from(call.clone()) }.abi_encode();
        self.submitted = Some(call);
        self.simulation.enqueue(self.senior, self.vault, submit).await
    }

    /// Asserts that the book has what the vault's views say.
    async fn assert_equal(&self, book: &Book) -> eyre::Result<()> {
        let vault = IVault::new(self.vault, self.simulation.provider());
        let state = book.vault(self.vault).wrap_err("the vault is not in the book")?.state();
        let on_chain = vault.state().call().await?;
        let number = U256::from::<u128>;
        assert_eq!(number(state.last_total), on_chain.lastTotal);
        assert_eq!(number(state.high_water_mark), on_chain.highWaterMark);
        assert_eq!(number(state.idle), on_chain.idle);
        assert_eq!(number(state.last_update.into()), on_chain.lastUpdate);
        assert_eq!(number(state.max_rate.into()), on_chain.maxRatePerSecond);
        assert_eq!(number(state.fee_bps.into()), on_chain.feeBps);
        assert_eq!(state.deposit_market.map(|market| market.0).unwrap_or_default(), on_chain.depositMarket);
        let holdings = vault.holdings().call().await?;
        let of_chain: Vec<_> = holdings.iter().map(|holding| (holding.id, holding.shares)).collect();
        let of_book: Vec<_> = state.holdings.iter().map(|found| (found.market.0, number(found.shares))).collect();
        assert_eq!(of_book, of_chain);
        for (id, cap) in &state.caps {
            let on_chain = vault.cap(*id).call().await?;
            assert_eq!(
                (number(cap.absolute), number(cap.relative_bps.into())),
                (on_chain.absolute, on_chain.relativeBps)
            );
        }
        for actor in &self.simulation.actors {
            assert_eq!(state.allocators.contains(actor), vault.isAllocator(*actor).call().await?, "{actor}");
        }
        // The room of each cap, as the vault computes it for the next transaction.
        let total = state.total_at(self.real(book)?, self.simulation.timestamp);
        for holding in &holdings {
            let params = book.market(MarketId(holding.id)).wrap_err("no market")?.params();
            let ids = [holding.id, collateral_cap_id(params.collateralToken), oracle_cap_id(params.oracle)];
            // Each of the two markets has a collateral and an oracle of its own.
            let room = ids.iter().map(|id| number(state.most_under(*id, total)).saturating_sub(holding.assets)).min();
            assert_eq!(room, Some(holding.room));
        }
        Ok(())
    }

    /// Returns what all positions are worth by the book.
    fn real(&self, book: &Book) -> eyre::Result<u128> {
        let state = book.vault(self.vault).wrap_err("no vault")?.state();
        let mut real = state.idle;
        for holding in &state.holdings {
            let totals = book.market(holding.market).wrap_err("no market")?.at(self.simulation.timestamp);
            real += to_assets_down(holding.shares, totals.supply_assets, totals.supply_shares);
        }
        Ok(real)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_of_a_vault_equals_the_chain_through_random_histories_with_reorgs() -> eyre::Result<()> {
    let devnet = Devnet::start_with(&["--gas-limit", "2000000000"]).await?;
    let mut vaults = VaultSimulation::new(&devnet).await?;
    let mut follower = BookFollower::default();
    follower.apply_new_blocks(&vaults.simulation).await?;
    let (mut seen, first) = (BTreeMap::<String, u32>::new(), vaults.simulation.head_number().await?);
    let mut losses = 0;
    for number in 1..=BLOCKS {
        for _ in 0..1 + vaults.simulation.random.below(MAX_ACTIONS) {
            if vaults.simulation.below(2) == 0 {
                vaults.random_action().await?;
            } else {
                vaults.simulation.random_lending_action().await?;
            }
        }
        let timestamp = vaults.simulation.next_timestamp();
        vaults.simulation.mine_at(timestamp).await?;
        let before = follower.book.vault(vaults.vault).map_or(0, |vault| vault.state().last_total);
        for event in follower.apply_new_blocks(&vaults.simulation).await? {
            if let Event::Vault(_, event) = &event {
                *seen.entry(kind(event)).or_default() += 1;
            }
        }
        losses += u32::from(follower.book.vault(vaults.vault).is_some_and(|vault| vault.state().last_total < before));
        if number % BLOCKS_BETWEEN_COMPARISONS == 0 {
            vaults.assert_equal(&follower.book).await?;
            follower.restart()?;
            vaults.assert_equal(&follower.book).await?;
        } else if vaults.simulation.below(10) == 0 {
            let head = vaults.simulation.head_number().await?;
            // Not beyond the last restart.
            let depth =
                (1 + vaults.simulation.random.below(4)).min(number % BLOCKS_BETWEEN_COMPARISONS).min(head - first);
            vaults.simulation.roll_back(depth).await?;
            follower.revert_to(head - depth)?;
            vaults.assert_equal(&follower.book).await?;
        }
    }
    let total: u32 = seen.values().sum();
    assert!(
        seen.len() >= CHANGING_EVENTS && total > 500 && losses > 0,
        "{total} events, {}, {losses}: {seen:?}",
        seen.len()
    );
    Ok(())
}
