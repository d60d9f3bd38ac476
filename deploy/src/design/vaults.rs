//! Vaults for lenders: their markets, caps and roles, checked as the constructor checks them.

use std::{collections::BTreeMap, ops::Range};

use alloy::{
    dyn_abi::DynSolValue,
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};
use toml::Spanned;

use super::{
    Deposit, Market, Payment, Work,
    build::{Builder, CORE, Resolved, ResolvedToken},
    section::{self, Section},
};
use crate::manifest::{self, Cap};

/// Most markets of a vault.
const MAX_MARKETS: usize = 12;
const BPS: u64 = 10_000;
const MAX_FEE_BPS: u16 = 2_500;
const MIN_PENALTY_BPS: u16 = 5;
const MAX_PENALTY_BPS: u16 = 100;
/// 200 % a year, scaled by 1e18 per second.
const MAX_RATE_PER_SECOND: u64 = 2_000_000_000_000_000_000 / plimsoll_contracts::market::SECONDS_PER_YEAR;
const DAY_SECS: u64 = 24 * 60 * 60;
const MIN_NUDGE_SECS: u64 = 60 * 60;
const MAX_NUDGE_SECS: u64 = 365 * DAY_SECS;

/// A market of a vault, with what it is named after.
struct VaultMarket<'m> {
    name: &'m str,
    market: &'m Market,
    entry: &'m manifest::Market,
}

