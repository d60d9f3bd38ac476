//! What logs tell: who owes how much at which index, and whose balances changed and must be read again.
//!
//! Debts are exact by logs: `Borrow` and `RepayBorrow` state the new debt, and `AccrueInterest` the index that it is kept at. A
//! statement that does not follow from those before it means that logs are missing. Balances of market tokens are not kept by
//! logs, because what a liquidation burns is in none: a log only says that one has changed, and it is read in the newest block.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy::{
    primitives::{Address, B256, Log, U256},
    sol_types::SolEvent,
};

use super::{
    interface::{IComptroller, IFirstCToken, IVToken, IVaiController, IVenusLiquidator},
    math::{Debt, EXP},
};
use crate::{ApplyError, Block, MAX_UNDO, UndoError};

/// A market by its logs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Market {
    pub(super) address: Address,
    pub(super) totals: Totals,
}

/// The totals that the last logs state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) borrow_index: U256,
    pub(super) borrows: U256,
}

/// What was read of an account in a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Balance {
    /// Market tokens.
    pub(super) tokens: U256,
    /// Whether the market counts for the account.
    pub(super) is_member: bool,
    /// The account itself, in Venus' core pool.
    pub(super) core: CoreAccount,
}

/// What Venus' core pool says of an account as a whole. It is read with each balance, and along with all of them again when a
/// log says that it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CoreAccount {
    /// The pool whose terms the account has; 0 if it chose none.
    pub(super) pool: u64,
    /// Whether it owes VAI, which no market lends.
    pub(super) owes_vai: bool,
    /// Whether the pool's Liquidator liquidates it for chosen callers alone.
    pub(super) is_restricted: bool,
}

/// An account in a market.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    pub(super) debt: Debt,
    /// As of the newest block; `None` until it is read.
    pub(super) balance: Option<Balance>,
}

/// An account's rows by the place of the market.
pub(super) type Rows = BTreeMap<usize, Row>;

/// What a log changed, as it was before.
#[derive(Debug)]
pub(super) enum Change {
    Totals(usize, Totals),
    Debt(Address, usize, Debt),
    Balance(Address, usize),
    Oracle(Address),
}

/// The changes of one block.
#[derive(Debug)]
struct UndoRecord {
    before: Option<Block>,
    changes: Vec<Change>,
}

/// A pool by its logs, with what was read of its accounts.
#[derive(Debug)]
pub(super) struct State {
    comptroller: Address,
    /// The contract that lends VAI, in Venus' core pool.
    vai: Option<Address>,
    /// The contract that alone may liquidate, in Venus' core pool; zero where there is none.
    liquidator: Address,
    pub(super) oracle: Address,
    /// The pools that accounts have chosen, in the order in which they were seen: the core pool's own first.
    pub(super) pools: Vec<u64>,
    pub(super) markets: Vec<Market>,
    places: BTreeMap<Address, usize>,
    /// Markets that logs name and that were not known.
    named: BTreeSet<Address>,
    accounts: BTreeMap<Address, Rows>,
    debtors: BTreeSet<Address>,
    /// Number of debtors for which each market counts, as far as is known, by its place.
    members: Vec<usize>,
    /// Rows of debtors whose balance is to be read.
    pending: BTreeSet<(Address, usize)>,
    /// Accounts whose debts or balances are others than when they were taken last.
    changed: BTreeSet<Address>,
    /// Rows that the newest block changed, or that were read in it.
    touched: BTreeSet<(Address, usize)>,
    /// Whether a block was refused after the newest one: what was forgotten on its account belongs to the next one's rows.
    is_refused: bool,
    /// Those that could not be read in this block.
    unreadable: BTreeMap<(Address, usize), String>,
    tip: Option<Block>,
    undo: VecDeque<UndoRecord>,
}

