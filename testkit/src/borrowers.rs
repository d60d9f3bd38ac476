//! Borrowers on a local chain: thousands of loans a transaction, each of an account of its own and opened by real
//! calls, so that the chain has every event.

use alloy::{
    primitives::{Address, U256},
    sol,
    sol_types::SolValue,
};
use eyre::ensure;
use plimsoll_contracts::MarketParams;
use plimsoll_deploy::toolchain::progress::say;

use crate::devnet::{Devnet, mined};

/// Gas for opening one loan, with a margin.
const GAS_PER_LOAN: u64 = 260_000;
/// Gas of a call before its first loan.
const GAS_PER_CALL: u64 = 500_000;
/// The most loans in one call, so that a request stays small.
const MAX_LOANS_PER_CALL: u64 = 2_000;
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

    /// Opens loans in a market, in as many transactions as necessary. Collateral is minted; the market must have enough
    /// supply to lend.
    ///
    /// # Errors
    /// When the core refuses one of the loans, or a transaction has no room for a loan.
    pub async fn open(&self, market: &MarketParams, loans: &[NewLoan]) -> eyre::Result<()> {
        let room = self.transaction_gas.saturating_sub(GAS_PER_CALL) / GAS_PER_LOAN;
        ensure!(room > 0, "a transaction of {} gas opens no loan", self.transaction_gas);
        let contract = IBorrowers::new(self.address, self.devnet.provider());
        let params = IBorrowers::Params {
            loanToken: market.loanToken,
            collateralToken: market.collateralToken,
            oracle: market.oracle,
            risk: market.risk,
            curve: market.curve,
        };
        let (mut opened, mut reported) = (0, 0);
        for loans in loans.chunks(usize::try_from(room.min(MAX_LOANS_PER_CALL))?) {
            // The contract takes collateral in the upper half of a word and debt in the lower.
            let words = loans.iter().map(|loan| U256::from(loan.collateral) << 128 | U256::from(loan.debt)).collect();
            // A given limit spares the node an estimate of a very large call.
            let gas = GAS_PER_CALL + GAS_PER_LOAN * u64::try_from(loans.len())?;
            mined(contract.open(params.clone(), words).from(self.devnet.deployer()).gas(gas)).await?;
            opened += loans.len();
            if opened - reported >= PROGRESS_INTERVAL {
                reported = opened;
                say(format_args!("{opened} loans are open"));
            }
        }
        Ok(())
    }
}
