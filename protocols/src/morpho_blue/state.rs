//! Markets and positions by the contract's logs, and how blocks of them are undone.

use std::collections::{BTreeMap, VecDeque};

use alloy::{
    primitives::{Address, B256, Log, U256, keccak256},
    sol_types::{SolEventInterface, SolValue},
};

use super::{
    index::HealthIndex,
    interface::{IMorphoBlue::IMorphoBlueEvents as Event, MarketParams},
    math::{Position, Totals},
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
enum Change {
    Created(B256),
    Totals(B256, Totals),
    Position(B256, Address, Position),
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
    markets: BTreeMap<B256, Market>,
    tip: Option<Block>,
    undo: VecDeque<UndoRecord>,
}

impl State {
    pub(super) const fn tip(&self) -> Option<Block> {
        self.tip
    }

    pub(super) const fn markets(&self) -> &BTreeMap<B256, Market> {
        &self.markets
    }

    /// Applies a block's logs, or none of them.
    pub(super) fn apply(&mut self, block: Block, logs: &[Log]) -> Result<(), ApplyError> {
        if let Some(tip) = self.tip.filter(|tip| block.number <= tip.number) {
            return Err(ApplyError::NotNext { block: block.number, tip: tip.number });
        }
        let mut changes = Vec::new();
        for (position, log) in logs.iter().enumerate() {
            let applied = match Event::decode_raw_log(log.topics(), &log.data.data) {
                Err(error) => Err(ApplyError::Foreign { position, problem: error.to_string() }),
                Ok(event) => self
                    .apply_event(event, &mut changes)
                    .map_err(|problem| ApplyError::Inconsistent { position, problem }),
            };
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
                Change::Position(id, account, position) => {
                    if let Some(market) = self.markets.get_mut(&id) {
                        market.set_position(account, position);
                    }
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
            Event::SetOwner(_)
            | Event::SetFee(_)
            | Event::SetFeeRecipient(_)
            | Event::EnableIrm(_)
            | Event::EnableLltv(_)
            | Event::FlashLoan(_)
            | Event::SetAuthorization(_)
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
        let market = self.market(id)?;
        let before = market.positions.get(&account).copied().unwrap_or_default();
        let mut position = before;
        change(&mut position)?;
        changes.push(Change::Position(id, account, before));
        market.set_position(account, position);
        Ok(())
    }
}

impl Market {
    fn set_position(&mut self, account: Address, position: Position) {
        let before = if position == Position::default() {
            self.positions.remove(&account)
        } else {
            self.positions.insert(account, position)
        };
        self.borrowers.replace(account, before.unwrap_or_default(), position);
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
    use alloy::primitives::IntoLogData;
    use proptest::prelude::*;

    use super::{super::interface::IMorphoBlue, *};

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
            _ => log(&IMorphoBlue::Supply { id, caller, onBehalf: on_behalf, assets, shares }),
        }
    }

    /// Returns what is known, without how it can be undone.
    fn known(state: &State) -> String {
        format!("{:?} {:?}", state.tip(), state.markets())
    }

    proptest! {
        #[test]
        fn an_undone_or_refused_block_leaves_nothing_behind(
            blocks in prop::collection::vec(prop::collection::vec((0..6_u8, 0..4_u8, 0..1_000_u64), 0..6), 1..60),
            undone in 1..60_usize,
        ) {
            let mut state = State::default();
            state.apply(Block { number: 1, timestamp: 1 }, &[created()]).unwrap();
            let mut before = vec![known(&state)];
            for (number, block) in (2..).zip(&blocks) {
                let logs: Vec<_> = block.iter().map(|(kind, account, amount)| any_log(*kind, *account, *amount)).collect();
                let earlier = known(&state);
                let place = Block { number, timestamp: number };
                if state.apply(place, &logs).is_err() {
                    prop_assert_eq!(known(&state), earlier);
                    state.apply(place, &[]).unwrap();
                }
                before.push(known(&state));
            }
            let left = before.len().saturating_sub(undone).max(1);
            state.undo_to(left as u64).unwrap();
            prop_assert_eq!(Some(known(&state)), before.get(left - 1).cloned());
        }
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
