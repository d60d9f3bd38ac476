//! Which accounts have authorised which pre-liquidation contracts, by logs.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};

use super::{
    super::{index::HealthIndex, math::Position},
    math::Terms,
};

/// Contracts of one market that an account is followed at. One that authorises more is followed at those with the lowest
/// addresses, so that a change of its position costs no more than this, however many it creates.
pub(in super::super) const MAX_CONTRACTS: usize = 8;

/// A pre-liquidation contract.
#[derive(Debug, Clone)]
pub(in super::super) struct PreLiquidation {
    pub(in super::super) market: B256,
    pub(in super::super) oracle: Address,
    pub(in super::super) terms: Terms,
    /// Positions with debt of accounts that have authorised it.
    pub(in super::super) borrowers: HealthIndex,
}

/// All contracts, and who has authorised them.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct OptIns {
    contracts: BTreeMap<Address, PreLiquidation>,
    /// Who is authorised, and by whom: anybody may be before a contract exists at his address.
    authorisations: BTreeSet<(Address, Address)>,
    /// The contracts that an account has authorised in a market.
    chosen: BTreeMap<(B256, Address), BTreeSet<Address>>,
}

impl OptIns {
    pub(in super::super) const fn contracts(&self) -> &BTreeMap<Address, PreLiquidation> {
        &self.contracts
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
        let Some(chosen) = self.chosen.get(&(market, account)) else { return };
        for address in chosen.iter().take(MAX_CONTRACTS) {
            if let Some(contract) = self.contracts.get_mut(address) {
                contract.borrowers.replace(account, before, after);
            }
        }
    }
}
