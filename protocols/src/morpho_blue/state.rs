//! Markets and positions by the contract's logs, and how blocks of them are undone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy::{
    primitives::{Address, B256, Log, U256, keccak256},
    sol_types::{SolEvent, SolEventInterface, SolValue},
};

use super::{
    index::HealthIndex,
    interface::{IMorphoBlue::IMorphoBlueEvents as Event, IPreLiquidationFactory::CreatePreLiquidation, MarketParams},
    math::{Position, Totals},
    pre_liquidation::{OptIns, PreLiquidation},
};
use crate::{ApplyError, Block, MAX_UNDO, UndoError};

/// A market with its positions.
#[derive(Debug, Clone)]
pub(super) struct Market {
    pub(super) params: MarketParams,
    pub(super) totals: Totals,
    /// Positions with debt or collateral.
    pub(super) positions: BTreeMap<Address, Position>,
    /// Those with debt, in the order of their health.
    pub(super) borrowers: HealthIndex,
}

/// What a log changed, as it was before.
#[derive(Debug)]
pub(super) enum Change {
    Created(B256),
    Totals(B256, Totals),
    Position(B256, Address, Position),
    /// A pre-liquidation contract.
    ContractCreated(Address),
    /// An account and whom it authorises or not, the opposite of what it did before.
    Authorised(Address, Address, bool),
}

/// The changes of one block.
#[derive(Debug)]
struct UndoRecord {
    before: Option<Block>,
    changes: Vec<Change>,
}

/// All markets.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Creates pre-liquidation contracts; `None` where none are followed.
    factory: Option<Address>,
    markets: BTreeMap<B256, Market>,
    /// Those with debt.
    borrowed: BTreeSet<B256>,
    opt_ins: OptIns,
    tip: Option<Block>,
    undo: VecDeque<UndoRecord>,
}

impl State {
    /// Returns the state before any log, with the factory of pre-liquidation contracts that are to be followed.
    pub(super) fn new(factory: Option<Address>) -> Self {
        Self { factory, ..Self::default() }
    }

    pub(super) const fn opt_ins(&self) -> &OptIns {
        &self.opt_ins
    }

    pub(super) const fn tip(&self) -> Option<Block> {
        self.tip
    }

    pub(super) const fn markets(&self) -> &BTreeMap<B256, Market> {
        &self.markets
    }

    /// Returns the markets with debt.
    pub(super) fn borrowed_markets(&self) -> impl Iterator<Item = (B256, &Market)> {
        let markets = self.borrowed.iter().filter_map(|id| Some((*id, self.markets.get(id)?)));
        #[cfg(test)]
        let markets = markets.inspect(|_| super::index::looks::count());
        markets
    }

    /// Returns a state with these markets, of which no block can be undone.
    pub(super) fn with_markets(factory: Option<Address>, block: Block, markets: BTreeMap<B256, Market>) -> Self {
        let with_debt = markets.iter().filter(|(_, market)| market.borrowers.len() > 0);
        let borrowed = with_debt.map(|(id, _)| *id).collect();
        Self { factory, markets, borrowed, tip: Some(block), ..Self::default() }
    }

    pub(super) const fn factory(&self) -> Option<Address> {
        self.factory
    }

    /// Returns what the newest block changed, as it was before.
    pub(super) fn newest_changes(&self) -> impl Iterator<Item = &Change> {
        self.undo.back().into_iter().flat_map(|record| &record.changes)
    }

    /// Applies a block's logs, or none of them.
    pub(super) fn apply(&mut self, block: Block, logs: &[Log]) -> Result<(), ApplyError> {
        if let Some(tip) = self.tip.filter(|tip| block.number <= tip.number) {
            return Err(ApplyError::NotNext { block: block.number, tip: tip.number });
        }
        let mut changes = Vec::new();
        for (position, log) in logs.iter().enumerate() {
            let foreign = |error: alloy::sol_types::Error| ApplyError::Foreign { position, problem: error.to_string() };
            let applied = if self.factory == Some(log.address) {
                CreatePreLiquidation::decode_raw_log(log.topics(), &log.data.data)
                    .map_err(foreign)
                    .map(|event| self.create_contract(&event, &mut changes))
            } else {
                Event::decode_raw_log(log.topics(), &log.data.data)
                    .map_err(foreign)
                    .map(|event| self.apply_event(event, &mut changes))
            };
            let applied =
                applied.and_then(|applied| applied.map_err(|problem| ApplyError::Inconsistent { position, problem }));
            if let Err(error) = applied {
                self.revert(changes);
                return Err(error);
            }
        }
        self.undo.push_back(UndoRecord { before: self.tip, changes });
        if self.undo.len() > MAX_UNDO {
            self.undo.pop_front();
        }
        self.tip = Some(block);
        Ok(())
    }

