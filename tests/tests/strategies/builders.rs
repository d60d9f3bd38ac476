//! What a block's builder is paid, on a real chain: a share of the profit that was really made.

use alloy::{
    primitives::{Address, U256},
    providers::{Provider, ext::AnvilApi},
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{ILiquidator, market::BPS};
use plimsoll_keeper::{
    intent::{Intent, Scope},
    safety::{Contracts, Execution},
    strategies::{
        bids::{Bids, Ordering, RaceResult},
        liquidate,
    },
};

use super::fixture::{Fixture, outcome};

const BUILDER: Address = Address::repeat_byte(0xb1);
/// Price to beat in every race so far, in millionths of the net profit.
const RIVALS_SHARE: u32 = 300_000;

/// Returns a fixture whose collateral wraps the chain's coin, whose profit is in it, and whose keeper sends bundles and has
/// lost races to a rival.
async fn with_a_builder() -> eyre::Result<Fixture> {
    let mut fixture = Fixture::new([15_000, 15_010, 15_020], 100_000).await?;
    let (devnet, provider, coin) = (&fixture.suite.devnet, &fixture.provider, fixture.params.collateralToken);
    devnet.wrap_coin(coin).await?;
    provider.anvil_set_coinbase(BUILDER).await?;
    let id = fixture.params.id().0;
    let market = fixture.settings.markets.get_mut(&id).wrap_err("no such market")?;
    market.routes[0].profit_in_collateral = true;
    (fixture.settings.builders_coin, fixture.settings.reverts_are_mined) = (Some(coin), false);
    let mut bids = Bids::new(500_000, Ordering::Priority, fixture.races.clone());
    for _ in 0..8 {
        let lost = RaceResult::Lost { theirs: 2, ours: 1, price: RIVALS_SHARE };
        bids.record_result(&Scope::new(liquidate::NAME, id), lost);
    }
    fixture.races = bids.record();
    fixture.set_price(1_700).await?;
    fixture.trade_to(1_700).await?;
    Ok(fixture)
}

async fn only_intent(fixture: &mut Fixture) -> eyre::Result<Intent> {
    let intents = fixture.round().await?.intents;
    ensure!(intents.len() == 1, "{intents:?}");
    intents.into_iter().next().wrap_err("nothing is sent")
}

#[tokio::test]
async fn the_builder_is_paid_what_beats_the_rival_out_of_what_was_earned_and_the_ledger_counts_it() -> eyre::Result<()>
{
    let mut fixture = with_a_builder().await?;
    let intent = only_intent(&mut fixture).await?;
    let share_bps = intent.profit.wrap_err("no profit is expected")?.builder_share_bps;
    ensure!(share_bps > 3_000 && intent.bid == 0, "{share_bps} {}", intent.bid);
    let before = fixture.provider.get_balance(BUILDER).await?;
    let receipt = fixture.mine(std::slice::from_ref(&intent)).await?.remove(0);
    let paid = receipt.logs().iter().find_map(|log| ILiquidator::BuilderPaid::decode_log(&log.inner).ok());
    let paid = paid.wrap_err("nobody was paid")?;
    ensure!(paid.builder == BUILDER, "{paid:?}");
    let block =
        fixture.provider.get_block(receipt.block_number.unwrap_or_default().into()).await?.wrap_err("no block")?;
    let tip = receipt.effective_gas_price - u128::from(block.header.base_fee_per_gas.unwrap_or_default());
    let tips = U256::from(receipt.gas_used) * U256::from(tip);
    ensure!(fixture.provider.get_balance(BUILDER).await? - before == paid.amount + tips, "{paid:?} {tips}");

    // The rest is the keeper's, and covers the gas.
    let left = outcome(&receipt).wrap_err("no profit")?.profit;
    let fee = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    ensure!(left > fee, "{left} is left of {}, and gas cost {fee}", paid.amount);
    let whole = left + paid.amount;
    ensure!(paid.amount <= whole * U256::from(share_bps) / U256::from(BPS), "{paid:?} of {whole}");
    ensure!(whole == intent.expected_gain, "{whole} for {}", intent.expected_gain);
    let (core, liquidator) = (fixture.settings.core, fixture.settings.liquidator);
    let contracts = Contracts { core, liquidator, ..Contracts::default() };
    let logs: Vec<_> = receipt.logs().iter().map(|log| log.inner.clone()).collect();
    ensure!(Execution::of(&logs, &contracts, intent.profit.as_ref()).builder_paid == paid.amount);
    // What was reckoned with suffices.
    ensure!(receipt.gas_used <= intent.expected_gas, "{} of {}", receipt.gas_used, intent.expected_gas);
    Ok(())
}

#[tokio::test]
async fn the_same_bytes_pay_the_builder_at_every_price_that_the_profit_covers_and_never_cost_more_than_they_bring()
-> eyre::Result<()> {
    let mut fixture = with_a_builder().await?;
    let intent = only_intent(&mut fixture).await?;
    let affordable: u128 = (intent.expected_gain / U256::from(intent.expected_gas)).to();
    let mut succeeded = Vec::new();
    for percent in [1, 25, 50, 75, 90, 99, 110, 130, 200] {
        let receipt = fixture.try_at(&intent, affordable * percent / 100).await?;
        if receipt.status() {
            let cost = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
            let left = outcome(&receipt).wrap_err("no profit")?.profit;
            ensure!(left >= cost, "{percent} %: {left} is left, and gas cost {cost}");
            succeeded.push(percent);
        }
    }
    ensure!(succeeded.contains(&99) && !succeeded.contains(&200), "{succeeded:?}");
    Ok(())
}
