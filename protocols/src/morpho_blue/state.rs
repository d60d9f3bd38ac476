//! Markets and positions by the contract's logs, and how blocks of them are undone.

use std::collections::{BTreeMap, VecDeque};

use alloy::{
    primitives::{Address, B256, Log, U256, keccak256},
    sol_types::{SolEventInterface, SolValue},
};

use super::{
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
    /// Number of positions with debt.
    pub(super) borrowers: usize,
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
        let market = Market { params, totals: Totals::default(), positions: BTreeMap::new(), borrowers: 0 };
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
        let had_debt = before.is_some_and(|before| before.borrow_shares > 0);
        self.borrowers =
            (self.borrowers + usize::from(position.borrow_shares > 0)).saturating_sub(usize::from(had_debt));
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
