//! The core with one market to begin with: a dollar of 6 decimals lent against an ether of 18 at a fixed price.

use alloy::{
    primitives::{Address, U256, utils::Unit},
    sol_types::SolValue,
};
use plimsoll_contracts::{IPlimsoll, MarketParams, RateCurve, Risk, market::SECONDS_PER_YEAR};

use crate::rig::{Rig, mined};

/// Decimals of the loan token.
pub const LOAN_DECIMALS: u8 = 6;
/// Decimals of the collateral token.
pub const COLLATERAL_DECIMALS: u8 = 18;
/// Dollars for one ether.
pub const PRICE: u64 = 2_000;

const BORROW_LTV_BPS: u16 = 8_000;
const LIQUIDATION_LTV_BPS: u16 = 8_600;
/// 100 dollars.
const SMALLEST_DEBT: u128 = 100_000_000;
/// 4 % a year.
const START_RATE_PER_SECOND: u64 = 40_000_000_000_000_000 / SECONDS_PER_YEAR;
const TARGET_BPS: u16 = 9_000;
/// 4.
const STEEPNESS: u32 = 40_000;
/// 50 a year.
const SPEED_PER_YEAR: u32 = 500_000;

/// A market on a rig.
#[derive(Debug, Clone)]
pub struct LocalMarket {
    /// The contract that all markets live in.
    pub core: Address,
    /// Which of them this is.
    pub params: MarketParams,
}

impl LocalMarket {
    /// Deploys the core, two tokens and an oracle, and creates the market.
    pub async fn deploy(rig: &Rig) -> eyre::Result<Self> {
        let core = rig.deploy("Plimsoll", rig.deployer().abi_encode()).await?;
        let loan_token = rig.deploy_token("USD", LOAN_DECIMALS).await?;
        let collateral_token = rig.deploy_token("ETH", COLLATERAL_DECIMALS).await?;
        let ratio_e18 = U256::from(PRICE) * Unit::ETHER.wei();
        let oracle = rig.deploy("FixedOracle", (collateral_token, loan_token, ratio_e18).abi_encode_params()).await?;

        let risk = Risk::new(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, SMALLEST_DEBT)?;
        let curve = RateCurve::new(START_RATE_PER_SECOND, TARGET_BPS, STEEPNESS, SPEED_PER_YEAR)?;
        let params = MarketParams::new(loan_token, collateral_token, oracle, risk, curve);
        let market = Self { core, params };
        mined(IPlimsoll::new(core, rig.provider()).createMarket(market.params.clone()).from(rig.deployer())).await?;
        Ok(market)
    }

    /// Has an account of the node lend: dollars are minted for it.
    pub async fn lend(&self, rig: &Rig, lender: Address, dollars: u64) -> eyre::Result<()> {
        let assets = units(dollars, LOAN_DECIMALS);
        rig.give(self.params.loanToken, lender, assets, self.core).await?;
        let core = IPlimsoll::new(self.core, rig.provider());
        let supply = core.supply(self.params.clone(), assets, U256::ZERO, lender, Default::default());
        mined(supply.from(lender)).await?;
        Ok(())
    }

    /// Has an account of the node open a loan: ether is minted for it. Fails where the core refuses.
    pub async fn open_loan(&self, rig: &Rig, borrower: Address, ether: u64, dollars: u64) -> eyre::Result<()> {
        let collateral = units(ether, COLLATERAL_DECIMALS);
        rig.give(self.params.collateralToken, borrower, collateral, self.core).await?;
        let core = IPlimsoll::new(self.core, rig.provider());
        let post = core.supplyCollateral(self.params.clone(), collateral, borrower, Default::default());
        mined(post.from(borrower)).await?;
        let debt = units(dollars, LOAN_DECIMALS);
        mined(core.borrow(self.params.clone(), debt, U256::ZERO, borrower, borrower).from(borrower)).await?;
        Ok(())
    }
}

/// Whole tokens in a token's units.
#[must_use]
pub fn units(whole: u64, decimals: u8) -> U256 {
    U256::from(whole) * U256::from(10).pow(U256::from(decimals))
}
