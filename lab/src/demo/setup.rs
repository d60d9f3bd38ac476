//! The state before the day: lenders, borrowers, stakers, the backstop's cover, and a pool to sell collateral in.

use alloy::{
    primitives::{U256, aliases::U96},
    providers::{Provider, ext::AnvilApi},
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IBackstop, IERC4626, ILever, IPlimsoll, IRewards};
use plimsoll_deploy::toolchain::progress::say;

use super::{
    exit,
    guarded::Twins,
    sample::{DOLLAR_E8, PRICE_BEFORE},
};
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    devnet::mined,
    exchange::route,
    market::units,
    market_env::MarketEnv,
};

/// Name of the market and its pool in the manifest.
const MARKET: &str = "weth-usdc";
/// Name of the market's feed in the manifest.
const FEED: &str = "eth-usd";
/// Name of the staking programme in the manifest.
const PROGRAMME: &str = "plim";
/// The gas limit of a transaction on this node.
const TRANSACTION_GAS: u64 = 1 << 24;
/// The pool's ether, in whole tokens.
const POOL_ETHER: u64 = 10_000;
/// The pool's dollars, worth the same at the price before the day.
const POOL_DOLLARS: u64 = 20_000_000;
/// Supply of the market, in percent of what is borrowed.
const LENT_PERCENT: u128 = 150;
/// Deposits in the backstop. The manifest limits the market to 100,000 of them.
const COVER_DOLLARS: u64 = 150_000;
/// The node's account that deposits in the backstop. Account 0 is the deployer, 8 and 9 are the keeper's signers.
const DEPOSITOR: usize = 1;
/// The node's accounts that stake.
const STAKERS: [usize; 6] = [2, 3, 4, 5, 6, 7];
/// The node's accounts that take leverage.
const LEVERAGED: [usize; 5] = [2, 3, 4, 5, 6];
/// Stake of the first staker, in whole tokens. The second stakes twice as much, and so on.
const STAKE: u64 = 1_000;
/// Share of a reward that stakers leave to the harvester.
const TIP_BPS: u16 = 500;
/// Rewards besides those of the manifest, in whole dollars.
const REWARD_DOLLARS: u64 = 100_000;
const REWARD_EPOCHS: u64 = 4;
const EPOCH_SECS: u64 = 604_800;
/// Deposit of each leveraged account, in whole ether.
const LEVERED_ETHER: u64 = 10;
/// Debt of the first leveraged account, in whole dollars.
const LEVERED_DOLLARS: u64 = 42_000;
/// Additional debt of each further one.
const LEVERED_MORE_DOLLARS: u64 = 3_000;
/// The least ether that the borrowed dollars must buy, in percent of their value.
const BOUGHT_PERCENT: u64 = 95;
const LEVERED_LTV_BPS: u16 = 8_000;

/// The prepared market.
#[derive(Debug)]
pub(super) struct Setup<'a> {
    /// The market with its feed and pool.
    pub(super) market_env: MarketEnv<'a>,
    /// The borrowers with orders at the guard, and those with the same loans.
    pub(super) twins: Twins,
}

impl<'a> Setup<'a> {
    /// Prepares the market: liquidity, stakers, cover, loans and leveraged positions.
    pub(super) async fn prepare(suite: &'a Suite, loans: &[NewLoan]) -> eyre::Result<Self> {
        say("filling the pool, the backstop and the staking programme");
        let worth = [units(POOL_ETHER, 18), units(POOL_DOLLARS, 6)];
        let market_env = MarketEnv::open(suite, MARKET, FEED, worth).await?;
        stake(&market_env).await?;
        cover(&market_env).await?;

        say(format_args!("{} lenders and borrowers, {} of them leveraged", loans.len() + 1, LEVERAGED.len()));
        let levered: u64 = (0..).zip(LEVERAGED).map(|(number, _)| levered_dollars(number)).sum();
        let borrowed: u128 = loans.iter().map(|loan| loan.debt).sum::<u128>() + u128::from(levered) * 1_000_000;
        suite.supply(&market_env.market, U256::from(borrowed * LENT_PERCENT / 100)).await?;
        exit::deposit(&market_env).await?;
        let borrowers = Borrowers::deploy(&suite.devnet, suite.contract("Plimsoll")?, TRANSACTION_GAS).await?;
        borrowers.open(&market_env.market, loans).await?;
        let twins = Twins::guard(&market_env, &market_env.borrowers().await?).await?;
        lever(&market_env).await?;
        // Their purchases raised the pool's price.
        market_env.trade_to(PRICE_BEFORE).await?;
        Ok(Self { market_env, twins })
    }
}

