//! A pool's debts, totals and balances as rows of a checkpoint.

use alloy::primitives::{Address, U256};

use super::{
    math::Debt,
    state::{Balance, Change, CoreAccount, Row as AccountRow, State, Totals},
};
use crate::{
    Block,
    rows::{Reader, RestoreError, Row, key, value},
};

const ORACLE: u8 = 0;
const MARKET: u8 = 1;
const ACCOUNT: u8 = 2;

/// What is known of a balance.
const UNREAD: u64 = 0;
const OUTSIDE: u64 = 1;
const MEMBER: u64 = 2;

impl State {
    /// Returns the rows that the newest block changed, with what was read of them.
    pub(super) fn changed_rows(&self) -> Vec<Row> {
        let mut rows = vec![(key(ORACLE, &[]), self.oracle.to_vec())];
        for change in self.newest_changes() {
            if let Change::Totals(place, _) = change
                && let Some(market) = self.markets.get(*place)
            {
                let Totals { borrow_index, borrows } = market.totals;
                rows.push((key(MARKET, &[market.address.as_slice()]), value([borrow_index, borrows])));
            }
        }
        let accounts = self.touched().filter_map(|(account, place)| {
            let market = self.markets.get(place)?.address;
            let row = self.rows(account).and_then(|rows| rows.get(&place)).copied().unwrap_or_default();
            let known = match row.balance {
                None => UNREAD,
                Some(Balance { is_member, .. }) => {
                    if is_member {
                        MEMBER
                    } else {
                        OUTSIDE
                    }
                }
            };
            let (tokens, core) = row.balance.map_or_else(Default::default, |balance| (balance.tokens, balance.core));
            let [owes_vai, is_restricted] =
                [core.owes_vai, core.is_restricted].map(|is_true| U256::from(u8::from(is_true)));
            let Debt { principal, index } = row.debt;
            let words = [principal, index, U256::from(known), tokens, U256::from(core.pool), owes_vai, is_restricted];
            Some((key(ACCOUNT, &[market.as_slice(), account.as_slice()]), value(words)))
        });
        rows.extend(accounts);
        rows
    }

    /// Sets the state to that after a block, by its rows. Fails where one is of another pool's market; the state is undefined
    /// then.
    pub(super) fn restore(&mut self, block: Block, rows: &[Row]) -> Result<(), RestoreError> {
        for (key, value) in rows {
            let (mut key, mut value) = (Reader::new(key), Reader::new(value));
            match key.byte()? {
                ORACLE => self.oracle = value.address()?,
                MARKET => {
                    let place = self.place(key.address()?)?;
                    let totals = Totals { borrow_index: value.number()?, borrows: value.number()? };
                    if let Some(market) = self.markets.get_mut(place) {
                        market.totals = totals;
                    }
                }
                ACCOUNT => {
                    let place = self.place(key.address()?)?;
                    let debt = Debt { principal: value.number()?, index: value.number()? };
                    let (known, tokens) = (value.narrow::<u64>()?, value.number()?);
                    let core = CoreAccount {
                        pool: value.narrow()?,
                        owes_vai: !value.number()?.is_zero(),
                        is_restricted: !value.number()?.is_zero(),
                    };
                    let balance = match known {
                        UNREAD => None,
                        OUTSIDE | MEMBER => Some(Balance { tokens, is_member: known == MEMBER, core }),
                        other => return Err(RestoreError(format!("{other} says nothing of a balance"))),
                    };
                    self.restore_row(key.address()?, place, AccountRow { debt, balance });
                }
                other => return Err(RestoreError(format!("{other} is no kind of row"))),
            }
            key.end()?;
            value.end()?;
        }
        self.begin_after(block);
        Ok(())
    }

    fn place(&self, market: Address) -> Result<usize, RestoreError> {
        self.place_of(market).ok_or_else(|| RestoreError(format!("the pool has no market {market}")))
    }
}