impl Builder<'_> {
    pub(super) fn vaults(&mut self, markets: &BTreeMap<String, (Market, ResolvedToken)>) {
        for (name, entry) in &self.manifest.tables.vaults {
            self.vault(name, &entry.span(), entry.get_ref(), markets);
        }
    }

    fn vault(
        &mut self,
        name: &str,
        span: &Range<usize>,
        entry: &manifest::Vault,
        markets: &BTreeMap<String, (Market, ResolvedToken)>,
    ) -> Option<()> {
        let core = self.singleton(CORE, span);
        let asset = self.token(&entry.asset);
        let accounts = [Section::Accounts];
        let owner = self.address(&entry.owner, &accounts);
        let curator = self.address(&entry.curator, &accounts);
        let guardian = entry.guardian.as_ref().map(|said| self.address(said, &accounts));
        let recipient = entry.fee_recipient.as_ref().map(|said| self.address(said, &accounts));
        let allocators: Vec<_> = entry.allocators.iter().map(|said| self.address(said, &accounts)).collect();
        let settings = self.vault_settings(entry);
        let (core, asset, owner, curator) = (core?, asset?, owner?, curator?);
        let list = self.vault_markets(span, entry, &asset, markets);
        let deposit_market = self.deposit_market(entry, list.as_deref());
        let (settings, list, deposit_market) = (settings?, list?, deposit_market?);

        let mut places = vec![core.clone(), asset.place.clone(), owner.clone(), curator.clone()];
        let mut optional = |place: Option<Option<Resolved>>| match place {
            None => Some(Address::ZERO),
            Some(place) => place.map(|place| {
                let address = place.address;
                places.push(place);
                address
            }),
        };
        let (guardian, recipient) = (optional(guardian), optional(recipient));
        let allocators: Option<Vec<_>> =
            allocators.into_iter().map(|place| Some(DynSolValue::Address(optional(Some(place))?))).collect();
        let caps = self.vault_caps(entry, &asset, &list, &mut places)?;
        let word = |number: u64| DynSolValue::Uint(U256::from(number), 256);
        let ids = list.iter().map(|one| DynSolValue::FixedBytes(one.market.id.0, 32)).collect();
        let [fee, max_rate, penalty, delay, nudge, every] = settings.map(word);
        let setup = DynSolValue::Tuple(vec![
            DynSolValue::Address(core.address),
            DynSolValue::Address(asset.place.address),
            DynSolValue::String(entry.name.clone()),
            DynSolValue::String(entry.symbol.clone()),
            DynSolValue::Address(owner.address),
            DynSolValue::Address(curator.address),
            DynSolValue::Address(guardian?),
            DynSolValue::Array(allocators?),
            DynSolValue::Address(recipient?),
            fee,
            max_rate,
            penalty,
            delay,
            nudge,
            every,
            DynSolValue::Array(ids),
            DynSolValue::Array(caps),
            DynSolValue::FixedBytes(deposit_market, 32),
        ]);
        let vault = self.create(format!("vaults.{name}"), "Vault", vec![("setup", setup)], span, places)?.address;
        if let Some(said) = &entry.first_deposit {
            let amount = self.units(said, &asset)?;
            if amount.is_zero() {
                return self.reject(&said.span, "a first deposit of 0 makes no shares");
            }
            let payment = Payment { token: asset.place.address, amount, can_mint: asset.can_mint };
            self.step(format!("vaults.{name}.first_deposit"), Work::FirstDeposit(Deposit { vault, payment }));
        }
        Some(())
    }

    /// Returns fee, maximum rate, penalty, delay, and size and interval of steps, within the constructor's bounds.
    fn vault_settings(&mut self, entry: &manifest::Vault) -> Option<[u64; 6]> {
        let fee = match &entry.fee {
            Some(said) => {
                let fee = self.value(said)?.0;
                if fee > MAX_FEE_BPS {
                    return self.reject(&said.span, "a vault's fee is at most 25% of its gains");
                }
                if fee != 0 && entry.fee_recipient.is_none() {
                    return self.reject(&said.span, "a fee needs a `fee_recipient`: nobody gets it otherwise");
                }
                fee
            }
            None => 0,
        };
        let max_rate = self.value(&entry.max_rate)?.0;
        if max_rate > MAX_RATE_PER_SECOND {
            return self.reject(&entry.max_rate.span, "a vault's value rises by at most 200% a year");
        }
        let penalty = self.value(&entry.penalty)?.0;
        if !(MIN_PENALTY_BPS..=MAX_PENALTY_BPS).contains(&penalty) {
            return self.reject(&entry.penalty.span, "the penalty of a redemption in kind is between 0.05% and 1%");
        }
        let delay = self.value(&entry.raise_delay)?.0;
        if !(DAY_SECS..=30 * DAY_SECS).contains(&delay) {
            return self.reject(&entry.raise_delay.span, "changes that raise risk wait between 1 and 30 days");
        }
        let (nudge, every) = match &entry.nudge {
            Some(nudge) => (u64::from(self.value(&nudge.by)?.0), self.value(&nudge.every)?.0),
            None => (0, DAY_SECS),
        };
        if let Some(said) = &entry.nudge {
            if !(MIN_NUDGE_SECS..=MAX_NUDGE_SECS).contains(&every) {
                return self.reject(&said.every.span, "steps of a cap are between an hour and a year apart");
            }
            if exceeds_half(nudge, delay / every + 1) {
                return self.reject(
                    &said.by.span,
                    "the steps within one `raise_delay` would raise a cap to more than 1.5 times its value",
                );
            }
        }
        Some([u64::from(fee), max_rate, u64::from(penalty), delay, nudge, every])
    }

    /// Returns the vault's markets in the order of their names; records those that are unknown or lend another token.
    fn vault_markets<'m>(
        &mut self,
        span: &Range<usize>,
        entry: &'m manifest::Vault,
        asset: &ResolvedToken,
        markets: &'m BTreeMap<String, (Market, ResolvedToken)>,
    ) -> Option<Vec<VaultMarket<'m>>>
    where
        Self: 'm,
    {
        if entry.markets.len() > MAX_MARKETS {
            let message = format!("a vault has at most {MAX_MARKETS} markets, and this one {}", entry.markets.len());
            return self.reject(span, message);
        }
        let mut list = Vec::new();
        for (name, cap) in &entry.markets {
            let known = &self.manifest.tables.markets;
            let Some(described) = known.get(name) else {
                let message = section::unknown(name, "[markets]", known.keys().map(String::as_str));
                let _: Option<()> = self.reject(&cap.span(), message);
                continue;
            };
            // A problem of the market itself is recorded.
            let Some((market, loan)) = markets.get(name) else { continue };
            if loan.name != asset.name {
                let message = format!("the market {name} lends {}, and the vault's asset is {}", loan.name, asset.name);
                let _: Option<()> = self.reject(&cap.span(), message);
                continue;
            }
            list.push(VaultMarket { name, market, entry: described.get_ref() });
        }
        (list.len() == entry.markets.len()).then_some(list)
    }

    fn deposit_market(&mut self, entry: &manifest::Vault, list: Option<&[VaultMarket<'_>]>) -> Option<B256> {
        let Some(said) = &entry.deposit_market else { return Some(B256::ZERO) };
        if !entry.markets.contains_key(said.get_ref()) {
            let known = entry.markets.keys().map(String::as_str);
            return self.reject(&said.span(), section::unknown(said.get_ref(), "the vault's `markets`", known));
        }
        list?.iter().find(|one| one.name == said.get_ref()).map(|one| one.market.id.0)
    }

    /// Returns the caps of markets, collateral tokens and oracles. What is not named has no bound of its own.
    fn vault_caps(
        &mut self,
        entry: &manifest::Vault,
        asset: &ResolvedToken,
        list: &[VaultMarket<'_>],
        places: &mut Vec<Resolved>,
    ) -> Option<Vec<DynSolValue>> {
        let mut caps = BTreeMap::new();
        for one in list {
            let collateral = self.token(&one.entry.collateral)?;
            let oracle = self.address(&one.entry.oracle, &[Section::Oracles])?;
            let unbounded = (U256::from(u128::MAX), BPS);
            caps.insert(cap_id::of_collateral(collateral.place.address), unbounded);
            caps.insert(cap_id::of_oracle(oracle.address), unbounded);
            places.extend([collateral.place, oracle]);
        }
        let mut named: Vec<(B256, &Spanned<Cap>)> = Vec::new();
        for (name, cap) in &entry.collateral_caps {
            let (_, token) = self.find(&cap.span(), name, &[Section::Tokens])?;
            named.push((cap_id::of_collateral(self.resolve(Section::Tokens, &token)?.address), cap));
        }
        for (name, cap) in &entry.oracle_caps {
            let (_, oracle) = self.find(&cap.span(), name, &[Section::Oracles])?;
            named.push((cap_id::of_oracle(self.resolve(Section::Oracles, &oracle)?.address), cap));
        }
        for (id, cap) in &named {
            if !caps.contains_key(id) {
                return self.reject(&cap.span(), "no market of the vault has this collateral token or oracle");
            }
        }
        named.extend(list.iter().filter_map(|one| Some((one.market.id.0, entry.markets.get(one.name)?))));
        for (id, cap) in named {
            let cap = cap.get_ref();
            let amount = self.units(&cap.amount, asset)?;
            if amount > U256::from(u128::MAX) {
                return self.reject(&cap.amount.span, "a cap fits 128 bits");
            }
            let part = match &cap.part {
                Some(said) => u64::from(self.value(said)?.0),
                None => BPS,
            };
            if part > BPS {
                return self.reject(&cap.amount.span, "a part of the vault is at most 100%");
            }
            caps.insert(id, (amount, part));
        }
        let value = |(id, (amount, part)): (B256, (U256, u64))| {
            DynSolValue::Tuple(vec![
                DynSolValue::FixedBytes(id, 32),
                DynSolValue::Uint(amount, 256),
                DynSolValue::Uint(U256::from(part), 256),
            ])
        };
        Some(caps.into_iter().map(value).collect())
    }
}

/// Ids of the caps that markets share, as the vault computes them.
pub(crate) mod cap_id {
    use super::{Address, B256, SolValue, U256, keccak256};

    /// Returns the id of a collateral token's cap.
    pub(crate) fn of_collateral(token: Address) -> B256 {
        keccak256((U256::ZERO, token).abi_encode())
    }

    /// Returns the id of an oracle's cap.
    pub(crate) fn of_oracle(oracle: Address) -> B256 {
        keccak256((U256::ONE, oracle).abi_encode())
    }
}

/// Returns whether so many steps of this part raise a cap to more than 1.5 times its value.
fn exceeds_half(nudge_bps: u64, steps: u64) -> bool {
    const SCALE: u128 = 1_000_000_000_000_000_000;
    let mut raised = SCALE;
    for _ in 0..steps {
        if nudge_bps == 0 {
            return false;
        }
        raised += raised * u128::from(nudge_bps) / u128::from(BPS);
        if raised > SCALE * 3 / 2 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_cap_are_compounded_as_the_constructor_does() {
        assert!(!exceeds_half(1_000, 4), "1.1⁴ = 1.4641");
        assert!(exceeds_half(1_100, 4), "1.11⁴ = 1.5181");
        assert!(!exceeds_half(0, u64::MAX), "no steps at all");
    }
}
