//! What the lending core's events change.

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::{
    IPlimsoll::{self, IPlimsollEvents},
    MarketId,
};

use super::{Application, add, fitting, take};
use crate::{
    book::{
        at,
        cover::CoverKey,
        error::{Problem, Quantity},
        market::{MarketBook, MarketState},
        positions::Position,
        undo::Change,
    },
    math::{debt::total_after, market::Market},
};

impl Application<'_> {
    pub(super) fn core(&mut self, event: &IPlimsollEvents) -> Result<(), Problem> {
        match event {
            IPlimsollEvents::CreateMarket(event) => self.create_market(event),
            IPlimsollEvents::Accrue(event) => self.accrue(event),
            IPlimsollEvents::Supply(event) => self.supply(event),
            IPlimsollEvents::Withdraw(event) => self.withdraw(event),
            IPlimsollEvents::SupplyCollateral(event) => {
                let market = self.market(event.id)?;
                self.position(market, event.onBehalf, |position| {
                    add(&mut position.collateral, event.assets, Quantity::Collateral(event.onBehalf))
                })
            }
            IPlimsollEvents::WithdrawCollateral(event) => {
                let market = self.market(event.id)?;
                self.position(market, event.onBehalf, |position| {
                    take(&mut position.collateral, event.assets, Quantity::Collateral(event.onBehalf))
                })
            }
            IPlimsollEvents::Borrow(event) => self.borrow(event),
            IPlimsollEvents::Repay(event) => {
                let IPlimsoll::Repay { id, onBehalf, assets, shares, .. } = event;
                self.reduce_debt(*id, *onBehalf, [*assets, *shares, U256::ZERO])
            }
            IPlimsollEvents::Liquidate(event) => {
                let IPlimsoll::Liquidate { id, borrower, repaid, shares, seized, badDebt, .. } = event;
                self.reduce_debt(*id, *borrower, [repaid.saturating_add(*badDebt), *shares, *seized])
            }
            IPlimsollEvents::RealiseLoss(event) => self.realise_loss(event),
            IPlimsollEvents::CollectReserve(event) => {
                let totals = self.totals(event.id)?;
                take(&mut totals.supply_assets, event.assets, Quantity::SupplyAssets)?;
                take(&mut totals.supply_shares, event.shares, Quantity::TotalSupplyShares)?;
                take(&mut totals.reserve_shares, event.shares, Quantity::ReserveShares)
            }
            IPlimsollEvents::DepositCover(event) => {
                let key = CoverKey::Amount(event.backstop, event.token);
                let (has, adds) = (self.book.cover.get(key), event.assets);
                let sum = has.checked_add(adds);
                let quantity = Quantity::Cover(event.backstop);
                self.set_cover(key, sum.ok_or(Problem::TooLarge { quantity, has, adds })?)
            }
            IPlimsollEvents::WithdrawCover(event) => {
                let key = CoverKey::Amount(event.backstop, event.token);
                self.take_cover(key, event.assets, Quantity::Cover(event.backstop))
            }
            IPlimsollEvents::SetCoverFloor(event) => {
                self.set_cover(CoverKey::Floor(event.backstop, event.token), event.floor)
            }
            IPlimsollEvents::SetCoverLimit(event) => {
                self.market(event.id)?;
                self.set_cover(CoverKey::Limit(event.backstop, MarketId(event.id)), event.limit)
            }
            IPlimsollEvents::SetFee(event) => {
                let totals = self.totals(event.id)?;
                totals.fee_bps = fitting(event.feeBps, Quantity::Fee)?;
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
            // Who may act for whom and who owns the contract changes nothing that is in the book.
            IPlimsollEvents::FlashLoan(_)
            | IPlimsollEvents::SetAuthorization(_)
            | IPlimsollEvents::UseNonce(_)
            | IPlimsollEvents::OwnershipTransferStarted(_)
            | IPlimsollEvents::OwnershipTransferred(_) => Ok(()),
        }
    }

    fn create_market(&mut self, event: &IPlimsoll::CreateMarket) -> Result<(), Problem> {
        let market = MarketBook::new(&event.params, self.block.timestamp)?;
        let (stated, computed) = (MarketId(event.id), market.id());
        if stated != computed {
            return Err(Problem::WrongId { stated, computed });
        }
        if self.book.by_id.contains_key(&event.id) {
            return Err(Problem::MarketTwice(stated));
        }
        let index = u32::try_from(self.book.markets.len()).map_err(|_| Problem::Full)?;
        self.book.by_id.insert(event.id, index);
        self.book.markets.push(market);
        self.changes.push(Change::MarketCreated { market: index });
        Ok(())
    }

    /// Interest is computed here as well: a market of which an event was missed is noticed at its next accrual.
    fn accrue(&mut self, event: &IPlimsoll::Accrue) -> Result<(), Problem> {
        let timestamp = self.block.timestamp;
        if event.timestamp != U256::from(timestamp) {
            return Err(Problem::WrongTime { stated: event.timestamp, block: timestamp });
        }
        let market = self.market(event.id)?;
        let computed = self.book.markets[at(market)].at(timestamp);

        let totals = &mut self.state(market).totals;
        let interest: U256 = event.interest >> 32;
        add(&mut totals.supply_assets, interest, Quantity::SupplyAssets)?;
        add(&mut totals.borrow_assets, interest, Quantity::BorrowAssets)?;
        add(&mut totals.supply_shares, event.feeShares, Quantity::TotalSupplyShares)?;
        add(&mut totals.reserve_shares, event.feeShares, Quantity::ReserveShares)?;
        totals.interest_remainder = event.interest.wrapping_to();
        totals.rate_at_target = fitting(event.rateAtTarget, Quantity::RateAtTarget)?;
        totals.last_update = timestamp;
        if *totals == computed {
            return Ok(());
        }
        Err(Problem::Interest { stated: Box::new(*totals), computed: Box::new(computed) })
    }

    fn supply(&mut self, event: &IPlimsoll::Supply) -> Result<(), Problem> {
        let totals = self.totals(event.id)?;
        add(&mut totals.supply_assets, event.assets, Quantity::SupplyAssets)?;
        add(&mut totals.supply_shares, event.shares, Quantity::TotalSupplyShares)?;
        let market = self.market(event.id)?;
        self.position(market, event.onBehalf, |position| {
            add(&mut position.supply_shares, event.shares, Quantity::SupplyShares(event.onBehalf))
        })
    }

    fn withdraw(&mut self, event: &IPlimsoll::Withdraw) -> Result<(), Problem> {
        let totals = self.totals(event.id)?;
        take(&mut totals.supply_assets, event.assets, Quantity::SupplyAssets)?;
        take(&mut totals.supply_shares, event.shares, Quantity::TotalSupplyShares)?;
        let market = self.market(event.id)?;
        self.position(market, event.onBehalf, |position| {
            take(&mut position.supply_shares, event.shares, Quantity::SupplyShares(event.onBehalf))
        })
    }

    fn borrow(&mut self, event: &IPlimsoll::Borrow) -> Result<(), Problem> {
        let totals = self.totals(event.id)?;
        add(&mut totals.borrow_assets, event.assets, Quantity::BorrowAssets)?;
        add(&mut totals.borrow_shares, event.shares, Quantity::TotalBorrowShares)?;
        let market = self.market(event.id)?;
        self.position(market, event.onBehalf, |position| {
            add(&mut position.borrow_shares, event.shares, Quantity::BorrowShares(event.onBehalf))
        })
    }

    /// Takes borrow assets and shares off the market, borrow shares and collateral off the account.
    fn reduce_debt(&mut self, id: B256, account: Address, taken: [U256; 3]) -> Result<(), Problem> {
        let [assets, shares, collateral] = taken;
        let totals = self.totals(id)?;
        take(&mut totals.borrow_shares, shares, Quantity::TotalBorrowShares)?;
        take(&mut totals.borrow_assets, assets, Quantity::BorrowAssets)?;
        totals.borrow_assets = total_after(totals.borrow_assets, 0, totals.borrow_shares);
        let market = self.market(id)?;
        self.position(market, account, |position| {
            take(&mut position.borrow_shares, shares, Quantity::BorrowShares(account))?;
            take(&mut position.collateral, collateral, Quantity::Collateral(account))
        })
    }

    fn realise_loss(&mut self, event: &IPlimsoll::RealiseLoss) -> Result<(), Problem> {
        let IPlimsoll::RealiseLoss { id, backstop, loss, reserveShares, fromCover, .. } = event;
        let totals = self.totals(*id)?;
        let quantity = Quantity::Cover(*backstop);
        let from_others =
            loss.checked_sub(*fromCover).ok_or(Problem::Overdrawn { quantity, has: *loss, takes: *fromCover })?;
        take(&mut totals.supply_assets, from_others, Quantity::SupplyAssets)?;
        take(&mut totals.supply_shares, *reserveShares, Quantity::TotalSupplyShares)?;
        take(&mut totals.reserve_shares, *reserveShares, Quantity::ReserveShares)?;
        if fromCover.is_zero() {
            return Ok(());
        }
        let market = self.market(*id)?;
        let token = self.book.markets[at(market)].params().loanToken;
        self.take_cover(CoverKey::Amount(*backstop, token), *fromCover, quantity)?;
        self.take_cover(CoverKey::Limit(*backstop, MarketId(*id)), *fromCover, Quantity::CoverLimit(*backstop))
    }

    fn market(&self, id: B256) -> Result<u32, Problem> {
        self.book.by_id.get(&id).copied().ok_or(Problem::UnknownMarket(MarketId(id)))
    }

    /// A market's state, to be changed: it is on record from the first time in a block on.
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

    fn totals(&mut self, id: B256) -> Result<&mut Market, Problem> {
        let market = self.market(id)?;
        Ok(&mut self.state(market).totals)
    }

    /// Changes an account's position, and keeps what it was. An account that gets nothing gets no row.
    fn position(
        &mut self,
        market: u32,
        account: Address,
        change: impl FnOnce(&mut Position) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
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
                let slot = positions.push(account).ok_or(Problem::Full)?;
                self.changes.push(Change::PositionCreated { market, slot });
                slot
            }
        };
        positions.set(slot, after);
        Ok(())
    }

    fn set_cover(&mut self, key: CoverKey, amount: U256) -> Result<(), Problem> {
        let before = self.book.cover.set(key, amount);
        self.changes.push(Change::Cover(Box::new((key, before))));
        Ok(())
    }

    fn take_cover(&mut self, key: CoverKey, takes: U256, quantity: Quantity) -> Result<(), Problem> {
        let has = self.book.cover.get(key);
        let left = has.checked_sub(takes).ok_or(Problem::Overdrawn { quantity, has, takes })?;
        self.set_cover(key, left)
    }
}
