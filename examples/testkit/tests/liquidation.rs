//! A whole story on a chain of its own: the suite is deployed, a loan is opened, the price crashes, and the keeper, a
//! process of its own, liquidates the loan.

use plimsoll_testkit::{devnet::Devnet, market::units};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_keeper_liquidates_the_loan() -> eyre::Result<()> {
    // A node with every contract of Plimsoll on it, an exchange, price feeds, and tokens that anybody can mint.
    let suite = Devnet::start().await?.deploy_suite().await?;
    let market = suite.market("weth-usdc")?;

    // Something to borrow, and a pool in which liquidators can sell collateral: 1,000 WETH and 2,000,000 USDC.
    suite.supply(&market, units(100_000, 6)).await?;
    suite.add_liquidity("weth-usdc", units(1_000, 18), units(2_000_000, 6)).await?;

    // 15,000 USDC against 10 WETH at 2,000 USDC: an LTV of 75 %, where up to 80 % can be borrowed.
    let borrower = suite.devnet.account(2)?;
    suite.open_loan(&market, borrower, units(10, 18), units(15_000, 6)).await?;

    // The keeper of this repository, live. While the loan is healthy it does nothing.
    let keeper = suite.run_keeper("").await?;
    assert!(suite.liquidations(&market).await?.is_empty());

    // Above a liquidation LTV of 86 % the loan is liquidatable: at 1,700 USDC its LTV is 88 %.
    suite.set_price("eth-usd", "1700").await?;
    let liquidation = suite.wait_for_liquidation(&market, borrower).await?;
    assert!(liquidation.repaid > units(1_000, 6) && liquidation.repaid < units(15_000, 6));
    assert!(liquidation.badDebt.is_zero());

    keeper.shut_down().await
}