    /// Undoes every block after `block`.
    pub(super) fn undo_to(&mut self, block: u64) -> Result<(), UndoError> {
        let is_later = |tip: Option<Block>| tip.is_some_and(|tip| tip.number > block);
        let later = self.undo.iter().rev().scan(self.tip, |tip, record| {
            let is_later = is_later(*tip);
            *tip = record.before;
            is_later.then_some(())
        });
        let later = later.count();
        let reached = self.undo.len().checked_sub(later).map(|left| match self.undo.get(left) {
            Some(record) => record.before,
            None => self.tip,
        });
        if reached.is_none_or(is_later) {
            return Err(UndoError { block });
        }
        for _ in 0..later {
            let Some(record) = self.undo.pop_back() else { break };
            self.revert(record.changes);
            self.tip = record.before;
        }
        Ok(())
    }

    fn revert(&mut self, changes: Vec<Change>) {
        for change in changes.into_iter().rev() {
            match change {
                Change::Created(id) => {
                    self.markets.remove(&id);
                }
                Change::Totals(id, totals) => {
                    if let Some(market) = self.markets.get_mut(&id) {
                        market.totals = totals;
                    }
                }
                Change::Position(id, account, position) => self.set_position(id, account, position),
                Change::ContractCreated(address) => {
                    let market = self.opt_ins.contract(address).map(|contract| contract.market);
                    let market = market.and_then(|market| self.markets.get(&market));
                    self.opt_ins
                        .remove(address, |account| market.map(|market| market.position(account)).unwrap_or_default());
                }
                Change::Authorised(account, authorised, is_authorised) => {
                    self.authorise((account, authorised), !is_authorised);
                }
            }
        }
    }

    /// Applies one event. Fails with what does not fit; the changes include those of the part that was applied.
    fn apply_event(&mut self, event: Event, changes: &mut Vec<Change>) -> Result<(), String> {
        match event {
            Event::CreateMarket(event) => self.create(event.id, event.marketParams, changes),
            Event::AccrueInterest(event) => self.totals(event.id, changes, |totals| {
                add(&mut totals.borrow_assets, event.interest, "debt")?;
                add(&mut totals.supply_assets, event.interest, "supply")?;
                add(&mut totals.supply_shares, event.feeShares, "supply shares")
            }),
            Event::Supply(event) => self.totals(event.id, changes, |totals| {
                add(&mut totals.supply_assets, event.assets, "supply")?;
                add(&mut totals.supply_shares, event.shares, "supply shares")
            }),
            Event::Withdraw(event) => self.totals(event.id, changes, |totals| {
                subtract(&mut totals.supply_assets, event.assets, "supply")?;
                subtract(&mut totals.supply_shares, event.shares, "supply shares")
            }),
            Event::Borrow(event) => {
                self.totals(event.id, changes, |totals| {
                    add(&mut totals.borrow_assets, event.assets, "debt")?;
                    add(&mut totals.borrow_shares, event.shares, "debt shares")
                })?;
                self.position(event.id, event.onBehalf, changes, |position| {
                    add(&mut position.borrow_shares, event.shares, "a position's debt shares")
                })
            }
            Event::Repay(event) => {
                self.totals(event.id, changes, |totals| repay(totals, event.assets, event.shares))?;
                self.position(event.id, event.onBehalf, changes, |position| {
                    subtract(&mut position.borrow_shares, event.shares, "a position's debt shares")
                })
            }
            Event::SupplyCollateral(event) => self.position(event.id, event.onBehalf, changes, |position| {
                add(&mut position.collateral, event.assets, "a position's collateral")
            }),
            Event::WithdrawCollateral(event) => self.position(event.id, event.onBehalf, changes, |position| {
                subtract(&mut position.collateral, event.assets, "a position's collateral")
            }),
            Event::Liquidate(event) => {
                self.totals(event.id, changes, |totals| {
                    repay(totals, event.repaidAssets, event.repaidShares)?;
                    subtract(&mut totals.borrow_assets, event.badDebtAssets, "debt")?;
                    subtract(&mut totals.borrow_shares, event.badDebtShares, "debt shares")?;
                    subtract(&mut totals.supply_assets, event.badDebtAssets, "supply")
                })?;
                self.position(event.id, event.borrower, changes, |position| {
                    subtract(&mut position.borrow_shares, event.repaidShares, "a position's debt shares")?;
                    subtract(&mut position.borrow_shares, event.badDebtShares, "a position's debt shares")?;
                    subtract(&mut position.collateral, event.seizedAssets, "a position's collateral")
                })
            }
            Event::SetAuthorization(event) => {
                let pair = (event.authorizer, event.authorized);
                if self.factory.is_some() && self.authorise(pair, event.newIsAuthorized) {
                    changes.push(Change::Authorised(pair.0, pair.1, event.newIsAuthorized));
                }
                Ok(())
            }
            Event::SetOwner(_)
            | Event::SetFee(_)
            | Event::SetFeeRecipient(_)
            | Event::EnableIrm(_)
            | Event::EnableLltv(_)
            | Event::FlashLoan(_)
            | Event::IncrementNonce(_) => Ok(()),
        }
    }

