//! A crowd of borrowers on a local chain: thousands of loans a transaction, each of an account of its own and opened by
//! real calls, so that the chain has every event.

use alloy::{
    primitives::{Address, U256},
    sol,
    sol_types::SolValue,
};
use eyre::ensure;
use plimsoll_contracts::MarketParams;
use plimsoll_deploy::progress::say;

use crate::rig::{Rig, mined};

/// What one loan costs to open, with room to spare.
const GAS_PER_LOAN: u64 = 260_000;
/// What a call costs before its first loan.
const GAS_PER_CALL: u64 = 500_000;
/// No more in a call, so that a request stays small.
const LARGEST_CALL: u64 = 2_000;
/// How often progress is told, in loans.
const TOLD_EVERY: usize = 20_000;

sol! {
    /// The contract that opens them.
    #[sol(rpc)]
    interface ICrowd {
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

/// A loan to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Units of the collateral token.
    pub collateral: u128,
    /// Units of the loan token.
    pub debt: u128,
}

/// Whoever opens loans for others.
#[derive(Debug)]
pub struct Crowd<'a> {
    rig: &'a Rig,
    address: Address,
    /// The most gas a transaction may use on this node.
    transaction_gas: u64,
}

impl<'a> Crowd<'a> {
    /// Deploys it. `transaction_gas` is the most that a transaction may use on this node.
    pub async fn deploy(rig: &'a Rig, core: Address, transaction_gas: u64) -> eyre::Result<Self> {
        let address = rig.deploy("Crowd", core.abi_encode()).await?;
        Ok(Self { rig, address, transaction_gas })
    }

    /// Opens loans in a market that has enough to lend, in as many transactions as it takes. Fails where the core
    /// refuses one of them.
    pub async fn open(&self, params: &MarketParams, openings: &[Opening]) -> eyre::Result<()> {
        let room = self.transaction_gas.saturating_sub(GAS_PER_CALL) / GAS_PER_LOAN;
        ensure!(room > 0, "a transaction of {} gas opens no loan", self.transaction_gas);
        let crowd = ICrowd::new(self.address, self.rig.provider());
        let params = ICrowd::Params {
            loanToken: params.loanToken,
            collateralToken: params.collateralToken,
            oracle: params.oracle,
            risk: params.risk,
            curve: params.curve,
        };
        let (mut opened, mut told) = (0, 0);
        for openings in openings.chunks(usize::try_from(room.min(LARGEST_CALL))?) {
            let loans =
                openings.iter().map(|loan| U256::from(loan.collateral) << 128 | U256::from(loan.debt)).collect();
            // What an estimate of so much would take is saved by saying it.
            let gas = GAS_PER_CALL + GAS_PER_LOAN * u64::try_from(openings.len())?;
            mined(crowd.open(params.clone(), loans).from(self.rig.deployer()).gas(gas)).await?;
            opened += openings.len();
            if opened - told >= TOLD_EVERY {
                told = opened;
                say(format_args!("{opened} loans are open"));
            }
        }
        Ok(())
    }
}
