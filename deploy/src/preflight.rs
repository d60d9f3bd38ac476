//! Checks that the chain and the existing contracts are what the manifest expects, before anything is sent: protocols have
//! lost millions to a feed for another asset.

use alloy::primitives::{I256, U256};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{IAggregatorV3, IOracle};

use crate::{
    abi::IToken,
    connection::Chain,
    design::{Design, Existing, Expected},
    manifest::units::decimal_text,
};

/// Returns everything on the chain that differs from the manifest's expectations, as messages.
pub async fn problems(chain: &Chain, design: &Design) -> Result<Vec<String>, ChainError> {
    let mut problems = Vec::new();
    if chain.id() != design.chain_id {
        problems.push(format!(
            "{} is chain {}, but the manifest is for chain {}: use its endpoint, or correct `chain_id` in [network]",
            chain.endpoint(),
            chain.id(),
            design.chain_id
        ));
    }
    if design.is_local && chain.local().is_none() {
        problems.push(format!(
            "the manifest says `local = true`, but {} is not a local Anvil: tokens, feeds and pools are made up only there",
            chain.endpoint()
        ));
    }
    if let Some(name) = design.draws().next()
        && !chain.has_randomness().await?
    {
        problems.push(format!(
            "{name}: the blocks of {} carry no randomness (PREVRANDAO is a constant or a difficulty), so anybody would know \
             draws of nodes beforehand: leave it out, or use another chain",
            chain.endpoint()
        ));
    }
    for existing in &design.existing {
        if let Some(problem) = problem(chain, existing).await? {
            problems.push(format!("{} at {}: {problem}", existing.name, existing.address));
        }
    }
    Ok(problems)
}

async fn problem(chain: &Chain, existing: &Existing) -> Result<Option<String>, ChainError> {
    let at = existing.address;
    if chain.code(at).await?.is_empty() {
        return Ok(Some("there is no contract at this address on this chain".to_owned()));
    }
    Ok(match &existing.expected {
        Expected::Code => None,
        Expected::Token { decimals } => different_decimals(chain.read(at, IToken::decimalsCall {}).await?, *decimals),
        Expected::Feed { decimals, description, low, high } => {
            let said = chain.read(at, IAggregatorV3::decimalsCall {}).await?;
            if let Some(problem) = different_decimals(said, *decimals) {
                return Ok(Some(problem));
            }
            let said = chain.read(at, IAggregatorV3::descriptionCall {}).await?;
            if said.as_ref() != Some(description) {
                let said = said.unwrap_or_else(|| "nothing".to_owned());
                return Ok(Some(format!(
                    "it describes itself as \"{said}\", but the manifest expects \"{description}\""
                )));
            }
            let round = chain.read(at, IAggregatorV3::latestRoundDataCall {}).await?;
            let Some(round) = round else { return Ok(Some("it has no answer".to_owned())) };
            outside(round.answer, *low, *high, *decimals)
        }
        Expected::Oracle { bounds, decimals } => {
            let liquidation = chain.read(at, IOracle::liquidationPriceCall {}).await?;
            let borrow = chain.read(at, IOracle::borrowPriceCall {}).await?;
            match (liquidation, borrow) {
                (Some(liquidation), Some(borrow)) => oracle_problem(liquidation, borrow, *bounds, *decimals),
                _ => Some("it gives no price".to_owned()),
            }
        }
    })
}

fn different_decimals(said: Option<u8>, wanted: u8) -> Option<String> {
    match said {
        Some(said) if said == wanted => None,
        Some(said) => Some(format!("it has {said} decimals, but the manifest expects {wanted}")),
        None => Some("it does not say how many decimals it has".to_owned()),
    }
}

fn outside(answer: I256, low: I256, high: I256, decimals: u8) -> Option<String> {
    if (low..=high).contains(&answer) {
        return None;
    }
    let text = |value: I256| {
        let sign = if value.is_negative() { "-" } else { "" };
        format!("{sign}{}", decimal_text(value.unsigned_abs(), decimals))
    };
    Some(format!("it answers {}, which is not between {} and {}", text(answer), text(low), text(high)))
}

fn oracle_problem(liquidation: U256, borrow: U256, bounds: Option<(U256, U256)>, decimals: u8) -> Option<String> {
    let text = |price| decimal_text(price, decimals);
    if borrow.is_zero() || liquidation.is_zero() {
        return Some("it gives a price of 0".to_owned());
    }
    if borrow > liquidation {
        return Some(format!("its borrow price {} exceeds its liquidation price {}", text(borrow), text(liquidation)));
    }
    match bounds {
        Some((low, high)) if borrow < low || liquidation > high => Some(format!(
            "its price {} (borrowing: {}) is not between {} and {}",
            text(liquidation),
            text(borrow),
            text(low),
            text(high)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_outside_its_bounds_is_reported_in_whole_units() {
        let units = |whole: i64| I256::try_from(whole * 100_000_000).unwrap();
        assert_eq!(outside(units(2_000), units(500), units(20_000), 8), None);
        assert_eq!(outside(units(500), units(500), units(20_000), 8), None);
        let text = outside(units(-1), units(500), units(20_000), 8).unwrap();
        assert_eq!(text, "it answers -1, which is not between 500 and 20000");
    }

    #[test]
    fn an_oracle_with_impossible_prices_is_rejected() {
        let (price, bounds) = (U256::from(2_000), Some((U256::from(1_000), U256::from(4_000))));
        assert_eq!(oracle_problem(price, price, bounds, 2), None);
        assert!(oracle_problem(U256::ZERO, U256::ZERO, None, 2).unwrap().contains("price of 0"));
        assert!(oracle_problem(price, price + U256::from(1), None, 2).unwrap().contains("20.01 exceeds"));
        let text = oracle_problem(price, U256::from(999), bounds, 2).unwrap();
        assert_eq!(text, "its price 20 (borrowing: 9.99) is not between 10 and 40");
    }
}
