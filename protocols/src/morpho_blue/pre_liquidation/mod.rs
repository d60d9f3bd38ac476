//! Pre-liquidation contracts of Morpho Blue: each liquidates, of the accounts that have authorised it, parts of positions that
//! have not reached the market's own liquidation LTV yet, from an LTV of its own on and by an oracle of its own.
//!
//! Anybody creates as many as he likes by the factory. So only those are looked at that an account with debt has authorised; an
//! account counts at few of them, and few oracles of a market are read, those that most debt depends on.

mod loan;
mod math;
mod opt_ins;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::primitives::{Address, B256, U256};

use self::loan::PreLiquidatableLoan;
pub(super) use self::{
    math::{PreValuation, Terms},
    opt_ins::{MAX_CONTRACTS, OptIns, PreLiquidation},
};
use super::{
    interface::PreLiquidationParams,
    math::{Position, Valuation, WAD},
    state::Market,
};
use crate::{Lot, PositionSummary};

/// Oracles of a market, besides its own, that are read in a block.
const MAX_ORACLES: usize = 16;

impl PreLiquidation {
    /// Returns a contract that nobody has authorised.
    pub(super) fn new(market: B256, params: &PreLiquidationParams) -> Self {
        let terms = Terms {
            lltv: params.preLltv,
            close_factors: [params.preLCF1, params.preLCF2],
            incentive_factors: [params.preLIF1, params.preLIF2],
        };
        Self { market, oracle: params.preLiquidationOracle, terms, borrowers: super::index::HealthIndex::default() }
    }

    /// Returns its terms in a block, by the market's and what its oracle says.
    pub(super) fn valuation(&self, market: &Market, valuation: &Valuation, price: U256) -> PreValuation {
        let is_markets_oracle = self.oracle == market.params.oracle;
        PreValuation { market: *valuation, price, is_markets_oracle, terms: self.terms }
    }
}

impl OptIns {
    /// Returns the contracts that an account with debt has authorised.
    pub(super) fn in_use(&self) -> impl Iterator<Item = (Address, &PreLiquidation)> {
        let contracts = self.contracts().iter().filter(|(_, contract)| contract.borrowers.len() > 0);
        contracts.map(|(address, contract)| (*address, contract))
    }

    /// Returns the oracles besides the markets' own that are to be read, those of the most debt in each market.
    pub(super) fn oracles(&self, markets: &BTreeMap<B256, Market>) -> BTreeSet<Address> {
        let mut by_market: BTreeMap<B256, BTreeMap<Address, u128>> = BTreeMap::new();
        for (_, contract) in self.in_use() {
            let own = markets.get(&contract.market).map(|market| market.params.oracle);
            if own != Some(contract.oracle) {
                let debt = by_market.entry(contract.market).or_default().entry(contract.oracle).or_default();
                *debt = debt.saturating_add(contract.borrowers.shares());
            }
        }
        let most = by_market.into_values().flat_map(|debts| {
            let mut oracles: Vec<_> = debts.into_iter().map(|(oracle, debt)| (Reverse(debt), oracle)).collect();
            oracles.sort_unstable();
            oracles.into_iter().take(MAX_ORACLES).map(|(_, oracle)| oracle)
        });
        most.collect()
    }
}

/// Describes a position that a contract may liquidate; `None` beyond the market's line, where it does not.
pub(super) fn summary(
    (id, market): (B256, &Market),
    (address, valuation): (Address, &PreValuation),
    account: Address,
    health: U256,
) -> Option<PositionSummary> {
    let position: Position = market.positions.get(&account).copied()?;
    let line = valuation.line();
    let is_beyond = health < WAD;
    let now = valuation.liquidation(position);
    if is_beyond && now.is_none() {
        return None;
    }
    let liquidation_price = line.liquidation_price(position);
    let then = || valuation.at_price(liquidation_price?).liquidation(position);
    Some(PositionSummary {
        market: id,
        account,
        collateral_token: market.params.collateralToken,
        collateral: U256::from(position.collateral),
        debt_token: market.params.loanToken,
        debt: line.debt(position)?,
        health,
        is_liquidatable: is_beyond,
        price: valuation.price,
        liquidation_price,
        liquidation: now.or_else(then),
        further: Vec::new(),
        remark: Some(format!(
            "the pre-liquidation contract {address} liquidates a part, which the account has authorised"
        )),
    })
}

