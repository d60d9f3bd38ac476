//! Checks that collateral can be sold: asks the pools of every market's route for a quote.

use alloy::{
    hex,
    primitives::{Address, Bytes, I256, U160, U256, address, aliases::U24},
    sol,
    sol_types::{SolCall, SolValue},
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{IUniswapV3Swapper, quantity::PoolFee};
use serde_json::{Value, json};

use super::{Node, read};
use crate::{
    config::{Config, MarketSettings},
    report::check::CheckReport,
    strategies::liquidate::SwapRoute,
    view::Denomination,
};

const AREA: &str = "swaps";
/// Bytes of a token and of a fee in a path.
const TOKEN_BYTES: usize = 20;
const FEE_BYTES: usize = 3;
/// Lowest and highest `sqrtPriceX96` that limit a swap in no way.
const MIN_SQRT_PRICE: U160 = U160::from_limbs([4_295_128_740, 0, 0]);
const MAX_SQRT_PRICE: U160 = U160::from_limbs([0x5d95_1d52_6398_8d25, 0xefd1_fc6a_5064_8849, 0xfffd_8963]);
/// Account without code at which the quoter's code is put for the time of a call.
const QUOTER: Address = address!("0x00000000000000000000000000000000c0ffee01");
/// Calls the address in the first word of the calldata with the rest of it, and returns whatever that returns or reverts
/// with. The callback of a swap reverts with its two amounts, so nothing is ever paid.
///
/// ```text
/// 00  PUSH1 00 CALLDATALOAD PUSH1 e0 SHR PUSH4 fa461e33 EQ PUSH1 33 JUMPI     is it the callback?
/// 10  PUSH1 20 CALLDATASIZE SUB DUP1 PUSH1 20 PUSH1 00 CALLDATACOPY           memory: the call's data
/// 1a  PUSH1 00 PUSH1 00 DUP3 PUSH1 00 PUSH1 00 PUSH1 00 CALLDATALOAD GAS CALL POP POP
/// 2a  RETURNDATASIZE PUSH1 00 PUSH1 00 RETURNDATACOPY RETURNDATASIZE PUSH1 00 RETURN
/// 33  JUMPDEST PUSH1 40 PUSH1 04 PUSH1 00 CALLDATACOPY PUSH1 40 PUSH1 00 REVERT
/// ```
const QUOTER_CODE: [u8; 64] = hex!(
    "60003560e01c63fa461e3314603357602036038060206000376000600082600060006000"
    "355af150503d600060003e3d6000f35b6040600460003760406000fd"
);

sol! {
    interface IPool {
        function liquidity() external view returns (uint128);
        function swap(address recipient, bool zeroForOne, int256 amount, uint160 sqrtPriceLimitX96, bytes calldata data)
            external
            returns (int256 amount0, int256 amount1);
    }
}

/// Result of a sale of collateral that was tried.
enum Quote {
    /// Amount that it brings, in units of the last token of the path.
    Sells(U256),
    /// Why a pool of the path cannot buy that much.
    Unsellable(String),
}

/// Tries to sell `collateral` units of a market's collateral, worth `expected` units of its loan token at the oracle's
/// price.
pub(super) async fn check(
    report: &mut CheckReport,
    config: &Config,
    node: &Node,
    market: &MarketSettings,
    [collateral, expected]: [U256; 2],
) {
    let Some(route) = &market.route else { return };
    let quote = match quote(config, node, route, collateral).await {
        Ok(quote) => quote,
        Err(error) => return report.fail(AREA, &market.name, error.to_string(), "name another node in [[endpoints]]"),
    };
    let [first, last] = ends(route).map(|token| Denomination::of(config, token));
    match quote {
        Quote::Sells(received) => {
            let what = format!(
                "{} for {} by {}; the oracle says {}",
                first.amount(collateral),
                last.amount(received),
                market.route_text,
                last.amount(expected)
            );
            if received < expected - expected / U256::from(10) {
                let remedy =
                    "liquidations pay only as long as their bonus is more than that: name deeper pools as `path`";
                report.warn(AREA, &market.name, what, remedy);
            } else {
                report.ok(AREA, &market.name, what);
            }
        }
        Quote::Unsellable(reason) => report.fail(
            AREA,
            &market.name,
            format!("{} cannot be sold: {reason}", first.amount(collateral)),
            format!(
                "name pools with liquidity as `path` under [liquidate.markets.\"{}\"], or add liquidity to these",
                market.name
            ),
        ),
    }
}

/// First and last token of a route.
fn ends(route: &SwapRoute) -> [Address; 2] {
    let path = &route.path;
    let last = path.len().saturating_sub(TOKEN_BYTES);
    [path.get(..TOKEN_BYTES), path.get(last..)].map(|token| token.map(Address::from_slice).unwrap_or_default())
}

/// Warns a keeper that sends bundles of markets in which a bid cannot be a share of the profit that is really made, because that
/// is in another token than the wrapped coin.
pub(super) fn bids(report: &mut CheckReport, config: &Config) {
    let Some(coin) = config.tokens.wrapped_coin() else { return };
    let with_route = |market: &&MarketSettings| market.enabled && market.route.is_some();
    for market in config.liquidate.markets.values().filter(with_route) {
        let is_collateral = market.collateral_token == Some(coin);
        let Some(loan) = market.loan_token.filter(|loan| *loan != coin) else { continue };
        if is_collateral && config.liquidate.profit_in_wrapped_coin {
            continue;
        }
        let what = format!(
            "profit is in {}, so a bid in a bundle is a priority fee, which is paid also where the profit turns out lower",
            config.tokens.name(loan)
        );
        let remedy = if is_collateral {
            "set `profit_in_wrapped_coin = true` in [liquidate]: the builder is then paid a share of the real profit"
        } else {
            "nothing: neither of the market's tokens is the wrapped coin"
        };
        report.warn(AREA, &market.name, what, remedy);
    }
}

/// Sells an amount through the pools of a route, one after the other. Fails if the node does not respond.
async fn quote(config: &Config, node: &Node, route: &SwapRoute, amount: U256) -> Result<Quote, ChainError> {
    let mut amount = amount;
    let mut path = &route.path[..];
    while path.len() >= 2 * TOKEN_BYTES + FEE_BYTES {
        let (token_in, rest) = path.split_at(TOKEN_BYTES);
        let (fee, token_out) = (&rest[..FEE_BYTES], &rest[FEE_BYTES..FEE_BYTES + TOKEN_BYTES]);
        let [token_in, token_out] = [token_in, token_out].map(Address::from_slice);
        let fee = U24::try_from_be_slice(fee).unwrap_or_default();
        let call = IUniswapV3Swapper::poolOfCall { tokenA: token_in, tokenB: token_out, fee };
        let Some(pool) = read(node, route.swapper, call).await? else {
            return Ok(Quote::Unsellable(format!("{} is not a swap adapter of Uniswap V3", route.swapper)));
        };
        let name = |token| config.tokens.name(token);
        let pool_text = format!("the pool {} {} {} ({pool})", name(token_in), PoolFee(fee.to()), name(token_out));
        match read(node, pool, IPool::liquidityCall {}).await? {
            None => return Ok(Quote::Unsellable(format!("{pool_text} does not exist"))),
            Some(0) => return Ok(Quote::Unsellable(format!("{pool_text} has no liquidity at its price"))),
            Some(_) => {}
        }
        match swap(node, pool, token_in < token_out, amount).await? {
            Some(received) => amount = received,
            None => return Ok(Quote::Unsellable(format!("{pool_text} cannot buy that much"))),
        }
        path = &path[TOKEN_BYTES + FEE_BYTES..];
    }
    Ok(Quote::Sells(amount))
}

/// Sells exactly this amount to a pool without paying; `None` where the pool does not buy all of it. Fails if the node
/// does not respond.
async fn swap(node: &Node, pool: Address, zero_for_one: bool, amount: U256) -> Result<Option<U256>, ChainError> {
    let Ok(amount) = I256::try_from(amount) else { return Ok(None) };
    let limit = if zero_for_one { MIN_SQRT_PRICE } else { MAX_SQRT_PRICE };
    let call = IPool::swapCall {
        recipient: QUOTER,
        zeroForOne: zero_for_one,
        amount,
        sqrtPriceLimitX96: limit,
        data: Bytes::new(),
    };
    let data: Bytes = [pool.abi_encode(), call.abi_encode()].concat().into();
    let request = json!({ "to": QUOTER, "data": data });
    let code = json!({ QUOTER.to_string(): { "code": Bytes::from_static(&QUOTER_CODE) } });
    let output = match node.request::<(Value, _, Value), Bytes>("eth_call", (request, node.head.hash, code)).await {
        Ok(output) => output,
        Err(ChainError::Refused { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Whatever else the pool reverted with is returned, too.
    let amounts = (output.len() == 64).then(|| <(I256, I256)>::abi_decode(&output));
    let Some(Ok((amount0, amount1))) = amounts else { return Ok(None) };
    let (paid, received) = if zero_for_one { (amount0, amount1) } else { (amount1, amount0) };
    Ok((paid == amount).then(|| received.unsigned_abs()))
}
