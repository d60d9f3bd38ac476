//! Loans in a market without a sensible minimum debt, of which none would pay for its gas, as strangers may leave any number
//! of: what do they cost a keeper that liquidates in that market?

use alloy::primitives::U256;
use plimsoll_contracts::{IPlimsoll, MarketParams, Risk, market::MIN_DEBT_LOWER_BOUND};
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    devnet::mined,
};

/// The market whose tokens, oracle and pools the dust has, too.
const MODEL: &str = "weth-usdc";
/// Debt in millionths of a dollar, and collateral in units: liquidatable below 1,852 dollars an ether. The bonus is a
/// fraction of a cent.
const DEBT: u128 = 10_620;
const COLLATERAL: u128 = 6_666_666_666_667;

/// Creates a market with a negligible minimum debt, opens `loans` in it that become liquidatable together, and returns the
/// settings of a keeper that liquidates there.
///
/// # Errors
/// When a transaction fails.
pub async fn open(suite: &Suite, borrowers: &Borrowers<'_>, loans: u64) -> eyre::Result<String> {
    if loans == 0 {
        return Ok(String::new());
    }
    say(format_args!("opening {loans} loans of dust"));
    let model = suite.market(MODEL)?;
    let risk = Risk::from_word(model.risk)?;
    let risk = Risk::new(risk.borrow_ltv_bps(), risk.liquidation_ltv_bps(), MIN_DEBT_LOWER_BOUND)?;
    let params = MarketParams { risk: risk.word(), ..model };
    let core = IPlimsoll::new(suite.contract("Plimsoll")?, suite.devnet.provider());
    mined(core.createMarket(params.clone()).from(suite.devnet.deployer())).await?;
    suite.supply(&params, U256::from(DEBT * 2) * U256::from(loans)).await?;
    let loan = NewLoan { collateral: COLLATERAL, debt: DEBT };
    borrowers.open(&params, &vec![loan; usize::try_from(loans)?]).await?;
    Ok(format!(
        "[liquidate.markets.{}]\nswapper = \"UniswapV3Swapper\"\npath = [\"WETH\", \"0.3%\", \"USDC\"]\n",
        params.id()
    ))
}
