//! Markets and positions, pre-liquidation contracts and who authorises them, as rows of a checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};

use super::{
    index::HealthIndex,
    interface::MarketParams,
    math::{Position, Totals},
    pre_liquidation::{PreLiquidation, Terms},
    state::{Change, Market, State},
};
use crate::{
    Block,
    rows::{Reader, RestoreError, Row, key, value},
};

const MARKET: u8 = 1;
const POSITION: u8 = 2;
const CONTRACT: u8 = 3;
const AUTHORISATION: u8 = 4;

impl State {
    /// Returns the rows that the newest block changed.
    pub(super) fn changed_rows(&self) -> Vec<Row> {
        let (mut markets, mut positions, mut others) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for change in self.newest_changes() {
            match change {
                Change::Created(id) | Change::Totals(id, _) => {
                    markets.insert(*id);
                }
                Change::Position(id, account, _) => {
                    positions.insert((*id, *account));
                }
                Change::ContractCreated(address) => {
                    let contract = self.opt_ins().contract(*address);
                    others.extend(contract.map(|contract| contract_row(*address, contract)));
                }
                // The last one is in effect.
                Change::Authorised(account, authorised, is_authorised) => {
                    let key = key(AUTHORISATION, &[authorised.as_slice(), account.as_slice()]);
                    others.push((key, vec![u8::from(*is_authorised)]));
                }
            }
        }
        let markets = markets.iter().filter_map(|id| Some(market_row(*id, self.markets().get(id)?)));
        let positions = positions.iter().filter_map(|(id, account)| {
            let position = self.markets().get(id)?.positions.get(account).copied();
            Some(position_row(*id, *account, position.unwrap_or_default()))
        });
        markets.chain(positions).chain(others).collect()
    }

    /// Returns the state after a block by its rows. Fails unless the positions' debts add up to each market's.
    pub(super) fn restored(factory: Option<Address>, block: Block, rows: &[Row]) -> Result<Self, RestoreError> {
        let mut markets = BTreeMap::new();
        let (mut contracts, mut authorisations) = (Vec::new(), Vec::new());
        for (key, value) in rows {
            let (mut key, mut value) = (Reader::new(key), Reader::new(value));
            match key.byte()? {
                MARKET => {
                    let (id, market) = (key.word()?, read_market(&mut value)?);
                    if keccak256(market.params.abi_encode()) != id {
                        return Err(RestoreError(format!("market {id} has other parameters")));
                    }
                    markets.insert(id, market);
                }
                // Markets come first.
                POSITION => {
                    let (id, account) = (key.word()?, key.address()?);
                    let market: &mut Market =
                        markets.get_mut(&id).ok_or_else(|| RestoreError(format!("there is no market {id}")))?;
                    let position = Position { borrow_shares: value.narrow()?, collateral: value.narrow()? };
                    market.set_position(account, position);
                }
                CONTRACT => contracts.push((key.address()?, read_contract(&mut value)?)),
                AUTHORISATION => {
                    let (authorised, account) = (key.address()?, key.address()?);
                    authorisations.push(((account, authorised), value.byte()? == 1));
                }
                other => return Err(RestoreError(format!("{other} is no kind of row"))),
            }
            key.end()?;
            value.end()?;
        }
        for (id, market) in &markets {
            let shares: U256 = market.positions.values().map(|position| U256::from(position.borrow_shares)).sum();
            if shares != U256::from(market.totals.borrow_shares) {
                let total = market.totals.borrow_shares;
                return Err(RestoreError(format!("the debts of market {id} are {shares} shares of {total}")));
            }
        }
        let mut state = Self::with_markets(factory, block, markets);
        for (address, contract) in contracts {
            state.add_contract(address, contract).map_err(RestoreError)?;
        }
        for (pair, is_authorised) in authorisations {
            state.authorise(pair, is_authorised);
        }
        Ok(state)
    }
}

fn market_row(id: B256, market: &Market) -> Row {
    let Market { params, totals, .. } = market;
    let [loan, collateral, oracle, irm] = [params.loanToken, params.collateralToken, params.oracle, params.irm]
        .map(|address| U256::from_be_bytes(address.into_word().0));
    let Totals { supply_assets, supply_shares, borrow_assets, borrow_shares } = *totals;
    let [assets, shares, owed, owed_shares] =
        [supply_assets, supply_shares, borrow_assets, borrow_shares].map(U256::from);
    let words = [loan, collateral, oracle, irm, params.lltv, assets, shares, owed, owed_shares];
    (key(MARKET, &[id.as_slice()]), value(words))
}

fn read_market(value: &mut Reader<'_>) -> Result<Market, RestoreError> {
    let mut address = || value.word().map(Address::from_word);
    let [loan, collateral, oracle, irm] = [address()?, address()?, address()?, address()?];
    let params = MarketParams { loanToken: loan, collateralToken: collateral, oracle, irm, lltv: value.number()? };
    let totals = Totals {
        supply_assets: value.narrow()?,
        supply_shares: value.narrow()?,
        borrow_assets: value.narrow()?,
        borrow_shares: value.narrow()?,
    };
    Ok(Market { params, totals, positions: BTreeMap::new(), borrowers: HealthIndex::default() })
}

fn position_row(id: B256, account: Address, position: Position) -> Row {
    let Position { borrow_shares, collateral } = position;
    (key(POSITION, &[id.as_slice(), account.as_slice()]), value([borrow_shares, collateral].map(U256::from)))
}

fn contract_row(address: Address, contract: &PreLiquidation) -> Row {
    let PreLiquidation { market, oracle, terms, .. } = contract;
    let Terms { lltv, close_factors, incentive_factors } = *terms;
    let [market, oracle] = [*market, oracle.into_word()].map(|word| U256::from_be_bytes(word.0));
    let ([close, close_at_line], [incentive, incentive_at_line]) = (close_factors, incentive_factors);
    let words = [market, oracle, lltv, close, close_at_line, incentive, incentive_at_line];
    (key(CONTRACT, &[address.as_slice()]), value(words))
}

fn read_contract(value: &mut Reader<'_>) -> Result<PreLiquidation, RestoreError> {
    let (market, oracle) = (value.word()?, Address::from_word(value.word()?));
    let terms = Terms {
        lltv: value.number()?,
        close_factors: [value.number()?, value.number()?],
        incentive_factors: [value.number()?, value.number()?],
    };
    Ok(PreLiquidation { market, oracle, terms })
}
