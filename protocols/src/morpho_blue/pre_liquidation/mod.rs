//! Pre-liquidation contracts of Morpho Blue: each liquidates, of the accounts that have authorised it, parts of positions that
//! have not reached the market's own liquidation LTV yet, from an LTV of its own on and by an oracle of its own.
//!
//! Anybody creates as many as he likes by the factory. So only those are looked at that an account with debt has authorised; an
//! account counts at few of them, and few oracles of a market are read, those that most debt depends on.

mod loan;
mod math;
mod opt_ins;

use std::{collections::BTreeSet, sync::Arc};

use alloy::primitives::{Address, B256, U256};

use self::loan::PreLiquidatableLoan;
pub(super) use self::{
    math::{PreValuation, Terms, highest_bonus, least_shares},
    opt_ins::{MAX_CONTRACTS, OptIn, OptIns, PreLiquidation},
};
use super::{
    interface::PreLiquidationParams,
    math::{Position, Valuation, WAD},
    state::Market,
};
use crate::{Lot, PositionSummary};

impl PreLiquidation {
    /// Returns a contract that nobody has authorised.
    pub(super) fn new(market: B256, params: &PreLiquidationParams) -> Self {
        let terms = Terms {
            lltv: params.preLltv,
            close_factors: [params.preLCF1, params.preLCF2],
            incentive_factors: [params.preLIF1, params.preLIF2],
        };
        Self { market, oracle: params.preLiquidationOracle, terms }
    }

    /// Returns its terms in a block, by the market's and what its oracle says.
    pub(super) fn valuation(&self, market: &Market, valuation: &Valuation, price: U256) -> PreValuation {
        let is_markets_oracle = self.oracle == market.params.oracle;
        PreValuation { market: *valuation, price, is_markets_oracle, terms: self.terms }
    }
}

impl OptIns {
    /// Returns the oracles besides the markets' own that are to be read, those of the most debt in each of these markets.
    pub(super) fn oracles(&self, markets: &[(B256, &Market)]) -> BTreeSet<Address> {
        let of_market = |(id, market): &(B256, &Market)| Some(self.in_market(*id)?.oracles(market.params.oracle));
        markets.iter().filter_map(of_market).flatten().collect()
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
        primitives::{Bytes, IntoLogData, Log, keccak256},
        sol_types::{SolCall, SolValue},
    };

    use super::{
        super::{
            MorphoBlue,
            index::looks,
            interface::{IMorphoBlue, IPreLiquidationFactory::CreatePreLiquidation, MarketParams},
        },
        opt_ins::MAX_ORACLES,
        *,
    };
    use crate::{Block, Deployment, Protocol, ProtocolKind};

    const FACTORY: Address = Address::repeat_byte(0xfa);
    const UNIT: u64 = 1_000_000_000;

    /// Logs of one block of a deployment with one market, whose LTV is 86 %.
    struct Logs {
        params: MarketParams,
        logs: Vec<Log>,
    }

    impl Logs {
        fn new() -> Self {
            let params =
                MarketParams { lltv: ratio(86), oracle: Address::repeat_byte(0xaa), ..MarketParams::default() };
            let mut logs = Self { logs: Vec::new(), params };
            logs.create_market(&logs.params.clone());
            logs
        }

        fn log(&mut self, event: &impl IntoLogData) {
            self.logs.push(Log { address: Address::ZERO, data: event.to_log_data() });
        }

        fn create_market(&mut self, params: &MarketParams) {
            let id = keccak256(params.abi_encode());
            self.log(&IMorphoBlue::CreateMarket { id, marketParams: params.clone() });
        }

        fn id(&self) -> B256 {
            keccak256(self.params.abi_encode())
        }

        /// From 80 % on.
        fn create_contract(&mut self, contract: Address, oracle: Address) {
            let params = PreLiquidationParams {
                preLltv: ratio(80),
                preLCF1: ratio(20),
                preLCF2: ratio(50),
                preLIF1: ratio(103),
                preLIF2: ratio(105),
                preLiquidationOracle: oracle,
            };
            let created =
                CreatePreLiquidation { preLiquidation: contract, id: self.id(), preLiquidationParams: params };
            self.logs.push(Log { address: FACTORY, data: created.to_log_data() });
        }

        fn authorise(&mut self, authorizer: Address, authorized: Address) {
            let (caller, new) = (authorizer, true);
            self.log(&IMorphoBlue::SetAuthorization { caller, authorizer, authorized, newIsAuthorized: new });
        }

        fn borrow(&mut self, account: Address, debt: u64, collateral: u64) {
            let (id, caller, receiver) = (self.id(), account, account);
            let assets = U256::from(collateral);
            self.log(&IMorphoBlue::SupplyCollateral { id, caller, onBehalf: account, assets });
            let assets = U256::from(debt);
            let shares = assets * U256::from(1_000_000);
            self.log(&IMorphoBlue::Borrow { id, caller, onBehalf: account, receiver, assets, shares });
        }

