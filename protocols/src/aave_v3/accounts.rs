//! Accounts with debt: which there are, what each has, and whose balances must be read again.
//!
//! Logs say whose balances changed, and never by how much: what a log's amounts mean has changed with the pool's versions.
//! What an account has is read in the block, so that it is exact in every version. An undone block's accounts are read
//! again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy::{
    primitives::{Address, B256, Log, U256},
    sol_types::SolEvent,
};

use super::{
    health::{Balance, Side},
    interface::{IAavePool, IAaveToken},
    pool::Pool,
    reads::{Read, narrow},
    totals::Totals,
};
use crate::{ApplyError, Block, MAX_UNDO, UndoError};

/// Accounts that are read in one request.
const ACCOUNTS_PER_REQUEST: usize = 200;

/// An account with debt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// Its e-mode category; 0 if it is in none.
    pub(super) category: u8,
    pub(super) balances: Box<[Balance]>,
    /// Why its health factor does not follow from its balances.
    pub(super) problem: Option<String>,
}

/// What was read so far of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Partial {
    flags: Option<U256>,
    category: Option<u8>,
    scaled: BTreeMap<Address, u128>,
    stable: BTreeMap<Address, U256>,
    /// The flags by what it had before: what they say is read along with them, since they seldom change.
    flags_before: U256,
}

/// The accounts, and those that a block touched, so that it can be undone.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    known: BTreeMap<Address, Account>,
    /// Sums over `known`.
    totals: Totals,
    unread: BTreeMap<Address, Partial>,
    /// Accounts that the newest block touched, or that were read in it.
    touched: BTreeSet<Address>,
    /// Accounts that could not be read in this block, with the reason.
    unreadable: BTreeMap<Address, String>,
    tip: Option<Block>,
    undo: VecDeque<(Option<Block>, BTreeSet<Address>)>,
}

/// First topics of the logs that say whose balances changed, each with the topics that are accounts. The debt of an account
/// that was not known begins with the first.
const EVENTS: [(B256, &[usize]); 9] = [
    (IAavePool::Borrow::SIGNATURE_HASH, &[2]),
    (IAavePool::Repay::SIGNATURE_HASH, &[2]),
    (IAavePool::ReserveUsedAsCollateralEnabled::SIGNATURE_HASH, &[2]),
    (IAavePool::ReserveUsedAsCollateralDisabled::SIGNATURE_HASH, &[2]),
    (IAavePool::UserEModeSet::SIGNATURE_HASH, &[1]),
    (IAavePool::SwapBorrowRateMode::SIGNATURE_HASH, &[2]),
    (IAavePool::RebalanceStableBorrowRate::SIGNATURE_HASH, &[2]),
    (IAavePool::LiquidationCall::SIGNATURE_HASH, &[3]),
    (IAaveToken::Transfer::SIGNATURE_HASH, &[1, 2]),
];

/// Returns the first topics of the logs that are followed.
pub(super) fn followed_topics() -> Vec<B256> {
    EVENTS.iter().map(|(topic, _)| *topic).collect()
}

/// Returns the first topic of the logs by which accounts are discovered.
pub(super) const fn discovery_topic() -> B256 {
    IAavePool::Borrow::SIGNATURE_HASH
}

impl Accounts {
    pub(super) const fn tip(&self) -> Option<Block> {
        self.tip
    }

    pub(super) const fn known(&self) -> &BTreeMap<Address, Account> {
        &self.known
    }