impl State {
    /// Returns a pool with these markets, of which no log is known yet.
    pub(super) fn new(comptroller: Address, oracle: Address, markets: impl IntoIterator<Item = Address>) -> Self {
        let totals = Totals { borrow_index: EXP, borrows: U256::ZERO };
        let markets: Vec<_> = markets.into_iter().map(|address| Market { address, totals }).collect();
        let places = markets.iter().enumerate().map(|(place, market)| (market.address, place)).collect();
        Self {
            members: vec![0; markets.len()],
            comptroller,
            vai: None,
            liquidator: Address::ZERO,
            oracle,
            pools: vec![0],
            markets,
            places,
            named: BTreeSet::new(),
            accounts: BTreeMap::new(),
            debtors: BTreeSet::new(),
            pending: BTreeSet::new(),
            changed: BTreeSet::new(),
            touched: BTreeSet::new(),
            is_refused: false,
            unreadable: BTreeMap::new(),
            tip: None,
            undo: VecDeque::new(),
        }
    }

    /// Follows the contract that lends VAI, too.
    pub(super) fn follow_vai(&mut self, vai: Address) {
        self.vai = Some(vai);
    }

    /// Returns the contract that lends VAI.
    pub(super) const fn vai(&self) -> Option<Address> {
        self.vai
    }

    /// Follows the contract that alone may liquidate, and has everything read again that it says of accounts.
    pub(super) fn follow_liquidator(&mut self, liquidator: Address) {
        self.liquidator = liquidator;
        let rows: Vec<_> =
            self.accounts.iter().flat_map(|(account, rows)| rows.keys().map(|place| (*account, *place))).collect();
        for (account, place) in rows {
            self.forget_balance(account, place);
        }
    }

    /// Returns the contract that alone may liquidate; zero where there is none.
    pub(super) const fn liquidator(&self) -> Address {
        self.liquidator
    }

    pub(super) const fn tip(&self) -> Option<Block> {
        self.tip
    }

    /// Returns the addresses of all markets, those included that logs have named meanwhile.
    pub(super) fn market_addresses(&self) -> impl Iterator<Item = Address> {
        self.markets.iter().map(|market| market.address).chain(self.named.iter().copied())
    }

    /// Returns the accounts with debt and their rows.
    pub(super) fn debtors(&self) -> impl ExactSizeIterator<Item = (Address, Option<&Rows>)> {
        self.debtors.iter().map(|account| (*account, self.accounts.get(account)))
    }

    pub(super) fn rows(&self, account: Address) -> Option<&Rows> {
        self.accounts.get(&account)
    }

    /// Returns whether an account owes anything.
    pub(super) fn owes(&self, account: Address) -> bool {
        self.debtors.contains(&account)
    }

    /// Returns the number of accounts with debt for which a market counts, or of which it is not known yet whether it does.
    pub(super) fn members(&self, place: usize) -> usize {
        self.members.get(place).copied().unwrap_or_default()
    }

    /// Changes an account's rows, and the counts with them.
    fn change_rows(&mut self, account: Address, change: impl FnOnce(&mut Self)) {
        for place in self.places_of(account) {
            if let Some(members) = self.members.get_mut(place) {
                *members -= 1;
            }
        }
        change(self);
        for place in self.places_of(account) {
            if let Some(members) = self.members.get_mut(place) {
                *members += 1;
            }
        }
    }

    /// Returns the markets that an account with debt is counted in.
    fn places_of(&self, account: Address) -> Vec<usize> {
        let rows = self.accounts.get(&account).filter(|_| self.debtors.contains(&account));
        let counts = |row: &Row| row.balance.is_none_or(|balance| balance.is_member);
        rows.into_iter().flatten().filter(|(_, row)| counts(row)).map(|(place, _)| *place).collect()
    }

    /// Takes the accounts that changed since this was called last.
    pub(super) fn take_changed(&mut self) -> BTreeSet<Address> {
        std::mem::take(&mut self.changed)
    }

    /// Returns the rows whose balances are to be read.
    pub(super) const fn pending(&self) -> &BTreeSet<(Address, usize)> {
        &self.pending
    }

    /// Returns the rows that could not be read, and why.
    pub(super) const fn unreadable(&self) -> &BTreeMap<(Address, usize), String> {
        &self.unreadable
    }

    /// Returns the place of a market that is known.
    pub(super) fn place_of(&self, market: Address) -> Option<usize> {
        self.places.get(&market).copied()
    }

    /// Returns what the newest block changed, as it was before.
    pub(super) fn newest_changes(&self) -> impl Iterator<Item = &Change> {
        self.undo.back().into_iter().flat_map(|record| &record.changes)
    }