    fn create(&mut self, id: B256, params: MarketParams, changes: &mut Vec<Change>) -> Result<(), String> {
        let computed = keccak256(params.abi_encode());
        if computed != id {
            return Err(format!("a market of these parameters has the id {computed}, not {id}"));
        }
        if self.markets.contains_key(&id) {
            return Err(format!("market {id} was created before"));
        }
        let market =
            Market { params, totals: Totals::default(), positions: BTreeMap::new(), borrowers: HealthIndex::default() };
        self.markets.insert(id, market);
        changes.push(Change::Created(id));
        Ok(())
    }

    fn create_contract(&mut self, event: &CreatePreLiquidation, changes: &mut Vec<Change>) -> Result<(), String> {
        self.add_contract(event.preLiquidation, PreLiquidation::new(event.id, &event.preLiquidationParams))?;
        changes.push(Change::ContractCreated(event.preLiquidation));
        Ok(())
    }

    /// Adds a pre-liquidation contract. Fails if there is no such market, or the contract is known.
    pub(super) fn add_contract(&mut self, address: Address, contract: PreLiquidation) -> Result<(), String> {
        let id = contract.market;
        let market = self.markets.get(&id).ok_or_else(|| format!("there is no market {id}"))?;
        self.opt_ins.create(address, contract, |account| market.position(account))
    }

    /// Records whether an account authorises another. Returns whether that is a change.
    pub(super) fn authorise(&mut self, pair: (Address, Address), is_authorised: bool) -> bool {
        let markets = &self.markets;
        let position_in = |id: B256| markets.get(&id).map(|market| market.position(pair.0)).unwrap_or_default();
        self.opt_ins.authorise(pair, is_authorised, position_in)
    }

    fn market(&mut self, id: B256) -> Result<&mut Market, String> {
        self.markets.get_mut(&id).ok_or_else(|| format!("there is no market {id}"))
    }

    fn totals(
        &mut self,
        id: B256,
        changes: &mut Vec<Change>,
        change: impl FnOnce(&mut Totals) -> Result<(), String>,
    ) -> Result<(), String> {
        let market = self.market(id)?;
        changes.push(Change::Totals(id, market.totals));
        change(&mut market.totals)
    }