    pub(super) const fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) const fn unreadable(&self) -> &BTreeMap<Address, String> {
        &self.unreadable
    }

    /// Returns the number of accounts that are to be read.
    pub(super) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Returns the e-mode categories that are in use.
    pub(super) fn categories(&self) -> BTreeSet<u8> {
        let read = self.unread.values().filter_map(|partial| partial.category);
        self.totals.categories().chain(read.filter(|id| *id != 0)).collect()
    }

    /// Notes whose balances a block's logs changed.
    pub(super) fn apply(&mut self, block: Block, logs: &[Log]) -> Result<(), ApplyError> {
        if let Some(tip) = self.tip.filter(|tip| block.number <= tip.number) {
            return Err(ApplyError::NotNext { block: block.number, tip: tip.number });
        }
        let mut touched = BTreeSet::new();
        for (position, log) in logs.iter().enumerate() {
            let foreign = |problem: String| ApplyError::Foreign { position, problem };
            let topic = log.topics().first().ok_or_else(|| foreign("it has no topic".to_owned()))?;
            let event = EVENTS.iter().find(|(known, _)| known == topic);
            let (_, places) = event.ok_or_else(|| foreign(format!("its first topic is {topic}")))?;
            for place in *places {
                let account = log.topics().get(*place).ok_or_else(|| foreign(format!("it has no topic {place}")))?;
                let account = Address::from_word(*account);
                let is_known = self.known.contains_key(&account) || self.is_unread(&account);
                if *topic == discovery_topic() || is_known || touched.contains(&account) {
                    touched.insert(account);
                }
            }
        }
        let unreadable = std::mem::take(&mut self.unreadable);
        for account in touched.iter().copied().chain(unreadable.into_keys()) {
            let flags_before = self.known.get(&account).map(Account::flags).unwrap_or_default();
            self.unread.insert(account, Partial { flags_before, ..Partial::default() });
        }
        self.touched.clone_from(&touched);
        self.undo.push_back((self.tip, touched));
        if self.undo.len() > MAX_UNDO {
            self.undo.pop_front();
        }
        self.tip = Some(block);
        Ok(())
    }

    /// Has every account read again that a block after `block` touched.
    pub(super) fn undo_to(&mut self, block: u64) -> Result<(), UndoError> {
        let is_later = |tip: Option<Block>| tip.is_some_and(|tip| tip.number > block);
        let (mut tip, mut undone) = (self.tip, 0);
        for (before, _) in self.undo.iter().rev() {
            if !is_later(tip) {
                break;
            }
            tip = *before;
            undone += 1;
        }
        if is_later(tip) {
            return Err(UndoError { block });
        }
        for _ in 0..undone {
            let Some((_, touched)) = self.undo.pop_back() else { break };
            self.unread.extend(touched.into_iter().map(|account| (account, Partial::default())));
        }
        self.tip = tip;
        Ok(())
    }

    /// Returns what is to be read of accounts next, some at a time.
    pub(super) fn wanted(&self, pool: &Pool) -> Vec<Read> {
        let partials = self.unread.iter().take(ACCOUNTS_PER_REQUEST);
        partials.flat_map(|(account, partial)| partial.wanted(*account, pool)).collect()
    }

    /// Takes what was read of an account.
    pub(super) fn take(&mut self, read: Read, number: Result<U256, String>) {
        let (Read::Flags { account }
        | Read::AccountCategory { account }
        | Read::Scaled { account, .. }
        | Read::StableDebt { account, .. }) = read
        else {
            return;
        };
        let Some(partial) = self.unread.get_mut(&account) else { return };
        if let Err(problem) = number.and_then(|number| partial.take(read, number)) {
            self.unread.remove(&account);
            self.set(account, None);
            self.unreadable.insert(account, problem);
            self.touched.insert(account);
        }
    }

    /// Has every account read again.
    pub(super) fn read_all(&mut self) {
        self.unread.extend(self.known.keys().map(|account| (*account, Partial::default())));
        self.touched.extend(self.known.keys());
    }

    /// Returns the accounts that are read completely now.
    pub(super) fn complete(&mut self, pool: &Pool) -> Vec<Address> {
        let is_complete = |(account, partial): &(&Address, &Partial)| partial.wanted(**account, pool).is_empty();
        let complete: Vec<_> =
            self.unread.iter().take(ACCOUNTS_PER_REQUEST).filter(is_complete).map(|(account, _)| *account).collect();
        for address in &complete {
            let Some(partial) = self.unread.remove(address) else { continue };
            self.touched.insert(*address);
            let account = partial.account(pool);
            let is_debtor = account.balances.iter().any(|balance| balance.side == Side::Debt);
            self.set(*address, Some(account).filter(|account| is_debtor || account.problem.is_some()));
        }
        complete
    }

    /// Returns the accounts that the newest block touched, or that were read in it.
    pub(super) const fn touched(&self) -> &BTreeSet<Address> {
        &self.touched
    }

    /// Returns whether what an account has is to be read, also because it could not be read in this block.
    pub(super) fn is_unread(&self, account: &Address) -> bool {
        self.unread.contains_key(account) || self.unreadable.contains_key(account)
    }

    /// Sets what an account has; `None` of one that is to be read.
    pub(super) fn restore(&mut self, address: Address, account: Option<Account>) {
        match account {
            Some(account) => self.set(address, Some(account)),
            None => {
                self.unread.insert(address, Partial::default());
            }
        }
    }

    /// Goes on after a block, which cannot be undone.
    pub(super) const fn begin_after(&mut self, block: Block) {
        self.tip = Some(block);
    }

    /// Sets what an account has; `None` of one without debt.
    fn set(&mut self, address: Address, account: Option<Account>) {
        if let Some(before) = self.known.remove(&address) {
            self.totals.subtract(address, &before);
        }
        if let Some(account) = account {
            self.totals.add(address, &account);
            self.known.insert(address, account);
        }
    }
}