    /// Returns the rows that the newest block changed, or that were read in it.
    pub(super) fn touched(&self) -> impl Iterator<Item = (Address, usize)> {
        self.touched.iter().copied()
    }

    /// Sets a row of a state that nothing was applied to.
    pub(super) fn restore_row(&mut self, account: Address, place: usize, row: Row) {
        self.set_debt(account, place, row.debt);
        if let Some(balance) = row.balance {
            self.set_balance(account, place, Ok(balance));
        }
    }

    /// Goes on after a block, which cannot be undone.
    pub(super) fn begin_after(&mut self, block: Block) {
        self.tip = Some(block);
        self.touched.clear();
    }

    /// Takes what was read of a row in the newest block.
    pub(super) fn set_balance(&mut self, account: Address, place: usize, read: Result<Balance, String>) {
        self.pending.remove(&(account, place));
        self.touched.insert((account, place));
        match read {
            Ok(balance) => {
                self.changed.insert(account);
                if !self.pools.contains(&balance.core.pool) {
                    self.pools.push(balance.core.pool);
                }
                self.change_rows(account, |state| {
                    state.accounts.entry(account).or_default().entry(place).or_default().balance = Some(balance);
                });
            }
            Err(reason) => {
                self.unreadable.insert((account, place), reason);
            }
        }
    }

    /// Applies a block's logs, or none of them.
    pub(super) fn apply(&mut self, block: Block, logs: &[Log]) -> Result<(), ApplyError> {
        if let Some(tip) = self.tip.filter(|tip| block.number <= tip.number) {
            return Err(ApplyError::NotNext { block: block.number, tip: tip.number });
        }
        let mut changes = Vec::new();
        if !std::mem::take(&mut self.is_refused) {
            self.touched.clear();
        }
        for (position, log) in logs.iter().enumerate() {
            if let Err(problem) = self.apply_log(log, &mut changes) {
                self.revert(changes);
                self.is_refused = true;
                return Err(ApplyError::Inconsistent { position, problem });
            }
        }
        self.undo.push_back(UndoRecord { before: self.tip, changes });
        if self.undo.len() > MAX_UNDO {
            self.undo.pop_front();
        }
        self.tip = Some(block);
        self.retry_unreadable();
        Ok(())
    }

    /// Undoes every block after `block`.
    pub(super) fn undo_to(&mut self, block: u64) -> Result<(), UndoError> {
        let is_later = |tip: Option<Block>| tip.is_some_and(|tip| tip.number > block);
        let mut later = 0;
        let mut tip = self.tip;
        for record in self.undo.iter().rev() {
            if !is_later(tip) {
                break;
            }
            (tip, later) = (record.before, later + 1);
        }
        if is_later(tip) {
            return Err(UndoError { block });
        }
        for record in self.undo.split_off(self.undo.len() - later).into_iter().rev() {
            self.revert(record.changes);
            self.tip = record.before;
        }
        self.retry_unreadable();
        Ok(())
    }

    fn retry_unreadable(&mut self) {
        let again: Vec<_> = std::mem::take(&mut self.unreadable).into_keys().collect();
        self.pending.extend(again);
    }

    fn revert(&mut self, changes: Vec<Change>) {
        for change in changes.into_iter().rev() {
            match change {
                Change::Totals(place, totals) => {
                    if let Some(market) = self.markets.get_mut(place) {
                        market.totals = totals;
                    }
                }
                Change::Debt(account, place, debt) => self.set_debt(account, place, debt),
                Change::Balance(account, place) => self.forget_balance(account, place),
                Change::Oracle(oracle) => self.oracle = oracle,
            }
        }
    }

