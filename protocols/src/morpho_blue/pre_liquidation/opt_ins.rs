//! Which accounts have authorised which pre-liquidation contracts, by logs.
//!
//! Positions are kept by market and oracle, whatever number of contracts values them by it: so a block costs what its prices
//! bring to a line, and nothing for contracts that nobody uses or that are far from it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use alloy::primitives::{Address, B256, U256};

use super::{
    super::{
        index::{HealthIndex, Holder},
        math::Position,
    },
    math::Terms,
};

/// Contracts of one market that an account is followed at. One that authorises more is followed at those with the lowest
/// addresses, so that a change of its position costs no more than this, however many it creates.
pub(in super::super) const MAX_CONTRACTS: usize = 8;
/// Oracles of a market, besides its own, that are read in a block.
pub(in super::super) const MAX_ORACLES: usize = 16;

/// A pre-liquidation contract.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct PreLiquidation {
    pub(in super::super) market: B256,
    pub(in super::super) oracle: Address,
    pub(in super::super) terms: Terms,
}

/// An account that has authorised a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct OptIn {
    /// LTV × 10¹⁸ above which the contract liquidates.
    lltv: u64,
    pub(in super::super) contract: Address,
    pub(in super::super) account: Address,
}

impl Holder for OptIn {
    fn line(&self) -> Option<u64> {
        Some(self.lltv)
    }
}

/// Positions with debt in one market of accounts that have authorised contracts.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct MarketOptIns {
    /// By the oracle that the contracts value them by.
    by_oracle: BTreeMap<Address, HealthIndex<OptIn>>,
    /// The oracles by the debt shares that they value.
    by_debt: BTreeSet<(Reverse<U256>, Address)>,
    positions: usize,
}

impl MarketOptIns {
    fn replace(&mut self, oracle: Address, opt_in: OptIn, before: Position, after: Position) {
        let index = self.by_oracle.entry(oracle).or_default();
        self.by_debt.remove(&(Reverse(index.shares()), oracle));
        self.positions = self.positions.saturating_sub(index.len());
        index.replace(opt_in, before, after);
        self.positions = self.positions.saturating_add(index.len());
        if index.len() == 0 {
            self.by_oracle.remove(&oracle);
        } else {
            self.by_debt.insert((Reverse(index.shares()), oracle));
        }
    }

    /// Returns the oracles that value most debt, besides the market's own.
    pub(in super::super) fn oracles(&self, own: Address) -> impl Iterator<Item = Address> {
        let oracles = self.by_debt.iter().map(|(_, oracle)| *oracle);
        oracles.filter(move |oracle| *oracle != own).take(MAX_ORACLES)
    }

    /// Returns the positions that contracts value by an oracle.
    pub(in super::super) fn valued_by(&self, oracle: Address) -> Option<&HealthIndex<OptIn>> {
        self.by_oracle.get(&oracle)
    }

    /// Returns the number of positions, each as often as there are contracts that it is followed at.
    pub(in super::super) const fn positions(&self) -> usize {
        self.positions
    }
}

/// All contracts, and who has authorised them.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct OptIns {
    contracts: BTreeMap<Address, PreLiquidation>,
    /// Who is authorised, and by whom: anybody may be before a contract exists at his address.
    authorisations: BTreeSet<(Address, Address)>,
    /// The contracts that an account has authorised in a market.
    chosen: BTreeMap<(B256, Address), BTreeSet<Address>>,
    /// By market; none without positions.
    in_use: BTreeMap<B256, MarketOptIns>,
}

impl OptIns {
    /// Returns the contract at an address.
    pub(in super::super) fn contract(&self, address: Address) -> Option<&PreLiquidation> {
        #[cfg(test)]
        super::super::index::looks::count();
        self.contracts.get(&address)
    }

    /// Returns the markets in which accounts with debt have authorised contracts.
    pub(in super::super) fn in_use(&self) -> impl Iterator<Item = (B256, &MarketOptIns)> {
        let markets = self.in_use.iter().map(|(market, opt_ins)| (*market, opt_ins));
        #[cfg(test)]
        let markets = markets.inspect(|_| super::super::index::looks::count());
        markets
    }

    /// Returns the positions of one market.
    pub(in super::super) fn in_market(&self, market: B256) -> Option<&MarketOptIns> {
        self.in_use.get(&market)
    }

    /// Adds a contract. Fails if there is one at the address.
    pub(in super::super) fn create(
        &mut self,
        address: Address,
        contract: PreLiquidation,
        position_of: impl Fn(Address) -> Position,
    ) -> Result<(), String> {
        if self.contracts.contains_key(&address) {
            return Err(format!("the pre-liquidation contract {address} was created before"));
        }
        let market = contract.market;
        self.contracts.insert(address, contract);
        for account in self.authorisers(address) {
            self.choose(market, account, position_of(account), |chosen| chosen.insert(address));
        }
        Ok(())
    }

    /// Takes back [`Self::create`].
    pub(in super::super) fn remove(&mut self, address: Address, position_of: impl Fn(Address) -> Position) {
        let Some(market) = self.contracts.get(&address).map(|contract| contract.market) else { return };
        for account in self.authorisers(address) {
            self.choose(market, account, position_of(account), |chosen| chosen.remove(&address));
        }
        self.contracts.remove(&address);
    }

    fn authorisers(&self, authorised: Address) -> Vec<Address> {
        let all = (authorised, Address::ZERO)..=(authorised, Address::repeat_byte(0xff));
        self.authorisations.range(all).map(|(_, account)| *account).collect()
    }

    /// Records whether an account authorises another. Returns whether that is a change.
    pub(in super::super) fn authorise(
        &mut self,
        (account, authorised): (Address, Address),
        is_authorised: bool,
        position_in: impl Fn(B256) -> Position,
    ) -> bool {
        let pair = (authorised, account);
        let is_changed =
            if is_authorised { self.authorisations.insert(pair) } else { self.authorisations.remove(&pair) };
        if is_changed && let Some(market) = self.contracts.get(&authorised).map(|contract| contract.market) {
            self.choose(market, account, position_in(market), |chosen| {
                if is_authorised { chosen.insert(authorised) } else { chosen.remove(&authorised) }
            });
        }
        is_changed
    }

    /// Changes the contracts of an account in a market.
    fn choose(
        &mut self,
        market: B256,
        account: Address,
        position: Position,
        change: impl FnOnce(&mut BTreeSet<Address>) -> bool,
    ) {
        let none = Position::default();
        self.replace(market, account, position, none);
        let chosen = self.chosen.entry((market, account)).or_default();
        change(chosen);
        if chosen.is_empty() {
            self.chosen.remove(&(market, account));
        }
        self.replace(market, account, none, position);
    }

    /// Puts a position in the place of the account's former one, at each contract that it has authorised.
    pub(in super::super) fn replace(&mut self, market: B256, account: Address, before: Position, after: Position) {
        let Self { contracts, chosen, in_use, .. } = self;
        let Some(chosen) = chosen.get(&(market, account)) else { return };
        let opt_ins = in_use.entry(market).or_default();
        for address in chosen.iter().take(MAX_CONTRACTS) {
            if let Some(PreLiquidation { oracle, terms, .. }) = contracts.get(address) {
                // No line is above 1.
                let lltv = u64::try_from(terms.lltv).unwrap_or(u64::MAX);
                opt_ins.replace(*oracle, OptIn { lltv, contract: *address, account }, before, after);
            }
        }
        if opt_ins.positions == 0 {
            in_use.remove(&market);
        }
    }
}
