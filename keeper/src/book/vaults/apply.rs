//! Applying a vault's events. An update of the value says what all positions are worth, which is compared with the book's
//! own figure: a missed event shows there.

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{
    IERC4626::IERC4626Events,
    IVault::{self, IVaultEvents},
    MarketId,
};

use super::{Cap, Holding, VaultBook, VaultState};
use crate::{
    book::{
        apply::{Application, add, checked, subtract},
        at,
        error::{EventError, Figure, Quantity},
        undo_log::Change,
    },
    chain::VaultEvent,
    math::shares::to_assets_down,
};

/// A withdrawal from a vault whose further events follow: from which markets it is paid, or that it is paid in kind.
#[derive(Debug, Clone, Copy)]
pub(in crate::book) struct VaultExit {
    vault: Address,
    /// Assets that were taken out of idle.
    from_idle: u128,
    /// Assets that are still to be withdrawn from markets.
    owed: u128,
}

impl Application<'_> {
    pub(in crate::book) fn apply_vault_event(&mut self, vault: Address, event: &VaultEvent) -> Result<(), EventError> {
        match event {
            VaultEvent::Own(event) => self.apply_own_event(vault, event),
            VaultEvent::Shares(IERC4626Events::Deposit(event)) => {
                let state = self.vault_state(vault)?;
                add(&mut state.last_total, event.assets, Quantity::VaultTotal(vault))?;
                add(&mut state.idle, event.assets, Quantity::IdleAssets(vault))
            }
            VaultEvent::Shares(IERC4626Events::Withdraw(event)) => {
                let state = self.vault_state(vault)?;
                subtract(&mut state.last_total, event.assets, Quantity::VaultTotal(vault))?;
                let assets = checked(event.assets, Quantity::VaultTotal(vault))?;
                let from_idle = state.idle.min(assets);
                state.idle -= from_idle;
                self.exit = Some(VaultExit { vault, from_idle, owed: assets - from_idle });
                Ok(())
            }
            // Who holds the vault's shares is not in the book.
            VaultEvent::Shares(IERC4626Events::Transfer(_) | IERC4626Events::Approval(_)) => Ok(()),
        }
    }

    fn apply_own_event(&mut self, vault: Address, event: &IVaultEvents) -> Result<(), EventError> {
        match event {
            IVaultEvents::OwnershipTransferred(event) => {
                // The first event of the constructor.
                if event.previousOwner.is_zero() { self.create_vault(vault) } else { Ok(()) }
            }
            IVaultEvents::AccrueVault(event) => self.accrue_vault(vault, event),
            IVaultEvents::Allocate(event) => {
                let state = self.vault_state(vault)?;
                subtract(&mut state.idle, event.assets, Quantity::IdleAssets(vault))?;
                add(held(state, vault, MarketId(event.id))?, event.shares, Quantity::SupplyShares(vault))
            }
            IVaultEvents::Deallocate(event) => self.deallocate(vault, event),
            IVaultEvents::RedeemInKind(event) => self.redeem_in_kind(vault, event),
            IVaultEvents::EnableMarket(event) => {
                let holdings = &mut self.vault_state(vault)?.holdings;
                holdings.push(Holding { market: MarketId(event.id), shares: 0 });
                Ok(())
            }
            IVaultEvents::RemoveMarket(event) => {
                let (state, id) = (self.vault_state(vault)?, MarketId(event.id));
                let index = state.holdings.iter().position(|holding| holding.market == id);
                state.holdings.swap_remove(index.ok_or(EventError::NotInVault { vault, market: id })?);
                state.deposit_market = state.deposit_market.filter(|market| *market != id);
                Ok(())
            }
            IVaultEvents::SetCap(event) => {
                let cap = Cap {
                    absolute: checked(event.absolute, Quantity::Cap(vault))?,
                    relative_bps: checked(event.relativeBps, Quantity::Cap(vault))?,
                };
                self.vault_state(vault)?.caps.insert(event.capId, cap);
                Ok(())
            }
            IVaultEvents::NudgeCap(event) => {
                let absolute = checked(event.absolute, Quantity::Cap(vault))?;
                self.vault_state(vault)?.caps.entry(event.capId).or_default().absolute = absolute;
                Ok(())
            }
            IVaultEvents::SetFee(event) => {
                self.vault_state(vault)?.fee_bps = checked(event.feeBps, Quantity::Fee)?;
                Ok(())
            }
            IVaultEvents::SetMaxRate(event) => {
                self.vault_state(vault)?.max_rate = checked(event.maxRatePerSecond, Quantity::MaxRate(vault))?;
                Ok(())
            }
            IVaultEvents::SetAllocator(event) => {
                let allocators = &mut self.vault_state(vault)?.allocators;
                if event.allowed {
                    allocators.insert(event.account);
                } else {
                    allocators.remove(&event.account);
                }
                Ok(())
            }
            IVaultEvents::SetDepositMarket(event) => {
                let market = Some(event.id).filter(|id| !id.is_zero()).map(MarketId);
                self.vault_state(vault)?.deposit_market = market;
                Ok(())
            }
            // No decision depends on the other roles, on submissions and on the order of withdrawals.
            IVaultEvents::SetFeeRecipient(_)
            | IVaultEvents::SetCurator(_)
            | IVaultEvents::SetGuardian(_)
            | IVaultEvents::SetWithdrawOrder(_)
            | IVaultEvents::OwnershipTransferStarted(_)
            | IVaultEvents::Submit(_)
            | IVaultEvents::Revoke(_)
            | IVaultEvents::Execute(_)
            | IVaultEvents::Abdicate(_) => Ok(()),
        }
    }

    fn create_vault(&mut self, vault: Address) -> Result<(), EventError> {
        if self.book.vault_index(vault).is_some() {
            return Err(EventError::DuplicateVault(vault));
        }
        let index = u32::try_from(self.book.vaults.len()).map_err(|_| EventError::CapacityExceeded)?;
        self.book.vaults.push(VaultBook::new(vault, self.block.timestamp));
        self.changes.push(Change::VaultCreated { vault: index });
        Ok(())
    }

    /// Updates a vault's value, and compares it with what its positions are worth by the book. Not where the book lacks
    /// one of their markets.
    fn accrue_vault(&mut self, vault: Address, event: &IVault::AccrueVault) -> Result<(), EventError> {
        let timestamp = self.block.timestamp;
        let state = self.vault_state(vault)?.clone();
        if let Some(real) = self.real_value(&state) {
            let computed = [(Figure::VaultValue(vault), U256::from(real), event.real)];
            let total = U256::from(state.total_at(real, timestamp));
            for (figure, computed, stated) in
                computed.into_iter().chain([(Figure::VaultTotal(vault), total, event.total)])
            {
                if computed != stated {
                    return Err(EventError::Mismatch { figure, stated, computed });
                }
            }
        }
        let state = self.vault_state(vault)?;
        state.last_total = checked(event.total, Quantity::VaultTotal(vault))?;
        state.high_water_mark = checked(event.highWaterMark, Quantity::VaultTotal(vault))?;
        state.last_update = timestamp;
        Ok(())
    }

    /// Returns the value of a vault's idle assets and positions at the block's time; `None` if a market is missing.
    fn real_value(&self, state: &VaultState) -> Option<u128> {
        let mut real = state.idle;
        for holding in state.holdings.iter().filter(|holding| holding.shares != 0) {
            let totals = self.book.market(holding.market)?.at(self.block.timestamp);
            let value = to_assets_down(holding.shares, totals.supply_assets, totals.supply_shares);
            real = real.checked_add(value)?;
        }
        Some(real)
    }

    /// Takes shares out of a market: to idle, or as a part of the withdrawal before it.
    fn deallocate(&mut self, vault: Address, event: &IVault::Deallocate) -> Result<(), EventError> {
        let state = self.vault_state(vault)?;
        subtract(held(state, vault, MarketId(event.id))?, event.shares, Quantity::SupplyShares(vault))?;
        if event.toIdle {
            return add(&mut state.idle, event.assets, Quantity::IdleAssets(vault));
        }
        let exit = self.exit.as_mut().filter(|exit| exit.vault == vault);
        let exit = exit.ok_or(EventError::NoWithdrawal(vault))?;
        subtract(&mut exit.owed, event.assets, Quantity::Withdrawal(vault))
    }

    /// Replaces the assets of the withdrawal before it by a part of idle and of each position.
    fn redeem_in_kind(&mut self, vault: Address, event: &IVault::RedeemInKind) -> Result<(), EventError> {
        let exit = self.exit.take().filter(|exit| exit.vault == vault).ok_or(EventError::NoWithdrawal(vault))?;
        let state = self.vault_state(vault)?;
        add(&mut state.idle, U256::from(exit.from_idle), Quantity::IdleAssets(vault))?;
        subtract(&mut state.idle, event.idleAssets, Quantity::IdleAssets(vault))?;
        for (holding, shares) in state.holdings.iter_mut().zip(&event.supplyShares) {
            subtract(&mut holding.shares, *shares, Quantity::SupplyShares(vault))?;
        }
        Ok(())
    }

    /// Returns a vault's state for a change. The first call of an application records the previous state.
    fn vault_state(&mut self, vault: Address) -> Result<&mut VaultState, EventError> {
        let index = self.book.vault_index(vault).ok_or(EventError::UnknownVault(vault))?;
        let applications = self.book.applications;
        let entry = &mut self.book.vaults[at(index)];
        if entry.recorded_in != applications {
            entry.recorded_in = applications;
            self.changes.push(Change::Vault { vault: index, before: Box::new(entry.state.clone()) });
        }
        Ok(&mut entry.state)
    }
}

/// Returns the shares that a vault counts in a market.
fn held(state: &mut VaultState, vault: Address, market: MarketId) -> Result<&mut u128, EventError> {
    let holding = state.holdings.iter_mut().find(|holding| holding.market == market);
    Ok(&mut holding.ok_or(EventError::NotInVault { vault, market })?.shares)
}