/// Returns the lot of a position that a contract liquidates; `None` if it refuses.
pub(super) fn lot(
    (id, market): (B256, &Market),
    (factory, address, valuation): (Address, Address, &PreValuation),
    account: Address,
) -> Option<Lot> {
    let position = market.positions.get(&account).copied()?;
    let whole = valuation.liquidation(position)?;
    Some(Lot {
        market: id,
        account,
        collateral: market.params.collateralToken,
        debt: market.params.loanToken,
        whole,
        obstacle: None,
        loan: Arc::new(PreLiquidatableLoan { factory, contract: address, account, position, valuation: *valuation }),
    })
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::{IntoLogData, Log, keccak256},
        sol_types::SolValue,
    };

    use super::{
        super::{
            MorphoBlue,
            interface::{IMorphoBlue, IPreLiquidationFactory::CreatePreLiquidation, MarketParams},
        },
        *,
    };
    use crate::{Block, Deployment, Protocol, ProtocolKind};

    const FACTORY: Address = Address::repeat_byte(0xfa);

    /// Strangers have contracts with oracles of their own and loans that authorise them; what is read does not grow with them.
    #[test]
    fn few_oracles_are_read_and_those_of_the_most_debt() {
        let deployment = Deployment {
            protocol: ProtocolKind::MorphoBlue,
            chain_id: 1,
            name: None,
            address: Address::ZERO,
            first_block: 1,
            pre_liquidation_factory: Some(FACTORY),
            source: None,
        };
        let mut morpho = MorphoBlue::new(deployment);
        let params = MarketParams { lltv: U256::ONE, ..MarketParams::default() };
        let id = keccak256(params.abi_encode());
        let log = |event: &dyn Fn() -> alloy::primitives::LogData| Log { address: Address::ZERO, data: event() };
        let mut logs = vec![log(&|| IMorphoBlue::CreateMarket { id, marketParams: params.clone() }.to_log_data())];
        let address =
            |kind: u8, number: u64| Address::left_padding_from(&[&[kind][..], &number.to_be_bytes()].concat());
        for number in 0..100_u64 {
            let (account, contract) = (address(1, number), address(2, number));
            let params =
                PreLiquidationParams { preLiquidationOracle: address(3, number), ..PreLiquidationParams::default() };
            let created = CreatePreLiquidation { preLiquidation: contract, id, preLiquidationParams: params };
            logs.push(Log { address: FACTORY, data: created.to_log_data() });
            let (authorizer, authorized) = (account, contract);
            let authorised =
                IMorphoBlue::SetAuthorization { caller: account, authorizer, authorized, newIsAuthorized: true };
            logs.push(log(&|| authorised.to_log_data()));
            let units = U256::from(1_000 + number);
            let borrowed = IMorphoBlue::Borrow {
                id,
                caller: account,
                onBehalf: account,
                receiver: account,
                assets: units,
                shares: units,
            };
            logs.push(log(&|| borrowed.to_log_data()));
        }
        morpho.apply(Block { number: 1, timestamp: 1 }, &logs).unwrap();
        // Two sequences of the market itself.
        let reads = morpho.reads();
        assert_eq!(reads.len(), 2 + MAX_ORACLES);
        let read: BTreeSet<_> = reads[2..].iter().map(|sequence| sequence[0].to).collect();
        assert_eq!(read, (100 - MAX_ORACLES as u64..100).map(|number| address(3, number)).collect());
    }
}