    fn position(
        &mut self,
        id: B256,
        account: Address,
        changes: &mut Vec<Change>,
        change: impl FnOnce(&mut Position) -> Result<(), String>,
    ) -> Result<(), String> {
        let before = self.market(id)?.position(account);
        let mut position = before;
        change(&mut position)?;
        changes.push(Change::Position(id, account, before));
        self.set_position(id, account, position);
        Ok(())
    }

    fn set_position(&mut self, id: B256, account: Address, position: Position) {
        if let Some(market) = self.markets.get_mut(&id) {
            let before = market.set_position(account, position);
            if market.borrowers.len() > 0 {
                self.borrowed.insert(id);
            } else {
                self.borrowed.remove(&id);
            }
            self.opt_ins.replace(id, account, before, position);
        }
    }
}

impl Market {
    /// Returns an account's position, which may be empty.
    pub(super) fn position(&self, account: Address) -> Position {
        self.positions.get(&account).copied().unwrap_or_default()
    }

    /// Sets an account's position, and returns the former one.
    pub(super) fn set_position(&mut self, account: Address, position: Position) -> Position {
        let before = if position == Position::default() {
            self.positions.remove(&account)
        } else {
            self.positions.insert(account, position)
        };
        let before = before.unwrap_or_default();
        self.borrowers.replace(account, before, position);
        before
    }
}

/// A repayment, which the contract rounds up: it may take one unit more than is owed in total.
fn repay(totals: &mut Totals, assets: U256, shares: U256) -> Result<(), String> {
    totals.borrow_assets = u128::try_from(assets).map_or(0, |assets| totals.borrow_assets.saturating_sub(assets));
    subtract(&mut totals.borrow_shares, shares, "debt shares")
}

fn add(amount: &mut u128, adds: U256, what: &str) -> Result<(), String> {
    let sum = u128::try_from(adds).ok().and_then(|adds| amount.checked_add(adds));
    *amount = sum.ok_or_else(|| format!("{adds} is added to {what} of {amount}"))?;
    Ok(())
}