impl Account {
    /// Returns the flags of the reserves that it has balances of.
    fn flags(&self) -> U256 {
        let bit = |balance: &Balance| {
            let place = usize::from(balance.token) * 2;
            U256::ONE << if balance.side == Side::Collateral { place + 1 } else { place }
        };
        self.balances.iter().map(bit).fold(U256::ZERO, |flags, bit| flags | bit)
    }
}

impl Partial {
    fn take(&mut self, read: Read, number: U256) -> Result<(), String> {
        match read {
            Read::Flags { .. } => self.flags = Some(number),
            Read::AccountCategory { .. } => {
                let category = u8::try_from(number).map_err(|_| format!("its e-mode category is {number}"))?;
                self.category = Some(category);
            }
            Read::Scaled { token, .. } => {
                self.scaled.insert(token, narrow(number, "a scaled balance")?);
            }
            Read::StableDebt { token, .. } => {
                self.stable.insert(token, number);
            }
            _ => {}
        }
        Ok(())
    }

    /// Iterates over the reserves that an account uses: id, as collateral, as debt.
    fn used(flags: U256) -> impl Iterator<Item = (u16, bool, bool)> {
        let uses = (0_u16..128).map(move |id| {
            let place = usize::from(id) * 2;
            (id, flags.bit(place + 1), flags.bit(place))
        });
        uses.filter(|(_, as_collateral, as_debt)| *as_collateral || *as_debt)
    }

    fn wanted(&self, account: Address, pool: &Pool) -> Vec<Read> {
        let mut wanted = Vec::new();
        let flags = match (self.flags, self.category) {
            (Some(flags), Some(_)) => flags,
            _ => {
                wanted.extend([Read::Flags { account }, Read::AccountCategory { account }]);
                self.flags_before
            }
        };
        for (id, as_collateral, as_debt) in Self::used(flags) {
            let Some(reserve) = pool.reserves.get(&id) else { continue };
            let mut scaled = |token| {
                if !self.scaled.contains_key(&token) {
                    wanted.push(Read::Scaled { token, account });
                }
            };
            if as_collateral {
                scaled(reserve.a_token);
            }
            if as_debt {
                scaled(reserve.debt_token);
                let stable = reserve.stable_debt_token.filter(|token| !self.stable.contains_key(token));
                wanted.extend(stable.map(|token| Read::StableDebt { token, account }));
            }
        }
        wanted
    }

