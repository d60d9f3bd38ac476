//! A pool's accounts, and whose logs are followed, as rows of a checkpoint.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};

use super::{
    accounts::{Account, Accounts},
    health::{Balance, Side},
};
use crate::{
    Block,
    rows::{Reader, RestoreError, Row, key},
};

const FOLLOWED: u8 = 0;
const ACCOUNT: u8 = 1;

/// Value of an account that is to be read.
const UNREAD: u8 = 0;
/// Value of an account without debt.
const NONE: u8 = 1;
/// Begins the value of an account with debt.
const KNOWN: u8 = 2;

impl Accounts {
    /// Returns the rows that the newest block changed, with what was read of them.
    pub(super) fn changed_rows(&self) -> Vec<Row> {
        self.touched().iter().map(|account| (key(ACCOUNT, &[account.as_slice()]), self.value(account))).collect()
    }

    fn value(&self, account: &Address) -> Vec<u8> {
        if self.is_unread(account) {
            return vec![UNREAD];
        }
        match self.known().get(account) {
            None => vec![NONE],
            // What the matter is with it is read again.
            Some(Account { problem: Some(_), .. }) => vec![UNREAD],
            Some(Account { category, balances, .. }) => {
                let mut bytes = vec![KNOWN, *category];
                for Balance { token, side, scaled } in balances {
                    bytes.push(u8::from(*side == Side::Debt));
                    bytes.extend_from_slice(&U256::from(*token).to_be_bytes::<32>());
                    bytes.extend_from_slice(&U256::from(*scaled).to_be_bytes::<32>());
                }
                bytes
            }
        }
    }
}

/// Returns the row of the addresses whose logs are followed.
pub(super) fn followed_row(followed: &BTreeSet<Address>) -> Row {
    (key(FOLLOWED, &[]), followed.iter().flat_map(|address| address.0).collect())
}

/// Returns the accounts after a block by their rows, and the addresses whose logs are followed.
pub(super) fn restored(block: Block, rows: &[Row]) -> Result<(Accounts, BTreeSet<Address>), RestoreError> {
    let (mut accounts, mut followed) = (Accounts::default(), BTreeSet::new());
    for (key, value) in rows {
        let (mut key, mut value) = (Reader::new(key), Reader::new(value));
        match key.byte()? {
            FOLLOWED => {
                while !value.is_empty() {
                    followed.insert(value.address()?);
                }
            }
            ACCOUNT => {
                let account = key.address()?;
                match value.byte()? {
                    UNREAD => accounts.restore(account, None),
                    NONE => {}
                    KNOWN => {
                        let (category, mut balances) = (value.byte()?, Vec::new());
                        while !value.is_empty() {
                            let side = match value.byte()? {
                                0 => Side::Collateral,
                                1 => Side::Debt,
                                other => return Err(RestoreError(format!("{other} is no side"))),
                            };
                            balances.push(Balance { token: value.narrow()?, side, scaled: value.narrow()? });
                        }
                        let known = Account { category, balances: balances.into(), problem: None };
                        accounts.restore(account, Some(known));
                    }
                    other => return Err(RestoreError(format!("{other} says nothing of an account"))),
                }
            }
            other => return Err(RestoreError(format!("{other} is no kind of row"))),
        }
        key.end()?;
        value.end()?;
    }
    accounts.begin_after(block);
    Ok((accounts, followed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_restore_accounts_with_debt_and_those_that_are_still_to_be_read() {
        let address = Address::repeat_byte;
        let balance = |token, side, scaled| Balance { token, side, scaled };
        let balances = [balance(u16::MAX, Side::Debt, u128::MAX), balance(0, Side::Collateral, 7)];
        let mut accounts = Accounts::default();
        accounts.restore(address(1), Some(Account { category: 255, balances: balances.into(), problem: None }));
        accounts.restore(address(2), None);
        let unclear = Account { category: 0, balances: Box::default(), problem: Some("of a stable rate".to_owned()) };
        accounts.restore(address(3), Some(unclear));
        // As if all of them, and one without debt, had been touched in the newest block.
        let row = |number| (key(ACCOUNT, &[address(number).as_slice()]), accounts.value(&address(number)));
        let followed = BTreeSet::from([address(8), address(9)]);
        let mut rows: Vec<_> = [followed_row(&followed)].into_iter().chain((1..=4).map(row)).collect();

        let block = Block { number: 5, timestamp: 6 };
        let (found, addresses) = restored(block, &rows).unwrap();
        assert_eq!((found.tip(), addresses), (Some(block), followed));
        assert_eq!(found.known().get(&address(1)), accounts.known().get(&address(1)));
        assert_eq!(found.known().len(), 1);
        let unread = (1..=4).map(|number| found.is_unread(&address(number))).collect::<Vec<_>>();
        assert_eq!(unread, [false, true, true, false]);

        // A byte less is no account.
        rows[1].1.pop();
        assert!(restored(block, &rows).is_err());
    }
}
