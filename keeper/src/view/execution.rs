//! What a mined transaction of the keeper did, for people.

use alloy::primitives::{Address, U256};

use super::denomination::Denomination;
use crate::{amount::Amount, config::Config, safety::Execution};

/// Returns token and amount of the debt that was repaid, or of the rewards that were claimed. `loan_token` is that of the
/// market, if there is one.
pub(crate) fn moved(execution: &Execution, loan_token: Option<Address>) -> Option<(Address, U256)> {
    let repaid =
        || Some((loan_token?, execution.repaid)).filter(|_| execution.is_order || !execution.borrowers.is_empty());
    execution.claimed.or_else(repaid)
}

/// Labels an amount with its token.
pub(crate) fn labelled(config: &Config, amount: Option<(Address, U256)>) -> Option<Amount> {
    amount.map(|(token, units)| Denomination::of(config, token).amount(units))
}
