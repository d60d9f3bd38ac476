//! What the router says that pools bring, beside what real pools pay out: to the unit, over any number of ticks.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    primitives::{
        I256, U256,
        aliases::{I24, U24},
    },
    providers::Provider,
    rpc::types::BlockNumberOrTag,
    sol,
};
use eyre::{ContextCompat, ensure};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_keeper::{
    chain::Header,
    prices::EndpointReader,
    routing::{
        pool::{Venue, VenueKind},
        router::Router,
    },
};
use plimsoll_testkit::{
    devnet::{Devnet, mined},
    exchange::{Amount, Exchange, POOL_CODE_HASH},
    random::Random,
};

sol! {
    #[sol(rpc)]
    interface IFactory {
        function enableFeeAmount(uint24 fee, int24 tickSpacing) external;
    }

    #[sol(rpc)]
    interface IPool {
        function slot0() external view returns (uint160 sqrtPriceX96, int24 tick);
    }

    #[sol(rpc)]
    interface IMarketMaker {
        function provideBetween(address pool, int24 lower, int24 upper, uint128 liquidity) external;
        function sell(address pool, bool zeroForOne, uint128 amount) external returns (int256 paid, int256 bought);
    }
}

/// Fees with their spacing of ticks, and units of the higher token that are worth 3 · 10¹⁸ of the lower one. Where units of one are
/// dear, rounding of a unit shows in the other.
const POOLS: [(u32, i32, u64); 4] =
    [(100, 1, 1_000_000_000_000_000_000), (500, 10, 1_000_000), (3_000, 60, 1_000), (10_000, 200, 1_000_000_000)];
/// Random positions of a pool, and sales through it in each direction.
const POSITIONS: usize = 12;
const SALES: u32 = 60;
const GAS: u64 = 3_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pool_with_concentrated_liquidity_brings_is_exact_over_its_ticks() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let exchange = Exchange::deploy(&devnet).await?;
    let maker = IMarketMaker::new(exchange.maker(), devnet.provider());
    // On public chains governance has allowed it later.
    let factory = IFactory::new(exchange.factory(), devnet.provider());
    mined(factory.enableFeeAmount(U24::from(100), I24::ONE).from(devnet.deployer())).await?;
    let mut random = Random::from_seed(15);
    let (mut exact, mut beyond, mut lengths) = (0_u32, 0_u32, BTreeSet::new());
    for (fee, spacing, worth) in POOLS {
        let mut tokens = [devnet.deploy_token("ONE", 18).await?, devnet.deploy_token("TWO", 18).await?];
        tokens.sort_unstable();
        let unit = U256::from(10_u64).pow(U256::from(18));
        let low = Amount { token: tokens[0], units: unit * U256::from(3_000) };
        let high = Amount { token: tokens[1], units: U256::from(worth) * U256::from(1_000) };
        let pool = exchange.add_liquidity(fee, low, high).await?;
        let tick = IPool::new(pool, devnet.provider()).slot0().call().await?.tick.as_i32();
        // Of one such position as much as of the full range.
        let whole = u128::try_from((low.units * high.units).root(2))?;
        for _ in 0..POSITIONS {
            let from = i32::try_from(random.below(2_400))? - 1_200 + tick;
            let lower = from.div_euclid(spacing) * spacing;
            let upper = lower + spacing * (1 + i32::try_from(random.below(20))?);
            let liquidity = 1 + whole / 100 * u128::from(random.below(2_000));
            let (lower, upper) = (I24::try_from(lower)?, I24::try_from(upper)?);
            mined(maker.provideBetween(pool, lower, upper, liquidity).from(devnet.deployer()).gas(GAS)).await?;
        }
        let block = devnet.provider().get_block_by_number(BlockNumberOrTag::Latest).await?.wrap_err("no block")?;
        let header = Header {
            number: block.header.number,
            hash: block.header.hash,
            parent_hash: block.header.parent_hash,
            timestamp: block.header.timestamp,
            base_fee: block.header.base_fee_per_gas.unwrap_or_default(),
            gas_limit: block.header.gas_limit,
            gas_used: block.header.gas_used,
        };
        let endpoint: Arc<Endpoint> = Arc::new(devnet.node.http_url().parse()?);
        let reader = EndpointReader::new(endpoint.clone(), endpoint.client().await?, devnet.deployer());
        let venue = Venue {
            kind: VenueKind::UniswapV3,
            deployer: exchange.factory(),
            pool_init_code_hash: POOL_CODE_HASH,
            keys: vec![fee],
        };
        let mut router = Router::new(vec![venue], Vec::new());
        router.refresh_ahead(&reader, &header, [(tokens[0], tokens[1])]).await?;
        for zero_for_one in [true, false] {
            let (from, to) = if zero_for_one { (tokens[0], tokens[1]) } else { (tokens[1], tokens[0]) };
            for _ in 0..SALES {
                // From one unit to a thousand tokens, each magnitude as likely as the next.
                let most = u128::try_from(if zero_for_one { low.units } else { high.units })?;
                let amount =
                    (most >> random.below(u64::from(most.ilog2()))) / 1_000 * (1 + u128::from(random.below(1_000)));
                let amount = amount.max(1);
                let sold = maker.sell(pool, zero_for_one, amount).from(devnet.deployer()).gas(GAS).call().await?;
                let route = router.pools().candidates(from, to, &[], U256::from(amount)).into_iter().next();
                let expected = route.map_or(U256::ZERO, |route| route.amount_out);
                ensure!(sold.paid == I256::try_from(amount)?, "a pool with a full range takes all");
                let bought = U256::try_from(sold.bought)?;
                lengths.insert(amount.ilog10());
                if expected == bought {
                    exact += 1;
                } else {
                    // Only what leaves the ticks that were read is estimated.
                    ensure!(amount > most / 20, "{fee} {zero_for_one} {amount}: {expected}, {bought} on chain");
                    beyond += 1;
                }
            }
        }
    }
    ensure!(lengths.len() > 15, "{lengths:?}");
    ensure!(exact > 400 && beyond < exact / 10, "{exact} exact and {beyond} estimated");
    Ok(())
}