fn subtract(amount: &mut u128, takes: U256, what: &str) -> Result<(), String> {
    let difference = u128::try_from(takes).ok().and_then(|takes| amount.checked_sub(takes));
    *amount = difference.ok_or_else(|| format!("{takes} is taken from {what} of {amount}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use alloy::primitives::IntoLogData;
    use proptest::prelude::*;

    use super::{
        super::{
            interface::{IMorphoBlue, PreLiquidationParams},
            pre_liquidation::MAX_CONTRACTS,
        },
        *,
    };

    const FACTORY: Address = Address::repeat_byte(0xfa);

    fn params() -> MarketParams {
        let address = Address::repeat_byte;
        MarketParams {
            loanToken: address(1),
            collateralToken: address(2),
            oracle: address(3),
            irm: address(4),
            lltv: U256::ONE,
        }
    }

    fn log(event: &impl IntoLogData) -> Log {
        Log { address: Address::ZERO, data: event.to_log_data() }
    }

    fn created() -> Log {
        let params = params();
        log(&IMorphoBlue::CreateMarket { id: keccak256(params.abi_encode()), marketParams: params })
    }

    /// The pre-liquidation contract of a number.
    fn contract(number: u64) -> Address {
        Address::left_padding_from(&(number + 1).to_be_bytes())
    }

    /// Returns a log of an account and an amount, which need not fit the state.
    fn any_log(kind: u8, account: u8, amount: u64) -> Log {
        let (id, on_behalf) = (keccak256(params().abi_encode()), Address::repeat_byte(account));
        let (caller, receiver, assets, shares) = (on_behalf, on_behalf, U256::from(amount), U256::from(amount / 2 + 1));
        match kind {
            0 => log(&IMorphoBlue::Borrow { id, caller, onBehalf: on_behalf, receiver, assets, shares }),
            1 => log(&IMorphoBlue::Repay { id, caller, onBehalf: on_behalf, assets, shares }),
            2 => log(&IMorphoBlue::SupplyCollateral { id, caller, onBehalf: on_behalf, assets }),
            3 => log(&IMorphoBlue::WithdrawCollateral { id, caller, onBehalf: on_behalf, receiver, assets }),
            4 => log(&IMorphoBlue::AccrueInterest {
                id,
                prevBorrowRate: U256::ZERO,
                interest: assets,
                feeShares: shares,
            }),
            5 | 6 => {
                let (authorizer, authorized) = (on_behalf, contract(amount % 12));
                let event =
                    IMorphoBlue::SetAuthorization { caller, authorizer, authorized, newIsAuthorized: amount < 700 };
                log(&event)
            }
            7 => {
                let factor = U256::from(amount);
                let params = PreLiquidationParams {
                    preLltv: factor,
                    preLCF1: factor,
                    preLCF2: factor,
                    preLIF1: factor,
                    preLIF2: factor,
                    preLiquidationOracle: Address::with_last_byte((amount % 3) as u8),
                };
                let created =
                    CreatePreLiquidation { preLiquidation: contract(amount % 12), id, preLiquidationParams: params };
                Log { address: FACTORY, data: created.encode_log_data() }
            }
            _ => log(&IMorphoBlue::Supply { id, caller, onBehalf: on_behalf, assets, shares }),
        }
    }

    /// Returns what is known, without how it can be undone.
    fn known(state: &State) -> String {
        format!("{:?} {:?} {:?} {:?}", state.tip(), state.markets(), state.borrowed, state.opt_ins())
    }

    /// Whether the borrowers of every contract are those with debt that have authorised it, each at its first few contracts.
    fn ensure_opt_ins(state: &State, authorised: &BTreeMap<(Address, Address), bool>) -> Result<(), TestCaseError> {
        let id = keccak256(params().abi_encode());
        let contracts: Vec<_> =
            (0..12).map(contract).filter(|address| state.opt_ins().contract(*address).is_some()).collect();
        let is_authorised = |account, contract| authorised.get(&(account, contract)) == Some(&true);
        let mut expected: BTreeMap<Address, BTreeSet<(Address, Address, Position)>> = BTreeMap::new();
        for account in (0..4).map(Address::repeat_byte) {
            let position = state.markets()[&id].position(account);
            let chosen = contracts.iter().filter(|contract| is_authorised(account, **contract)).take(MAX_CONTRACTS);
            for contract in chosen.filter(|_| position.borrow_shares > 0) {
                let oracle = state.opt_ins().contract(*contract).unwrap().oracle;
                expected.entry(oracle).or_default().insert((*contract, account, position));
            }
        }
        let mut by_debt: Vec<_> = expected
            .iter()
            .map(|(oracle, all)| (Reverse(all.iter().map(|one| one.2.borrow_shares).sum::<u128>()), *oracle))
            .collect();
        by_debt.sort_unstable();
        let found = state.opt_ins().in_market(id);
        prop_assert_eq!(found.is_some(), !expected.is_empty());
        prop_assert_eq!(state.opt_ins().in_use().count(), usize::from(found.is_some()));
        let Some(found) = found else { return Ok(()) };
        prop_assert_eq!(found.positions(), expected.values().map(BTreeSet::len).sum::<usize>());
        let oracles: Vec<_> = found.oracles(Address::repeat_byte(9)).collect();
        prop_assert_eq!(oracles, by_debt.into_iter().map(|(_, oracle)| oracle).collect::<Vec<_>>());
        for (oracle, all) in expected {
            let valued = found.valued_by(oracle).into_iter().flat_map(HealthIndex::positions);
            let valued: BTreeSet<_> =
                valued.map(|(opt_in, position)| (opt_in.contract, opt_in.account, position)).collect();
            prop_assert_eq!(valued, all);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn an_undone_or_refused_block_leaves_nothing_behind(
            blocks in prop::collection::vec(prop::collection::vec((0..9_u8, 0..4_u8, 0..1_000_u64), 0..6), 1..60),
            undone in 1..60_usize,
        ) {
            let mut state = State::new(Some(FACTORY));
            state.apply(Block { number: 1, timestamp: 1 }, &[created()]).unwrap();
            let mut before = vec![known(&state)];
            let mut rows: BTreeMap<_, _> = state.changed_rows().into_iter().collect();
            for (number, block) in (2..).zip(&blocks) {
                let logs: Vec<_> = block.iter().map(|(kind, account, amount)| any_log(*kind, *account, *amount)).collect();
                let earlier = known(&state);
                let place = Block { number, timestamp: number };
                if state.apply(place, &logs).is_err() {
                    prop_assert_eq!(known(&state), earlier);
                    state.apply(place, &[]).unwrap();
                }
                before.push(known(&state));
                rows.extend(state.changed_rows());
            }
            let rows: Vec<_> = rows.into_iter().collect();
            let restored = State::restored(Some(FACTORY), state.tip().unwrap(), &rows).unwrap();
            prop_assert_eq!(known(&restored), known(&state));
            let left = before.len().saturating_sub(undone).max(1);
            state.undo_to(left as u64).unwrap();
            prop_assert_eq!(Some(known(&state)), before.get(left - 1).cloned());
        }
    }

    proptest! {
        #[test]
        fn a_contract_knows_the_debtors_that_authorised_it_in_whatever_order(
            blocks in prop::collection::vec((prop::sample::select(vec![0_u8, 1, 2, 5, 5, 6, 7, 7]), 0..4_u8, 0..1_000_u64), 1..120),
            undone in 0..100_usize,
        ) {
            let mut state = State::new(Some(FACTORY));
            state.apply(Block { number: 1, timestamp: 1 }, &[created()]).unwrap();
            let mut authorised = vec![BTreeMap::new()];
            for (number, (kind, account, amount)) in (2..).zip(&blocks) {
                let place = Block { number, timestamp: number };
                let log = any_log(*kind, *account, *amount);
                let mut known = authorised.last().cloned().unwrap_or_default();
                if state.apply(place, std::slice::from_ref(&log)).is_err() {
                    state.apply(place, &[]).unwrap();
                } else if let Ok(event) = IMorphoBlue::SetAuthorization::decode_log(&log) {
                    known.insert((event.authorizer, event.authorized), event.newIsAuthorized);
                }
                ensure_opt_ins(&state, &known)?;
                authorised.push(known);
            }
            let left = authorised.len().saturating_sub(undone).max(1);
            state.undo_to(left as u64).unwrap();
            ensure_opt_ins(&state, &authorised[left - 1])?;
        }
    }

    #[test]
    fn contracts_of_another_factory_are_foreign_and_none_are_followed_without_one() {
        let created_contract = any_log(7, 1, 1);
        let place = |number| Block { number, timestamp: number };
        for factory in [None, Some(Address::repeat_byte(1))] {
            let mut state = State::new(factory);
            state.apply(place(1), &[created(), any_log(5, 1, 1)]).unwrap();
            assert!(matches!(
                state.apply(place(2), std::slice::from_ref(&created_contract)),
                Err(ApplyError::Foreign { .. })
            ));
        }
        let mut state = State::new(Some(FACTORY));
        let error = state.apply(place(1), &[created_contract]).unwrap_err();
        assert!(error.to_string().contains("there is no market"), "{error}");
    }

    #[test]
    fn a_log_of_another_contract_is_foreign() {
        let foreign = Log::new_unchecked(Address::ZERO, vec![B256::repeat_byte(7)], Vec::new().into());
        let error = State::default().apply(Block { number: 1, timestamp: 1 }, &[foreign]).unwrap_err();
        assert!(matches!(error, ApplyError::Foreign { position: 0, .. }), "{error}");
    }

    #[test]
    fn a_market_whose_id_is_not_that_of_its_parameters_is_refused() {
        let wrong = log(&IMorphoBlue::CreateMarket { id: B256::ZERO, marketParams: params() });
        let error = State::default().apply(Block { number: 1, timestamp: 1 }, &[wrong]).unwrap_err();
        assert!(error.to_string().contains("has the id"), "{error}");
    }

    #[test]
    fn blocks_that_are_too_old_cannot_be_undone() {
        let mut state = State::default();
        for number in 1..=MAX_UNDO as u64 + 10 {
            state.apply(Block { number, timestamp: number }, &[]).unwrap();
        }
        assert_eq!(state.undo_to(5), Err(UndoError { block: 5 }));
        state.undo_to(10).unwrap();
        assert_eq!(state.tip().map(|tip| tip.number), Some(10));
    }
}
