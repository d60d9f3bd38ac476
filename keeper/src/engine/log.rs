//! What an operator reads in the log of the keeper's transactions: one line for each that was mined, and one for each that
//! a dry run would have sent.

use std::collections::HashMap;

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::MarketId;
use tracing::info;

use crate::{
    amount::Amount,
    config::Config,
    intent::{Intent, Purpose, Subject},
    safety::Execution,
    view::{count, labelled, moved, place},
};

/// Number of blocks after which a dry run logs the same loan again.
const REPEAT_BLOCKS: u64 = 1_000;
/// Most accounts that a line lists: a transaction liquidates up to a thousand loans.
const MAX_LISTED: usize = 20;

/// Logs what a mined transaction did. `tokens` are the loan token and the collateral token of its market, if it has one.
pub(super) fn executed(
    config: &Config,
    hash: B256,
    purpose: &Purpose,
    (execution, gain_wei): (&Execution, U256),
    tokens: Option<[Address; 2]>,
) {
    let exact = |amount: Amount| format!("{} {}", amount.exact(), amount.token);
    let gain = exact(Amount::of_wei(gain_wei, &config.chain.coin));
    let [loan, collateral] = tokens.map_or([None, None], |tokens| tokens.map(Some));
    let moved = labelled(config, moved(execution, loan)).map(exact);
    let profit = labelled(config, execution.profit).map(exact);
    match purpose {
        Purpose::Liquidate { market, .. } => info!(
            market = config.deployed.market_name(MarketId(*market)),
            borrower = list(&execution.borrowers),
            loans = execution.borrowers.len(),
            repaid = moved,
            seized = labelled(config, collateral.map(|token| (token, execution.seized))).map(exact),
            profit,
            gain,
            transaction = %hash,
            "liquidation executed"
        ),
        Purpose::Seize { accounts, .. } => info!(
            market = place(config, purpose),
            borrower = list(accounts),
            liquidated = execution.accounts,
            profit,
            gain,
            transaction = %hash,
            "liquidation executed"
        ),
        Purpose::ExecuteOrder { market, account, kind } => info!(
            market = config.deployed.market_name(MarketId(*market)),
            %account,
            kind = kind.name(),
            repaid = moved,
            sold = labelled(config, collateral.map(|token| (token, execution.seized))).map(exact),
            profit,
            gain,
            transaction = %hash,
            "order executed"
        ),
        Purpose::Sweep { from, token } => {
            info!(%from, token = config.tokens.name(*token), transaction = %hash, "tokens swept");
        }
        Purpose::ExecuteOperation { id } => info!(operation = %id, transaction = %hash, "operation executed"),
        Purpose::AdvanceJob { id, step, .. } => {
            info!(job = id, step = step.name(), profit, gain, transaction = %hash, "job brought on");
        }
        Purpose::CollectVouchers { jar, .. } => {
            info!(%jar, profit, gain, transaction = %hash, "vouchers claimed");
        }
        Purpose::HarvestNodes { nodes } => info!(?nodes, transaction = %hash, "emission of nodes claimed"),
        Purpose::Rebalance { vault } => {
            info!(vault = config.deployed.vault_name(*vault), transaction = %hash, "vault rebalanced");
        }
        Purpose::Harvest { pool, .. } | Purpose::ClaimOwn { pool, .. } => info!(
            programme = config.deployed.programme_name(*pool),
            accounts = execution.accounts,
            claimed = moved,
            profit,
            gain,
            transaction = %hash,
            "rewards claimed"
        ),
    }
}

/// Logs what a dry run does not send, each loan, reward and vault once in a while.
#[derive(Debug, Default)]
pub(super) struct DryRunLog {
    /// Block in which each subject was logged last.
    logged: HashMap<Subject, u64>,
}

impl DryRunLog {
    /// Logs an intent that was decided on a block, unless everything in it was logged lately.
    pub(super) fn record(&mut self, config: &Config, intent: &Intent, block: u64) {
        self.logged.retain(|_, logged| block.saturating_sub(*logged) < REPEAT_BLOCKS);
        let subjects = intent.purpose.subjects();
        // Every subject is noted, not only those up to the first new one.
        let new = subjects.iter().filter(|subject| self.logged.insert(**subject, block).is_none()).count();
        if new == 0 {
            return;
        }
        let gain = Amount::of_wei(intent.expected_gain, &config.chain.coin);
        let gain = format!("{} {}", gain.exact(), gain.token);
        let expected_gas = intent.expected_gas;
        match &intent.purpose {
            Purpose::Liquidate { market, borrowers } => {
                let market = config.deployed.market_name(MarketId(*market));
                let loans = borrowers.len();
                info!(market, borrower = list(borrowers), loans, gain, expected_gas, "dry run: liquidation not sent");
            }
            Purpose::Seize { accounts, .. } => {
                let market = place(config, &intent.purpose);
                info!(market, borrower = list(accounts), gain, expected_gas, "dry run: liquidation not sent");
            }
            Purpose::ExecuteOrder { market, account, kind } => {
                let market = config.deployed.market_name(MarketId(*market));
                info!(market, %account, kind = kind.name(), gain, expected_gas, "dry run: order not executed");
            }
            Purpose::Harvest { pool, accounts, .. } => {
                let (programme, accounts) = (config.deployed.programme_name(*pool), count(accounts.len()));
                info!(programme, accounts, gain, expected_gas, "dry run: harvest not sent");
            }
            Purpose::Rebalance { vault } => {
                let vault = config.deployed.vault_name(*vault);
                info!(vault, gain, expected_gas, "dry run: rebalance not sent");
            }
            Purpose::ExecuteOperation { id } => {
                info!(operation = %id, expected_gas, "dry run: operation not executed");
            }
            Purpose::AdvanceJob { id, step, .. } => {
                info!(job = id, step = step.name(), gain, expected_gas, "dry run: step of a job not sent");
            }
            Purpose::CollectVouchers { jar, .. } => {
                info!(%jar, gain, expected_gas, "dry run: claim of vouchers not sent");
            }
            Purpose::HarvestNodes { nodes } => {
                info!(?nodes, expected_gas, "dry run: claim of emission not sent");
            }
            // Refused before it is decided.
            Purpose::Sweep { .. } => {}
            Purpose::ClaimOwn { pool, .. } => {
                let programme = config.deployed.programme_name(*pool);
                info!(programme, gain, expected_gas, "dry run: claim of own rewards not sent");
            }
        }
    }
}

/// Lists accounts, the first ones where there are many: the API has all of them.
fn list(accounts: &[Address]) -> String {
    let mut listed: Vec<_> = accounts.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    if let Some(more) = accounts.len().checked_sub(MAX_LISTED).filter(|more| *more != 0) {
        listed.push(format!("{more} more"));
    }
    listed.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_does_not_grow_with_the_loans_of_a_batch() {
        let account = Address::repeat_byte(1);
        assert_eq!(list(&[account, account]), format!("{account},{account}"));
        assert_eq!(list(&[account; MAX_LISTED]).matches(',').count(), MAX_LISTED - 1);
        let long = list(&vec![account; 1_000]);
        assert!(long.ends_with(",980 more") && long.len() < 1_000, "{long}");
    }
}