    /// Applies one log; one that tells nothing is left out. Fails with what does not fit; the changes include those of the part
    /// that was applied.
    fn apply_log(&mut self, log: &Log, changes: &mut Vec<Change>) -> Result<(), String> {
        let Some(topic) = log.topics().first().copied() else { return Ok(()) };
        let words = Words::of(log);
        if log.address == self.comptroller {
            return self.apply_pool_log(topic, &words, changes);
        }
        if Some(log.address) == self.vai {
            let borrower = if topic == IVaiController::MintVAI::SIGNATURE_HASH {
                words.address(0)?
            } else if topic == IVaiController::RepayVAI::SIGNATURE_HASH
                || topic == IVaiController::LiquidateVAI::SIGNATURE_HASH
            {
                words.address(1)?
            } else {
                return Ok(());
            };
            self.account_changed(borrower, changes);
            return Ok(());
        }
        if log.address == self.liquidator {
            if topic == IVenusLiquidator::LiquidationRestricted::SIGNATURE_HASH
                || topic == IVenusLiquidator::LiquidationRestrictionsDisabled::SIGNATURE_HASH
            {
                self.account_changed(words.address(0)?, changes);
            }
            return Ok(());
        }
        let Some(place) = self.places.get(&log.address).copied() else { return Ok(()) };
        if topic == IVToken::AccrueInterest::SIGNATURE_HASH {
            let totals = Totals { borrow_index: words.number(2)?, borrows: words.number(3)? };
            self.set_totals(place, totals, changes)
        } else if topic == IFirstCToken::AccrueInterest::SIGNATURE_HASH {
            let totals = Totals { borrow_index: words.number(1)?, borrows: words.number(2)? };
            self.set_totals(place, totals, changes)
        } else if topic == IVToken::Borrow::SIGNATURE_HASH {
            let (borrower, amount, owed) = (words.address(0)?, words.number(1)?, words.number(2)?);
            self.change_debt(borrower, place, owed, |before| before.checked_add(amount), changes)?;
            self.set_borrows(place, words.number(3)?, changes)
        } else if topic == IVToken::RepayBorrow::SIGNATURE_HASH {
            let (borrower, amount, owed) = (words.address(1)?, words.number(2)?, words.number(3)?);
            self.change_debt(borrower, place, owed, |before| before.checked_sub(amount), changes)?;
            self.set_borrows(place, words.number(4)?, changes)
        } else if topic == IVToken::Transfer::SIGNATURE_HASH {
            for account in [words.address(0)?, words.address(1)?] {
                if account != Address::ZERO && account != log.address {
                    self.balance_changed(account, place, changes);
                }
            }
            Ok(())
        } else {
            Ok(())
        }
    }

    fn apply_pool_log(&mut self, topic: B256, words: &Words, changes: &mut Vec<Change>) -> Result<(), String> {
        if topic == IComptroller::MarketEntered::SIGNATURE_HASH || topic == IComptroller::MarketExited::SIGNATURE_HASH {
            if let Some(place) = self.places.get(&words.address(0)?).copied() {
                self.balance_changed(words.address(1)?, place, changes);
            }
        } else if topic == IComptroller::MarketListed::SIGNATURE_HASH
            || topic == IComptroller::MarketSupported::SIGNATURE_HASH
        {
            let market = words.address(0)?;
            if !self.places.contains_key(&market) {
                self.named.insert(market);
            }
        } else if topic == IComptroller::PoolSelected::SIGNATURE_HASH {
            // The account and the new pool are indexed, the one before is not; the account comes first either way.
            self.account_changed(words.address(0)?, changes);
        } else if topic == IComptroller::NewPriceOracle::SIGNATURE_HASH {
            changes.push(Change::Oracle(self.oracle));
            self.oracle = words.address(1)?;
        }
        Ok(())
    }

    fn set_totals(&mut self, place: usize, totals: Totals, changes: &mut Vec<Change>) -> Result<(), String> {
        let market = self.market_mut(place)?;
        changes.push(Change::Totals(place, market.totals));
        market.totals = totals;
        Ok(())
    }

    fn set_borrows(&mut self, place: usize, borrows: U256, changes: &mut Vec<Change>) -> Result<(), String> {
        let totals = self.market_mut(place)?.totals;
        self.set_totals(place, Totals { borrows, ..totals }, changes)
    }

    fn market_mut(&mut self, place: usize) -> Result<&mut Market, String> {
        self.markets.get_mut(place).ok_or_else(|| format!("there is no market {place}"))
    }

