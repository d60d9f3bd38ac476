//! Borrowers on a local chain: thousands of loans a transaction, each of an account of its own and opened by real
//! calls, so that the chain has every event.

use std::time::Instant;

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, U256},
    providers::{Provider, ext::AnvilApi},
    sol,
    sol_types::SolValue,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::MarketParams;
use plimsoll_deploy::toolchain::progress::say;

use crate::devnet::{Devnet, MINING_TIMEOUT};

/// Gas for opening one loan, with a margin.
const GAS_PER_LOAN: u64 = 260_000;
/// Gas of a call before its first loan.
const GAS_PER_CALL: u64 = 500_000;
/// The most loans in one call: the node traces every transaction, for a time that grows with the square of its calls.
const MAX_LOANS_PER_CALL: u64 = 200;
/// Number of loans between two progress messages.
const PROGRESS_INTERVAL: usize = 20_000;

sol! {
    /// The test contract that creates an account for each loan.
    #[sol(rpc)]
    interface IBorrowers {
        struct Params {
            address loanToken;
            address collateralToken;
            address oracle;
            uint256 risk;
            uint256 curve;
        }

        function open(Params calldata params, uint256[] calldata loans) external;
        function count() external view returns (uint256);
    }
}

/// A loan to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLoan {
    /// Collateral to post, in units of the collateral token.
    pub collateral: u128,
    /// Debt to borrow, in units of the loan token.
    pub debt: u128,
}

/// Opens loans in bulk, each for an account that is created with it.
#[derive(Debug)]
pub struct Borrowers<'a> {
    devnet: &'a Devnet,
    address: Address,
    /// The most gas that a transaction may use on this node.
    transaction_gas: u64,
}

impl<'a> Borrowers<'a> {
    /// Deploys the contract that creates the accounts. `transaction_gas` is the most gas that a transaction may use on
    /// this node.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn deploy(devnet: &'a Devnet, core: Address, transaction_gas: u64) -> eyre::Result<Self> {
        let address = devnet.deploy("Borrowers", core.abi_encode()).await?;
        Ok(Self { devnet, address, transaction_gas })
    }

    /// Opens loans in a market, in as many transactions as necessary, of which each block takes as many as it has room for:
    /// a node computes the root of its state for each block. Collateral is minted; the market must have enough supply to
    /// lend. A node that mines every transaction at once does so again afterwards.
    ///
    /// # Errors
    /// When the core refuses one of the loans, or a transaction has no room for a loan.
    pub async fn open(&self, market: &MarketParams, loans: &[NewLoan]) -> eyre::Result<()> {
        let provider = self.devnet.provider();
        let mines_at_once = provider.anvil_get_auto_mine().await?;
        if mines_at_once {
            provider.anvil_set_auto_mine(false).await?;
        }
        let opened = self.open_in_blocks(market, loans, mines_at_once).await;
        if mines_at_once {
            provider.anvil_set_auto_mine(true).await?;
        }
        opened
    }

    async fn open_in_blocks(&self, market: &MarketParams, loans: &[NewLoan], mines: bool) -> eyre::Result<()> {
        let provider = self.devnet.provider();
        let room = self.transaction_gas.saturating_sub(GAS_PER_CALL) / GAS_PER_LOAN;
        ensure!(room > 0, "a transaction of {} gas opens no loan", self.transaction_gas);
        let call_size = room.min(MAX_LOANS_PER_CALL);
        let latest =
            provider.get_block_by_number(BlockNumberOrTag::Latest).await?.wrap_err("a chain without a block")?;
        let calls_per_block = (latest.header.gas_limit / gas_for(call_size)).max(1);
        let block_size = usize::try_from(call_size * calls_per_block)?;
        let (start, mut opened, mut reported) = (Instant::now(), 0, 0);
        for loans_of_block in loans.chunks(block_size) {
            self.open_in_block(market, loans_of_block.chunks(usize::try_from(call_size)?), mines).await?;
            opened += loans_of_block.len();
            if opened - reported >= PROGRESS_INTERVAL {
                reported = opened;
                let (all, left) = (loans.len(), u128::try_from(loans.len() - opened)?);
                let secs = start.elapsed().as_millis() * left / u128::try_from(opened)? / 1_000;
                say(format_args!("{opened} of {all} loans are open, about {secs} s remain"));
            }
        }
        Ok(())
    }

    /// Sends a transaction for each of these groups of loans, and waits until all are mined.
    async fn open_in_block<'l>(
        &self,
        market: &MarketParams,
        calls: impl Iterator<Item = &'l [NewLoan]>,
        mines: bool,
    ) -> eyre::Result<()> {
        let provider = self.devnet.provider();
        let contract = IBorrowers::new(self.address, provider);
        let params = IBorrowers::Params {
            loanToken: market.loanToken,
            collateralToken: market.collateralToken,
            oracle: market.oracle,
            risk: market.risk,
            curve: market.curve,
        };
        let mut pending = Vec::new();
        for loans in calls {
            // The contract takes collateral in the upper half of a word and debt in the lower.
            let words = loans.iter().map(|loan| U256::from(loan.collateral) << 128 | U256::from(loan.debt)).collect();
            // A given limit spares the node an estimate of a very large call.
            let gas = gas_for(u64::try_from(loans.len())?);
            pending.push(contract.open(params.clone(), words).from(self.devnet.deployer()).gas(gas).send().await?);
        }
        if mines {
            provider.evm_mine(None).await?;
        }
        for transaction in pending {
            let hash = *transaction.tx_hash();
            let receipt = match provider.get_transaction_receipt(hash).await? {
                Some(receipt) => receipt,
                None => transaction.with_timeout(Some(MINING_TIMEOUT)).get_receipt().await?,
            };
            ensure!(receipt.status(), "the transaction {hash} reverted after {} gas", receipt.gas_used);
        }
        Ok(())
    }
}

/// Returns the gas of a call that opens this many loans.
const fn gas_for(loans: u64) -> u64 {
    GAS_PER_CALL + GAS_PER_LOAN * loans
}