    fn account(&self, pool: &Pool) -> Account {
        let (mut balances, mut problem) = (Vec::new(), None);
        for (id, as_collateral, as_debt) in Self::used(self.flags.unwrap_or_default()) {
            let Some(reserve) = pool.reserves.get(&id) else { continue };
            let scaled = |token: &Address| self.scaled.get(token).copied().unwrap_or_default();
            for (side, is_used, token) in
                [(Side::Collateral, as_collateral, &reserve.a_token), (Side::Debt, as_debt, &reserve.debt_token)]
            {
                if is_used && scaled(token) > 0 {
                    balances.push(Balance { token: id, side, scaled: scaled(token) });
                }
            }
            let stable = reserve.stable_debt_token.and_then(|token| self.stable.get(&token));
            if as_debt && stable.is_some_and(|debt| !debt.is_zero()) {
                problem = Some(format!("it owes {} at a stable rate, which is not supported", reserve.asset));
            }
            if as_debt && reserve.has_discounted_debt && scaled(&reserve.debt_token) > 0 {
                problem = Some(format!("it owes {}, whose debt has a discount that is not supported", reserve.asset));
            }
        }
        Account { category: self.category.unwrap_or_default(), balances: balances.into(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn borrow(account: u8) -> Log {
        let event = IAavePool::Borrow {
            reserve: Address::ZERO,
            user: Address::ZERO,
            onBehalfOf: Address::repeat_byte(account),
            amount: U256::ONE,
            interestRateMode: 2,
            borrowRate: U256::ZERO,
            referralCode: 0,
        };
        Log { address: Address::ZERO, data: event.encode_log_data() }
    }

    fn block(number: u64) -> Block {
        Block { number, timestamp: number }
    }

    fn read(accounts: &mut Accounts) -> Vec<Address> {
        std::mem::take(&mut accounts.unread).into_keys().collect()
    }

    #[test]
    fn what_an_undone_block_touched_is_read_again() {
        let mut accounts = Accounts::default();
        for number in 1..=3 {
            accounts.apply(block(u64::from(number)), &[borrow(number)]).unwrap();
        }
        assert_eq!(read(&mut accounts).len(), 3);
        accounts.undo_to(1).unwrap();
        assert_eq!(read(&mut accounts), [Address::repeat_byte(2), Address::repeat_byte(3)]);
        assert_eq!(accounts.tip(), Some(block(1)));
        accounts.undo_to(1).unwrap();
        assert!(read(&mut accounts).is_empty());
        accounts.apply(block(2), &[]).unwrap();
    }

    /// An account that could not be read is read again in each block, and then has what that block made of it.
    #[test]
    fn what_an_undone_block_touched_of_an_account_that_could_not_be_read_is_read_again() {
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let transfer = IAaveToken::Transfer { from: one, to: two, value: U256::ONE };
        let transfer = Log { address: Address::ZERO, data: transfer.encode_log_data() };
        let mut accounts = Accounts::default();
        accounts.apply(block(1), &[borrow(1)]).unwrap();
        accounts.take(Read::Flags { account: one }, Err("it reverts".to_owned()));
        assert_eq!(accounts.unreadable().len(), 1);
        accounts.apply(block(2), &[transfer]).unwrap();
        assert_eq!(read(&mut accounts), [one]);
        accounts.undo_to(1).unwrap();
        assert_eq!(read(&mut accounts), [one]);
    }

    #[test]
    fn a_transfer_touches_only_accounts_that_are_known() {
        let mut accounts = Accounts::default();
        let transfer =
            IAaveToken::Transfer { from: Address::repeat_byte(1), to: Address::repeat_byte(2), value: U256::ONE };
        let transfer = Log { address: Address::ZERO, data: transfer.encode_log_data() };
        accounts.apply(block(1), std::slice::from_ref(&transfer)).unwrap();
        assert!(read(&mut accounts).is_empty());
        accounts.apply(block(2), &[borrow(1), transfer]).unwrap();
        assert_eq!(read(&mut accounts), [Address::repeat_byte(1)]);
    }

    #[test]
    fn blocks_that_are_too_old_cannot_be_undone() {
        let mut accounts = Accounts::default();
        for number in 1..=MAX_UNDO as u64 + 10 {
            accounts.apply(block(number), &[]).unwrap();
        }
        assert_eq!(accounts.undo_to(5), Err(UndoError { block: 5 }));
        accounts.undo_to(10).unwrap();
        assert_eq!(accounts.tip(), Some(block(10)));
    }

    #[test]
    fn a_log_of_another_contract_is_foreign() {
        let foreign = Log::new_unchecked(Address::ZERO, vec![B256::repeat_byte(7)], Vec::new().into());
        let error = Accounts::default().apply(block(1), &[foreign]).unwrap_err();
        assert!(matches!(error, ApplyError::Foreign { position: 0, .. }), "{error}");
    }
}
