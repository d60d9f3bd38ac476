//! Applying the lending core's events.

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::{
    IPlimsoll::{self, IPlimsollEvents},
    MarketId, Risk,
};

use super::{Application, add, checked, subtract};
use crate::{
    book::{
        at,
        error::{EventError, Quantity},
        market::{CoverKey, MarketBook, MarketState},
        positions::Position,
        undo_log::Change,
    },
    math::{debt::saturating_total_after_repay, types::Market},
};

impl Application<'_> {
    pub(super) fn apply_core_event(&mut self, event: &IPlimsollEvents) -> Result<(), EventError> {
        match event {
            IPlimsollEvents::CreateMarket(event) => self.create_market(event),
            IPlimsollEvents::Accrue(event) => self.accrue(event),
            IPlimsollEvents::Supply(event) => self.supply(event),
            IPlimsollEvents::Withdraw(event) => self.withdraw(event),
            IPlimsollEvents::TransferSupply(event) => self.transfer_supply(event),
            IPlimsollEvents::SupplyCollateral(event) => {
                let market = self.market(event.id)?;
                self.change_position(market, event.onBehalf, |position| {
                    add(&mut position.collateral, event.assets, Quantity::Collateral(event.onBehalf))
                })
            }
            IPlimsollEvents::WithdrawCollateral(event) => {
                let market = self.market(event.id)?;
                self.change_position(market, event.onBehalf, |position| {
                    subtract(&mut position.collateral, event.assets, Quantity::Collateral(event.onBehalf))
                })
            }
            IPlimsollEvents::Borrow(event) => self.borrow(event),
            IPlimsollEvents::Repay(event) => {
                let IPlimsoll::Repay { id, onBehalf, assets, shares, .. } = event;
                self.refund_surge(*id, *assets)?;
                self.reduce_debt(*id, *onBehalf, [*assets, *shares, U256::ZERO])
            }
            IPlimsollEvents::Liquidate(event) => {
                let IPlimsoll::Liquidate { id, borrower, repaid, shares, seized, badDebt, .. } = event;
                self.refund_surge(*id, *repaid)?;
                self.reduce_debt(*id, *borrower, [repaid.saturating_add(*badDebt), *shares, *seized])
            }
            IPlimsollEvents::RealiseLoss(event) => self.realise_loss(event),
            IPlimsollEvents::CollectReserve(event) => {
                let totals = self.totals(event.id)?;
                subtract(&mut totals.supply_assets, event.assets, Quantity::SupplyAssets)?;
                subtract(&mut totals.supply_shares, event.shares, Quantity::TotalSupplyShares)?;
                subtract(&mut totals.reserve_shares, event.shares, Quantity::ReserveShares)
            }
            IPlimsollEvents::DepositCover(event) => {
                let key = CoverKey::Amount(event.backstop, event.token);
                let (has, adds) = (self.book.cover.get(key), event.assets);
                let sum = has.checked_add(adds);
                let quantity = Quantity::Cover(event.backstop);
                self.set_cover(key, sum.ok_or(EventError::Overflow { quantity, has, adds })?)
            }
            IPlimsollEvents::WithdrawCover(event) => {
                let key = CoverKey::Amount(event.backstop, event.token);
                self.subtract_cover(key, event.assets, Quantity::Cover(event.backstop))
            }
            IPlimsollEvents::SetCoverFloor(event) => {
                self.set_cover(CoverKey::Floor(event.backstop, event.token), event.floor)
            }
            // Anybody can set a limit for any market.
            IPlimsollEvents::SetCoverLimit(event) if !self.book.coverage.contains(&event.id) => Ok(()),
            IPlimsollEvents::SetCoverLimit(event) => {
                self.market(event.id)?;
                self.set_cover(CoverKey::Limit(event.backstop, MarketId(event.id)), event.limit)
            }
            IPlimsollEvents::SetFee(event) => {
                let totals = self.totals(event.id)?;
                totals.fee_bps = checked(event.feeBps, Quantity::Fee)?;
                Ok(())
            }
            IPlimsollEvents::SetFeeRecipient(event) => {
                let market = self.market(event.id)?;
                self.state(market).fee_recipient = event.recipient;
                Ok(())
            }
            IPlimsollEvents::SetBackstop(event) => {
                let market = self.market(event.id)?;
                self.state(market).backstop = event.backstop;
                Ok(())
            }
            // Authorisations, nonces of signatures and the owner are not in the book.
            IPlimsollEvents::FlashLoan(_)
            | IPlimsollEvents::SetAuthorization(_)
            | IPlimsollEvents::UseNonce(_)
            | IPlimsollEvents::OwnershipTransferStarted(_)
            | IPlimsollEvents::OwnershipTransferred(_) => Ok(()),
        }
    }

    fn create_market(&mut self, event: &IPlimsoll::CreateMarket) -> Result<(), EventError> {
        let number = self.book.coverage.next_market;
        let market = MarketBook::new(number, &event.params, self.block.timestamp)?;
        let (stated, computed) = (MarketId(event.id), market.id());
        if stated != computed {
            return Err(EventError::WrongMarketId { stated, computed });
        }
        if self.book.market_by_id.contains_key(&event.id) {
            return Err(EventError::DuplicateMarket(stated));
        }
        let index = u32::try_from(self.book.markets.len()).map_err(|_| EventError::CapacityExceeded)?;
        self.book.market_by_id.insert(event.id, index);
        self.book.markets.push(market);
        self.book.coverage.next_market = number.checked_add(1).ok_or(EventError::CapacityExceeded)?;
        self.changes.push(Change::MarketCreated { market: index });
        Ok(())
    }

    /// Applies an accrual of interest, and compares the totals with those that the rates result in: a missed event of
    /// the market shows at its next accrual.
    fn accrue(&mut self, event: &IPlimsoll::Accrue) -> Result<(), EventError> {
        let timestamp = self.block.timestamp;
        if event.timestamp != U256::from(timestamp) {
            return Err(EventError::WrongTimestamp { stated: event.timestamp, block: timestamp });
        }
        let market = self.market(event.id)?;
        let computed = self.book.markets[at(market)].at(timestamp);

        let totals = &mut self.state(market).totals;
        // No event states the level: it follows from the time, and from what is borrowed and paid in.
        totals.surge_level = computed.surge_level;
        let interest: U256 = event.interest >> 32;
        add(&mut totals.supply_assets, interest, Quantity::SupplyAssets)?;
        add(&mut totals.borrow_assets, interest, Quantity::BorrowAssets)?;
        add(&mut totals.supply_shares, event.feeShares, Quantity::TotalSupplyShares)?;
        add(&mut totals.reserve_shares, event.feeShares, Quantity::ReserveShares)?;
        totals.interest_remainder = event.interest.wrapping_to();
        totals.rate_at_target = checked(event.rateAtTarget, Quantity::RateAtTarget)?;
        totals.last_update = timestamp;
        if *totals == computed {
            return Ok(());
        }
        Err(EventError::InterestMismatch { stated: Box::new(*totals), computed: Box::new(computed) })
    }

    fn supply(&mut self, event: &IPlimsoll::Supply) -> Result<(), EventError> {
        let totals = self.totals(event.id)?;
        add(&mut totals.supply_assets, event.assets, Quantity::SupplyAssets)?;
        add(&mut totals.supply_shares, event.shares, Quantity::TotalSupplyShares)?;
        let market = self.market(event.id)?;
        self.change_position(market, event.onBehalf, |position| {
            add(&mut position.supply_shares, event.shares, Quantity::SupplyShares(event.onBehalf))
        })
    }

    fn withdraw(&mut self, event: &IPlimsoll::Withdraw) -> Result<(), EventError> {
        let totals = self.totals(event.id)?;
        subtract(&mut totals.supply_assets, event.assets, Quantity::SupplyAssets)?;
        subtract(&mut totals.supply_shares, event.shares, Quantity::TotalSupplyShares)?;
        let market = self.market(event.id)?;
        self.change_position(market, event.onBehalf, |position| {
            subtract(&mut position.supply_shares, event.shares, Quantity::SupplyShares(event.onBehalf))
        })
    }

    fn transfer_supply(&mut self, event: &IPlimsoll::TransferSupply) -> Result<(), EventError> {
        let market = self.market(event.id)?;
        self.change_position(market, event.onBehalf, |position| {
            subtract(&mut position.supply_shares, event.shares, Quantity::SupplyShares(event.onBehalf))
        })?;
        self.change_position(market, event.receiver, |position| {
            add(&mut position.supply_shares, event.shares, Quantity::SupplyShares(event.receiver))
        })
    }

    fn borrow(&mut self, event: &IPlimsoll::Borrow) -> Result<(), EventError> {
        let risk = self.risk(event.id)?;
        let totals = self.totals(event.id)?;
        let assets = checked(event.assets, Quantity::BorrowAssets)?;
        // The core refuses to lend more, so an event was missed.
        if let Some(room) = totals.surge_room(risk).filter(|room| *room < assets) {
            let (quantity, has) = (Quantity::SurgeRoom, U256::from(room));
            return Err(EventError::Underflow { quantity, has, takes: event.assets });
        }
        totals.charge_surge(risk, assets);
        add(&mut totals.borrow_assets, event.assets, Quantity::BorrowAssets)?;
        add(&mut totals.borrow_shares, event.shares, Quantity::TotalBorrowShares)?;
        let market = self.market(event.id)?;
        self.change_position(market, event.onBehalf, |position| {
            add(&mut position.borrow_shares, event.shares, Quantity::BorrowShares(event.onBehalf))
        })
    }

    /// Gives back to the surge limit what was paid in, before it is subtracted from the debt.
    fn refund_surge(&mut self, id: B256, assets: U256) -> Result<(), EventError> {
        let risk = self.risk(id)?;
        self.totals(id)?.refund_surge(risk, checked(assets, Quantity::BorrowAssets)?);
        Ok(())
    }

    /// Subtracts borrow assets and borrow shares from the market, and borrow shares and collateral from the account.
    /// The amounts are assets, shares and collateral.
    fn reduce_debt(&mut self, id: B256, account: Address, amounts: [U256; 3]) -> Result<(), EventError> {
        let [assets, shares, collateral] = amounts;
        let totals = self.totals(id)?;
        subtract(&mut totals.borrow_shares, shares, Quantity::TotalBorrowShares)?;
        subtract(&mut totals.borrow_assets, assets, Quantity::BorrowAssets)?;
        totals.borrow_assets = saturating_total_after_repay(totals.borrow_assets, 0, totals.borrow_shares);
        let market = self.market(id)?;
        self.change_position(market, account, |position| {
            subtract(&mut position.borrow_shares, shares, Quantity::BorrowShares(account))?;
            subtract(&mut position.collateral, collateral, Quantity::Collateral(account))
        })
    }

    /// Charges bad debt to the reserve, to cover, and to suppliers for the rest.
    fn realise_loss(&mut self, event: &IPlimsoll::RealiseLoss) -> Result<(), EventError> {
        let IPlimsoll::RealiseLoss { id, backstop, loss, reserveShares, fromCover, .. } = event;
        let totals = self.totals(*id)?;
        let quantity = Quantity::Cover(*backstop);
        let from_others =
            loss.checked_sub(*fromCover).ok_or(EventError::Underflow { quantity, has: *loss, takes: *fromCover })?;
        subtract(&mut totals.supply_assets, from_others, Quantity::SupplyAssets)?;
        subtract(&mut totals.supply_shares, *reserveShares, Quantity::TotalSupplyShares)?;
        subtract(&mut totals.reserve_shares, *reserveShares, Quantity::ReserveShares)?;
        // What a backstop keeps is known only of those that are followed.
        if fromCover.is_zero() || !self.book.coverage.contains(&backstop.into_word()) {
            return Ok(());
        }
        let market = self.market(*id)?;
        let token = self.book.markets[at(market)].params().loanToken;
        self.subtract_cover(CoverKey::Amount(*backstop, token), *fromCover, quantity)?;
        self.subtract_cover(CoverKey::Limit(*backstop, MarketId(*id)), *fromCover, Quantity::CoverLimit(*backstop))
    }

    /// Returns the number of a market.
    pub(super) fn market(&self, id: B256) -> Result<u32, EventError> {
        self.book.market_by_id.get(&id).copied().ok_or(EventError::UnknownMarket(MarketId(id)))
    }

    /// Returns a market's state for a change. The first call of an application records the previous state.
    fn state(&mut self, market: u32) -> &mut MarketState {
        let Self { book, changes, .. } = self;
        let applications = book.applications;
        let entry = &mut book.markets[at(market)];
        if entry.recorded_in != applications {
            entry.recorded_in = applications;
            changes.push(Change::Market { market, before: Box::new(entry.state) });
        }
        &mut entry.state
    }

    fn risk(&self, id: B256) -> Result<Risk, EventError> {
        Ok(self.book.markets[at(self.market(id)?)].risk())
    }

    fn totals(&mut self, id: B256) -> Result<&mut Market, EventError> {
        let market = self.market(id)?;
        Ok(&mut self.state(market).totals)
    }

    /// Changes an account's position, and records the previous one. No row is created for a position that stays empty.
    fn change_position(
        &mut self,
        market: u32,
        account: Address,
        change: impl FnOnce(&mut Position) -> Result<(), EventError>,
    ) -> Result<(), EventError> {
        let positions = &mut self.book.markets[at(market)].positions;
        let slot = positions.slot(account);
        let before = slot.map(|slot| positions.get(slot)).unwrap_or_default();
        let mut after = before;
        change(&mut after)?;
        if after == before {
            return Ok(());
        }
        let slot = match slot {
            Some(slot) => {
                self.changes.push(Change::Position { market, slot, before });
                slot
            }
            None => {
                let slot = positions.push(account).ok_or(EventError::CapacityExceeded)?;
                self.changes.push(Change::PositionCreated { market, slot });
                slot
            }
        };
        self.book.markets[at(market)].set_position(slot, after);
        Ok(())
    }

    fn set_cover(&mut self, key: CoverKey, amount: U256) -> Result<(), EventError> {
        let before = self.book.cover.set(key, amount);
        self.changes.push(Change::Cover(Box::new((key, before))));
        Ok(())
    }

    fn subtract_cover(&mut self, key: CoverKey, takes: U256, quantity: Quantity) -> Result<(), EventError> {
        let has = self.book.cover.get(key);
        let rest = has.checked_sub(takes).ok_or(EventError::Underflow { quantity, has, takes })?;
        self.set_cover(key, rest)
    }
}