    /// Sets a debt that a log states, if it follows from the debt before.
    fn change_debt(
        &mut self,
        account: Address,
        place: usize,
        stated: U256,
        change: impl FnOnce(U256) -> Option<U256>,
        changes: &mut Vec<Change>,
    ) -> Result<(), String> {
        let Market { address, totals } = *self.market_mut(place)?;
        let before = self.rows(account).and_then(|rows| rows.get(&place)).map(|row| row.debt).unwrap_or_default();
        let owed = before.at(totals.borrow_index);
        if owed.and_then(change) != Some(stated) {
            let owed = owed.unwrap_or_default();
            return Err(format!(
                "{account} owes {stated} in market {address} afterwards, and owed {owed} by earlier logs"
            ));
        }
        changes.push(Change::Debt(account, place, before));
        self.set_debt(account, place, Debt { principal: stated, index: totals.borrow_index });
        Ok(())
    }

    fn set_debt(&mut self, account: Address, place: usize, debt: Debt) {
        self.change_rows(account, |state| state.replace_debt(account, place, debt));
    }

    fn replace_debt(&mut self, account: Address, place: usize, debt: Debt) {
        self.changed.insert(account);
        self.touched.insert((account, place));
        let rows = self.accounts.entry(account).or_default();
        rows.entry(place).or_default().debt = debt;
        if rows.values().all(|row| row.debt.principal.is_zero()) {
            self.debtors.remove(&account);
            let places: Vec<_> = rows.keys().copied().collect();
            for place in places {
                self.pending.remove(&(account, place));
            }
        } else if self.debtors.insert(account) {
            let unread = rows.iter().filter(|(_, row)| row.balance.is_none()).map(|(place, _)| (account, *place));
            self.pending.extend(unread);
        } else if rows.get(&place).is_some_and(|row| row.balance.is_none()) {
            self.pending.insert((account, place));
        }
    }

    fn balance_changed(&mut self, account: Address, place: usize, changes: &mut Vec<Change>) {
        changes.push(Change::Balance(account, place));
        self.forget_balance(account, place);
    }

    /// Has everything of an account read again.
    fn account_changed(&mut self, account: Address, changes: &mut Vec<Change>) {
        let places: Vec<_> = self.accounts.get(&account).into_iter().flat_map(BTreeMap::keys).copied().collect();
        for place in places {
            self.balance_changed(account, place, changes);
        }
    }

    fn forget_balance(&mut self, account: Address, place: usize) {
        self.touched.insert((account, place));
        self.change_rows(account, |state| {
            state.accounts.entry(account).or_default().entry(place).or_default().balance = None;
        });
        if self.debtors.contains(&account) {
            self.changed.insert(account);
            self.pending.insert((account, place));
        }
    }
}

/// A log's parameters in order, whichever of them are indexed: forks differ in that, and not in the order.
struct Words(Vec<B256>);

impl Words {
    fn of(log: &Log) -> Self {
        let (data, _) = log.data.data.as_chunks::<32>();
        Self(log.topics().iter().skip(1).copied().chain(data.iter().map(B256::from)).collect())
    }

    fn word(&self, place: usize) -> Result<B256, String> {
        self.0.get(place).copied().ok_or_else(|| format!("it has {} parameters and should have more", self.0.len()))
    }

    fn number(&self, place: usize) -> Result<U256, String> {
        self.word(place).map(|word| U256::from_be_bytes(word.0))
    }

    fn address(&self, place: usize) -> Result<Address, String> {
        let word = self.word(place)?;
        let is_address = word.iter().take(12).all(|byte| *byte == 0);
        is_address.then(|| Address::from_word(word)).ok_or_else(|| format!("{word} is no address"))
    }
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolValue;
    use proptest::prelude::*;

    use super::*;

    const POOL: Address = Address::repeat_byte(0xc0);
    const MARKETS: [Address; 2] = [Address::repeat_byte(0xa0), Address::repeat_byte(0xa1)];

    fn state() -> State {
        State::new(POOL, Address::ZERO, MARKETS)
    }

    /// Returns a log, of whose parameters the first `indexed` are topics.
    fn log(address: Address, signature: B256, indexed: usize, words: &[B256]) -> Log {
        let (topics, data) = words.split_at(indexed);
        let topics = [&[signature], topics].concat();
        Log::new_unchecked(address, topics, data.concat().into())
    }

    fn number(number: u64) -> B256 {
        B256::from(U256::from(number))
    }

    fn account(number: u8) -> Address {
        Address::with_last_byte(number + 1)
    }

    fn borrow(market: usize, borrower: u8, amount: u64, owed: u64, indexed: usize) -> Log {
        let words = [account(borrower).into_word(), number(amount), number(owed), number(owed)];
        log(MARKETS[market], IVToken::Borrow::SIGNATURE_HASH, indexed, &words)
    }