        fn applied(self) -> MorphoBlue {
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
            morpho.apply(Block { number: 1, timestamp: 1 }, &self.logs).unwrap();
            morpho
        }
    }

    fn ratio(percent: u64) -> U256 {
        WAD * U256::from(percent) / U256::from(100)
    }

    fn address(kind: u8, number: u64) -> Address {
        Address::left_padding_from(&[&[kind][..], &number.to_be_bytes()].concat())
    }

    /// Answers a protocol's reads with a price of 1 and no interest.
    fn observe(morpho: &mut MorphoBlue) -> crate::Observed {
        let totals = morpho.borrowed_markets().map(|(_, market)| market.totals).next().unwrap();
        let totals =
            [totals.supply_assets, totals.supply_shares, totals.borrow_assets, totals.borrow_shares, 0, 0].abi_encode();
        let answer = |call: &crate::Call| match &call.data[..4] {
            selector if selector == IMorphoBlue::marketCall::SELECTOR => totals.clone().into(),
            selector if selector == IMorphoBlue::accrueInterestCall::SELECTOR => Bytes::new(),
            _ => super::super::math::PRICE_SCALE.abi_encode().into(),
        };
        let sequences = morpho.reads();
        let answers: Vec<Vec<_>> =
            sequences.iter().map(|calls| calls.iter().map(|call| Ok(answer(call))).collect()).collect();
        morpho.observe(&answers)
    }

    /// Strangers have contracts with oracles of their own and loans that authorise them; what is read does not grow with them.
    #[test]
    fn few_oracles_are_read_and_those_of_the_most_debt() {
        let mut logs = Logs::new();
        for number in 0..100_u64 {
            let (account, contract) = (address(1, number), address(2, number));
            logs.create_contract(contract, address(3, number));
            logs.authorise(account, contract);
            logs.borrow(account, 1_000 + number, 0);
        }
        let mut morpho = logs.applied();
        // Two sequences of the market itself.
        let reads = morpho.reads();
        assert_eq!(reads.len(), 2 + MAX_ORACLES);
        let read: BTreeSet<_> = reads[2..].iter().map(|sequence| sequence[0].to).collect();
        assert_eq!(read, (100 - MAX_ORACLES as u64..100).map(|number| address(3, number)).collect());
        let unpriced = observe(&mut morpho).unpriced;
        assert_eq!(unpriced.iter().map(|market| market.positions).collect::<Vec<_>>(), [100 - MAX_ORACLES]);
        assert!(unpriced[0].reason.contains("not read"), "{unpriced:?}");
    }

    /// Strangers create markets and contracts, authorise contracts with and without debt, by the market's oracle and by their
    /// own. What a block looks at is the same for a hundred of each as for two thousand.
    #[test]
    fn what_strangers_create_and_authorise_is_not_looked_at_in_a_block() {
        let looks = |strangers: u64| {
            let mut logs = Logs::new();
            for number in 0..strangers {
                let [idle, chosen, own] = [2, 3, 4].map(|kind| address(kind, number));
                let oracle = logs.params.oracle;
                logs.create_market(&MarketParams { irm: idle, ..logs.params.clone() });
                for contract in [idle, chosen] {
                    logs.create_contract(contract, oracle);
                }
                logs.create_contract(own, address(5, number));
                // Nobody has chosen the first, and this account owes nothing.
                logs.authorise(address(6, number), chosen);
                // Far from every line.
                let debtor = address(7, number);
                logs.authorise(debtor, chosen);
                logs.authorise(debtor, own);
                logs.borrow(debtor, 1, 1_000);
            }
            let (borrower, contract) = (address(1, 0), address(1, 1));
            logs.create_contract(contract, logs.params.oracle);
            logs.authorise(borrower, contract);
            // An LTV of 83 %.
            logs.borrow(borrower, 83 * UNIT, 100 * UNIT);
            let mut morpho = logs.applied();
            looks::take();
            observe(&mut morpho);
            let lots = morpho.liquidatable(&|_| Some(U256::ONE));
            assert_eq!(lots.iter().map(|lot| lot.account).collect::<Vec<_>>(), [borrower]);
            assert_eq!(morpho.nearly_liquidatable(ratio(110), 4, &|_| Some(U256::ONE)).len(), 1);
            assert_eq!(morpho.positions_below(ratio(110), 200).len(), 1);
            assert_eq!(morpho.size().positions as u64, 1 + strangers);
            looks::take()
        };
        let few = looks(100);
        assert!(few > 0);
        assert_eq!(looks(2_000), few);
    }
}