/// Creates stakers that consent to harvesting, and funds rewards from next week on.
async fn stake(market_env: &MarketEnv<'_>) -> eyre::Result<()> {
    let (devnet, rewards) = (&market_env.suite.devnet, market_env.suite.contract("Rewards")?);
    let pool = market_env.suite.deployment.programmes.get(PROGRAMME).wrap_err("there is no such programme")?.id;
    let (plim, dollars) = (market_env.suite.token("PLIM")?, market_env.suite.token("USDC")?);
    let contract = IRewards::new(rewards, devnet.provider());
    for (number, index) in (1..).zip(STAKERS) {
        let (staker, amount) = (devnet.node.account(index)?, units(STAKE * number, 18));
        devnet.mint_and_approve(plim, staker, amount, rewards).await?;
        mined(contract.stake(pool, amount, staker).from(staker)).await?;
        for (token, compounds) in [(plim, true), (dollars, false)] {
            let consent = IRewards::HarvestConsent { enabled: true, compounds, tipBps: TIP_BPS, smallest: U96::ZERO };
            mined(contract.setHarvestConsent(pool, token, consent).from(staker)).await?;
        }
    }
    let (funder, amount) = (devnet.deployer(), units(REWARD_DOLLARS, 6));
    let next_epoch = now(devnet.provider()).await? / EPOCH_SECS + 1;
    devnet.mint_and_approve(dollars, funder, amount, rewards).await?;
    let fund = contract.fund(pool, dollars, amount, U256::from(next_epoch), U256::from(REWARD_EPOCHS));
    mined(fund.from(funder)).await?;
    Ok(())
}

/// Deposits in the backstop and advances time until the market may use the cover. Then updates all feeds, which are
/// stale.
async fn cover(market_env: &MarketEnv<'_>) -> eyre::Result<()> {
    let (devnet, id) = (&market_env.suite.devnet, market_env.market.id().0);
    let (provider, address) = (devnet.provider(), market_env.suite.contract("Backstop")?);
    let (depositor, amount) = (devnet.node.account(DEPOSITOR)?, units(COVER_DOLLARS, 6));
    devnet.mint_and_approve(market_env.market.loanToken, depositor, amount, address).await?;
    mined(IERC4626::new(address, provider).deposit(amount, depositor).from(depositor)).await?;

    let backstop = IBackstop::new(address, provider);
    let opens_at: u64 = backstop.announcedLimit(id).call().await?.opensAt.try_into()?;
    // Also the rewards that are funded from next week on have begun by then.
    let begun = now(provider).await? + EPOCH_SECS;
    provider.anvil_set_next_block_timestamp(opens_at.max(begun)).await?;
    provider.evm_mine(None).await?;
    mined(backstop.applyLimit(id).from(devnet.deployer())).await?;
    for (feed, answer) in [
        (FEED, PRICE_BEFORE),
        ("btc-usd", 60_000 * DOLLAR_E8),
        ("usdc-usd", DOLLAR_E8),
        ("wsteth-eth", 1_180_000_000_000_000_000),
    ] {
        let answered = market_env.suite.send_price(feed, answer).await?;
        provider.evm_mine(None).await?;
        let receipt = provider.get_transaction_receipt(answered).await?;
        ensure!(receipt.is_some_and(|receipt| receipt.status()), "the feed {feed} has not answered");
    }
    Ok(())
}

/// Opens leveraged positions: accounts that borrow to buy more collateral.
async fn lever(market_env: &MarketEnv<'_>) -> eyre::Result<()> {
    let (devnet, address) = (&market_env.suite.devnet, market_env.suite.contract("Lever")?);
    let fee = market_env.suite.deployment.pools.get(MARKET).wrap_err("there is no such pool")?.fee;
    let lever = ILever::new(address, devnet.provider());
    let core = IPlimsoll::new(market_env.suite.contract("Plimsoll")?, devnet.provider());
    let params = &market_env.market;
    let deposit = units(LEVERED_ETHER, 18);
    for (number, index) in (0..).zip(LEVERAGED) {
        let account = devnet.node.account(index)?;
        devnet.mint_and_approve(params.collateralToken, account, deposit, address).await?;
        mined(core.setAuthorization(address, U256::MAX).from(account)).await?;
        let dollars = levered_dollars(number);
        let raise = ILever::Raise {
            params: params.clone(),
            deposit,
            borrowAssets: units(dollars, 6),
            // At 2,000 dollars for an ether, and in percent.
            minBought: units(dollars * BOUGHT_PERCENT, 18) / U256::from(200_000),
            maxLtvBps: LEVERED_LTV_BPS,
            swapper: market_env.suite.contract("UniswapV3Swapper")?,
            route: route(params.loanToken, fee, params.collateralToken),
            deadline: U256::MAX,
        };
        mined(lever.raise(raise, ILever::Permit::default(), ILever::SignedAuthorization::default()).from(account))
            .await?;
    }
    Ok(())
}

const fn levered_dollars(number: u64) -> u64 {
    LEVERED_DOLLARS + LEVERED_MORE_DOLLARS * number
}

/// Returns the timestamp of the newest block.
async fn now(provider: &impl Provider) -> eyre::Result<u64> {
    let block = provider.get_block(Default::default()).await?.wrap_err("the node has no block")?;
    Ok(block.header.timestamp)
}
