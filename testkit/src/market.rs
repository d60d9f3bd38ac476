//! A minimal lending market: the core alone, with a dollar token of 6 decimals lent against an ether token of 18 at a
//! fixed price.

use alloy::{
    primitives::{Address, U256, utils::Unit},
    sol_types::SolValue,
};
use plimsoll_contracts::{IPlimsoll, MarketParams, RateCurve, Risk, market::SECONDS_PER_YEAR};

use crate::devnet::{Devnet, mined};

/// Decimals of the loan token.
pub const LOAN_DECIMALS: u8 = 6;
/// Decimals of the collateral token.
pub const COLLATERAL_DECIMALS: u8 = 18;
/// Price of one whole collateral token in whole loan tokens.
pub const PRICE: u64 = 2_000;

const BORROW_LTV_BPS: u16 = 8_000;
const LIQUIDATION_LTV_BPS: u16 = 8_600;
/// 300 dollars, whose bonus pays for a liquidation at 2 gwei.
const MIN_DEBT: u128 = 300_000_000;
/// 4 % a year.
const START_RATE_PER_SECOND: u64 = 40_000_000_000_000_000 / SECONDS_PER_YEAR;
const TARGET_BPS: u16 = 9_000;
/// 4, in units of 1 / 10,000.
const STEEPNESS: u32 = 40_000;
/// 50 a year, in units of 1 / 10,000.
const SPEED_PER_YEAR: u32 = 500_000;

/// A market on a [`Devnet`].
#[derive(Debug, Clone)]
pub struct LocalMarket {
    /// Address of the lending core.
    pub core: Address,
    /// Parameters of the market.
    pub params: MarketParams,
}

impl LocalMarket {
    /// Deploys the core, two tokens and an oracle, and creates the market.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn deploy(devnet: &Devnet) -> eyre::Result<Self> {
        let core = devnet.deploy("Plimsoll", devnet.deployer().abi_encode()).await?;
        let loan_token = devnet.deploy_token("USD", LOAN_DECIMALS).await?;
        let collateral_token = devnet.deploy_token("ETH", COLLATERAL_DECIMALS).await?;
        let ratio_e18 = U256::from(PRICE) * Unit::ETHER.wei();
        let oracle =
            devnet.deploy("FixedOracle", (collateral_token, loan_token, ratio_e18).abi_encode_params()).await?;

        let risk = Risk::new(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT)?;
        let curve = RateCurve::new(START_RATE_PER_SECOND, TARGET_BPS, STEEPNESS, SPEED_PER_YEAR)?;
        let params = MarketParams::new(loan_token, collateral_token, oracle, risk, curve);
        let market = Self { core, params };
        let contract = IPlimsoll::new(core, devnet.provider());
        mined(contract.createMarket(market.params.clone()).from(devnet.deployer())).await?;
        Ok(market)
    }

    /// Mints whole dollars for an account of the node and supplies them.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn supply(&self, devnet: &Devnet, supplier: Address, dollars: u64) -> eyre::Result<()> {
        let assets = units(dollars, LOAN_DECIMALS);
        devnet.mint_and_approve(self.params.loanToken, supplier, assets, self.core).await?;
        let core = IPlimsoll::new(self.core, devnet.provider());
        let supply = core.supply(self.params.clone(), assets, U256::ZERO, supplier, Default::default());
        mined(supply.from(supplier)).await?;
        Ok(())
    }

    /// Opens a loan for an account of the node: mints whole ether tokens, posts them and borrows whole dollars.
    ///
    /// # Errors
    /// When the core refuses the loan; the error can be downcast to [`alloy::contract::Error`].
    pub async fn open_loan(&self, devnet: &Devnet, borrower: Address, ether: u64, dollars: u64) -> eyre::Result<()> {
        let collateral = units(ether, COLLATERAL_DECIMALS);
        devnet.mint_and_approve(self.params.collateralToken, borrower, collateral, self.core).await?;
        let core = IPlimsoll::new(self.core, devnet.provider());
        let post = core.supplyCollateral(self.params.clone(), collateral, borrower, Default::default());
        mined(post.from(borrower)).await?;
        let debt = units(dollars, LOAN_DECIMALS);
        mined(core.borrow(self.params.clone(), debt, U256::ZERO, borrower, borrower).from(borrower)).await?;
        Ok(())
    }
}

/// Converts whole tokens to a token's smallest unit.
#[must_use]
pub fn units(whole: u64, decimals: u8) -> U256 {
    U256::from(whole) * U256::from(10).pow(U256::from(decimals))
}