    fn any_log(kind: u8, market: usize, who: u8, amount: u64) -> Log {
        let (who, other) = (account(who).into_word(), account(who + 1).into_word());
        let at = MARKETS[market];
        match kind {
            0 => borrow(market, kind, amount, amount, 1),
            1 => {
                let words = [other, who, number(amount), number(0), number(0)];
                log(at, IVToken::RepayBorrow::SIGNATURE_HASH, 2, &words)
            }
            2 => log(at, IVToken::Transfer::SIGNATURE_HASH, 2, &[who, other, number(amount)]),
            3 => {
                let index = B256::from(EXP + U256::from(amount) * EXP / U256::from(1_000));
                log(at, IVToken::AccrueInterest::SIGNATURE_HASH, 0, &[number(1), number(1), index, number(amount)])
            }
            4 => log(POOL, IComptroller::MarketEntered::SIGNATURE_HASH, 2, &[at.into_word(), who]),
            _ => log(POOL, IComptroller::NewPriceOracle::SIGNATURE_HASH, 0, &[other, who]),
        }
    }

    /// Returns debts, totals and the oracle, and which balances are to be read: those that were read and did not change are not.
    fn known(state: &State) -> String {
        let debts: Vec<_> = state
            .debtors()
            .map(|(account, rows)| {
                let debts = rows.into_iter().flatten().map(|(place, row)| (*place, row.debt));
                (account, debts.filter(|(_, debt)| !debt.principal.is_zero()).collect::<Vec<_>>())
            })
            .collect();
        let totals: Vec<_> = state.markets.iter().map(|market| market.totals).collect();
        for place in 0..MARKETS.len() {
            let is_member =
                |rows: &Rows| rows.get(&place).is_some_and(|row| row.balance.is_none_or(|own| own.is_member));
            let scanned = state.debtors().filter(|(_, rows)| rows.is_some_and(is_member)).count();
            assert_eq!(state.members(place), scanned, "market {place}");
        }
        format!("{:?} {:?} {debts:?} {totals:?}", state.tip(), state.oracle)
    }

    /// Returns what is known of the balances of debtors.
    fn balances(state: &State) -> String {
        let rows = state.debtors().map(|(account, rows)| {
            let read = rows.into_iter().flatten().filter_map(|(place, row)| Some((*place, row.balance?)));
            (account, read.collect::<Vec<_>>())
        });
        format!("{:?} {:?}", rows.collect::<Vec<_>>(), state.pending())
    }

