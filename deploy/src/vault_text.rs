//! A vault's terms in words: who may do what after which delay, and the caps.

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::{IVault, market::SECONDS_PER_YEAR};

use crate::{
    design::{Creation, Design, Market, Work, cap_id},
    manifest::units::{BasisPoints, Seconds, decimal_text},
};

const BPS: u64 = 10_000;
/// A yearly rate in 1e18 as a percentage with four decimals.
const YEARLY_DIVISOR: u64 = 1_000_000_000_000;

/// Describes the vault that a creation makes; `None` where it is another contract.
pub(crate) fn vault_text(design: &Design, creation: &Creation) -> Option<String> {
    let setup = creation.vault_setup()?;
    let accounts = |addresses: &[Address]| match addresses {
        [] => "nobody".to_owned(),
        some => some.iter().map(|one| design.address_text(*one)).collect::<Vec<_>>().join(", "),
    };
    let one = |address: Address| accounts(if address.is_zero() { &[] } else { std::slice::from_ref(&address) });
    let percent = |bps: U256| BasisPoints(bps.saturating_to());
    let delay = Seconds(setup.raiseDelaySecs.saturating_to());
    let most = setup.maxRatePerSecond.saturating_mul(U256::from(SECONDS_PER_YEAR)).div_ceil(U256::from(YEARLY_DIVISOR));
    let steps = if setup.nudgeBps.is_zero() {
        "caps rise in no steps".to_owned()
    } else {
        let every = Seconds(setup.nudgeSecs.saturating_to());
        format!("the curator raises a cap by at most {} every {every} at once", percent(setup.nudgeBps))
    };
    let caps: Vec<_> = setup.caps.iter().filter_map(|cap| cap_text(design, &setup, cap)).collect();
    let unbounded = if caps.is_empty() { "no caps".to_owned() } else { format!("caps: {}", caps.join(", ")) };
    Some(format!(
        "Vault at {} for {}; {unbounded}; higher caps, new markets, a higher fee or maximum rate and other roles wait {delay}, \
         what lowers risk waits for nothing; {steps}; owner {}, curator {}, guardian {} (lowers and revokes), {} moves the \
         assets within the caps; gains of at most {}% a year, {} of them to {}; leaving in kind costs {}",
        creation.address,
        design.token_text(setup.asset),
        one(setup.owner),
        one(setup.curator),
        one(setup.guardian),
        accounts(&setup.allocators),
        decimal_text(most, 4),
        percent(setup.feeBps),
        one(setup.feeRecipient),
        percent(setup.penaltyBps),
    ))
}

/// Describes a cap; `None` where it bounds nothing.
fn cap_text(design: &Design, setup: &IVault::Setup, cap: &IVault::CapSetup) -> Option<String> {
    let amount = (cap.absolute != U256::from(u128::MAX)).then(|| design.amount_text(setup.asset, cap.absolute));
    let part = (cap.relativeBps != U256::from(BPS))
        .then(|| format!("{} of the vault", BasisPoints(cap.relativeBps.saturating_to())));
    let bounds: Vec<_> = amount.into_iter().chain(part).collect();
    (!bounds.is_empty()).then(|| format!("{} {}", subject(design, cap.capId), bounds.join(" and ")))
}

/// Names the market, collateral token or oracle that a cap is of.
fn subject(design: &Design, id: B256) -> String {
    let markets = design.steps.iter().filter_map(|step| match &step.work {
        Work::CreateMarket(market) => Some((step.name.as_str(), market)),
        _ => None,
    });
    let named = |(name, market): (&str, &Market)| {
        let params = &market.params;
        if market.id.0 == id {
            return Some(name.to_owned());
        }
        if cap_id::of_collateral(params.collateralToken) == id {
            return Some(format!("collateral {}", design.token_text(params.collateralToken)));
        }
        (cap_id::of_oracle(params.oracle) == id).then(|| format!("oracle {}", design.address_text(params.oracle)))
    };
    markets.filter_map(named).next().unwrap_or_else(|| id.to_string())
}