    proptest! {
        #[test]
        fn an_undone_or_refused_block_leaves_nothing_behind_and_rows_restore_the_state(
            blocks in prop::collection::vec(prop::collection::vec((0..6_u8, 0..2_usize, 0..4_u8, 0..1_000_u64), 0..6), 1..60),
            undone in 1..60_usize,
        ) {
            let mut state = state();
            state.apply(Block { number: 1, timestamp: 1 }, &[]).unwrap();
            let mut before = vec![known(&state)];
            let mut rows: BTreeMap<_, _> = state.changed_rows().into_iter().collect();
            for (number, block) in (2..).zip(&blocks) {
                let logs: Vec<_> = block.iter().map(|(kind, market, who, amount)| any_log(*kind, *market, *who, *amount)).collect();
                let earlier = known(&state);
                let place = Block { number, timestamp: number };
                if state.apply(place, &logs).is_err() {
                    prop_assert_eq!(known(&state), earlier);
                    state.apply(place, &[]).unwrap();
                }
                for (account, place) in state.pending().clone().into_iter().step_by(2) {
                    let balance = Balance { tokens: U256::ONE, is_member: number % 3 != 0, core: CoreAccount::default() };
                    state.set_balance(account, place, Ok(balance));
                }
                before.push(known(&state));
                rows.extend(state.changed_rows());
            }
            let mut restored = self::state();
            restored.restore(state.tip().unwrap(), &rows.into_iter().collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(known(&restored), known(&state));
            prop_assert_eq!(balances(&restored), balances(&state));
            let left = before.len().saturating_sub(undone).max(1);
            state.undo_to(left as u64).unwrap();
            prop_assert_eq!(Some(known(&state)), before.get(left - 1).cloned());
        }
    }

    #[test]
    fn parameters_are_read_whether_or_not_they_are_indexed() {
        for indexed in [0, 1] {
            let mut state = state();
            state.apply(Block { number: 1, timestamp: 1 }, &[borrow(0, 3, 70, 70, indexed)]).unwrap();
            let owed = state.rows(account(3)).unwrap()[&0].debt;
            assert_eq!(owed, Debt { principal: U256::from(70), index: EXP });
        }
    }

    #[test]
    fn a_debt_that_does_not_follow_from_earlier_logs_is_refused() {
        let error = state().apply(Block { number: 1, timestamp: 1 }, &[borrow(0, 3, 70, 100, 1)]).unwrap_err();
        assert!(error.to_string().contains("owes 100") && error.to_string().contains("by earlier logs"), "{error}");
        let short =
            Log::new_unchecked(MARKETS[0], vec![IVToken::Borrow::SIGNATURE_HASH], (U256::ONE,).abi_encode().into());
        let error = state().apply(Block { number: 1, timestamp: 1 }, &[short]).unwrap_err();
        assert!(error.to_string().contains("should have more"), "{error}");
    }

    #[test]
    fn balances_are_read_of_debtors_alone_and_again_when_a_reorg_undoes_a_change() {
        let mut state = state();
        let transfer = |to: u8| any_log(2, 1, to, 5);
        state.apply(Block { number: 1, timestamp: 1 }, &[transfer(3)]).unwrap();
        assert!(state.pending().is_empty(), "nobody owes anything");
        state.apply(Block { number: 2, timestamp: 2 }, &[borrow(0, 3, 70, 70, 1)]).unwrap();
        assert_eq!(state.pending().iter().copied().collect::<Vec<_>>(), [(account(3), 0), (account(3), 1)]);
        for place in [0, 1] {
            state.set_balance(
                account(3),
                place,
                Ok(Balance { tokens: U256::from(5), is_member: true, core: CoreAccount::default() }),
            );
        }
        state.apply(Block { number: 3, timestamp: 3 }, &[transfer(3)]).unwrap();
        state.set_balance(
            account(3),
            1,
            Ok(Balance { tokens: U256::ZERO, is_member: true, core: CoreAccount::default() }),
        );
        assert!(state.pending().is_empty());
        state.undo_to(2).unwrap();
        assert_eq!(state.pending().iter().copied().collect::<Vec<_>>(), [(account(3), 1)]);
    }

    #[test]
    fn what_a_refused_block_had_forgotten_is_in_the_rows_of_the_next_one() {
        let mut state = state();
        state.apply(Block { number: 1, timestamp: 1 }, &[borrow(0, 3, 70, 70, 1)]).unwrap();
        let known = Balance { tokens: U256::from(5), is_member: true, core: CoreAccount::default() };
        state.set_balance(account(3), 1, Ok(known));
        let mut rows: BTreeMap<_, _> = state.changed_rows().into_iter().collect();
        let refused = [any_log(2, 1, 3, 5), borrow(0, 3, 0, 100, 1)];
        state.apply(Block { number: 2, timestamp: 2 }, &refused).unwrap_err();
        state.apply(Block { number: 2, timestamp: 2 }, &[]).unwrap();
        rows.extend(state.changed_rows());
        let mut restored = self::state();
        restored.restore(state.tip().unwrap(), &rows.into_iter().collect::<Vec<_>>()).unwrap();
        assert!(state.pending().contains(&(account(3), 1)));
        assert_eq!(balances(&restored), balances(&state));
    }

    #[test]
    fn a_market_that_a_log_names_is_a_further_contract() {
        let mut state = state();
        let further = Address::repeat_byte(0xa2);
        let listed = log(POOL, IComptroller::MarketSupported::SIGNATURE_HASH, 0, &[further.into_word()]);
        let known = log(POOL, IComptroller::MarketListed::SIGNATURE_HASH, 1, &[MARKETS[0].into_word()]);
        state.apply(Block { number: 1, timestamp: 1 }, &[known, listed]).unwrap();
        assert_eq!(state.market_addresses().collect::<Vec<_>>(), [MARKETS[0], MARKETS[1], further]);
    }
}
