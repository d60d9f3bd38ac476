"""The lemmas. Each says in its docstring what it means for people, and names the Solidity functions that it is about, and
a fault that a careless change could bring in and that the same claim must refute.

A lemma is a function of a case `p` (variables, assumptions, steps, claims) and a model `m` (the formulas). It holds for all
naturals within the stated bounds; steps are the proof, in the order in which one would write it on paper.
"""

from dataclasses import dataclass
from typing import Callable

from arithmetic import WORD
from model import BPS, BREAKEVEN, EPOCH_SECONDS, FULL, INSOLVENT, LIMIT, MAX_INCENTIVE_FACTOR, MAX_LTV_BPS, RAMP
from model import ACCUMULATOR_BITS, MAX_SHARES_PER_ASSET, ORACLE_SCALE, SHIFT, VIRTUAL_ASSETS, VIRTUAL_SHARES, WAD, Model


@dataclass(frozen=True)
class Lemma:
    name: str
    statement: str
    solidity: list
    prove: Callable
    planted: str
    fault: type
    hints: dict


LEMMAS = []

# Where a formula is inline in a contract: the tests that hold the contract to the same formula. All others are compared by
# vectors (`vectors.py`).
TIED_BY_TESTS = {
    "Plimsoll.borrow": "core/Borrow.t.sol testFuzz_byShares",
    "Plimsoll._liquidateLoan": "core/Liquidate.t.sol testFuzz_slice, invariants/LiquidationRules.sol",
    "Plimsoll.deleverage": "proofs/Deleverage.t.sol testFuzz_mostCollateralOut",
    "StreamLib.project": "rewards/Remainders.t.sol, rewards/RewardsInvariants.t.sol",
}


def lemma(solidity, planted, fault, **hints):
    """Registers a lemma. `planted` says in words what the model `fault` does wrong; hints fix variables of the
    counterexample that is searched."""

    def register(prove):
        name, statement = prove.__name__.replace("_", "-"), " ".join(prove.__doc__.split())
        LEMMAS.append(Lemma(name, statement, solidity.split(", "), prove, planted, fault, hints))
        return prove

    return register


# Supply shares


class SharesOfASupplyRoundedUp(Model):
    def to_shares_down(self, *of):
        return self.to_shares_up(*of)


class AssetsOfASupplyRoundedDown(Model):
    def to_assets_up(self, *of):
        return self.to_assets_down(*of)


class SharesOfAWithdrawalRoundedDown(Model):
    def to_shares_up(self, *of):
        return self.to_shares_down(*of)


class AssetsOfAWithdrawalRoundedUp(Model):
    def to_assets_down(self, *of):
        return self.to_assets_up(*of)


def stored_supply(p, total_assets, total_shares):
    """`MarketPacking.store` refuses totals beyond their range."""
    p.assume(total_assets < LIMIT)
    p.assume(total_shares < LIMIT - VIRTUAL_SHARES)
    return total_assets, total_shares


def supply_totals(p):
    """Total assets and shares of a market's supply, as storage can have them."""
    return p.natural("total_assets", LIMIT), p.natural("total_shares", LIMIT - VIRTUAL_SHARES)


@lemma("SharesMath.toSharesDown, SharesMath.toAssetsDown", "toSharesDown rounds up", SharesOfASupplyRoundedUp)
def supply_then_withdraw_by_assets(p, m):
    """An account that supplies an amount and withdraws the shares it got receives no more than it supplied."""
    total_assets, total_shares = supply_totals(p)
    assets = p.natural("assets", LIMIT)
    shares = m.to_shares_down(assets, total_assets, total_shares)
    received = m.to_assets_down(shares, *stored_supply(p, total_assets + assets, total_shares + shares))
    p.claim(received <= assets)


@lemma("SharesMath.toAssetsUp, SharesMath.toAssetsDown", "toAssetsUp rounds down", AssetsOfASupplyRoundedDown)
def supply_then_withdraw_by_shares(p, m):
    """An account that supplies for a number of shares pays at least their worth, and withdraws no more than it paid."""
    total_assets, total_shares = supply_totals(p)
    shares = p.natural("shares", LIMIT)
    assets = m.to_assets_up(shares, total_assets, total_shares)
    received = m.to_assets_down(shares, *stored_supply(p, total_assets + assets, total_shares + shares))
    p.claim(assets * (total_shares + VIRTUAL_SHARES) >= shares * (total_assets + VIRTUAL_ASSETS))
    p.claim(received <= assets)


@lemma("SharesMath.toSharesUp, SharesMath.toSharesDown", "toSharesUp rounds down", SharesOfAWithdrawalRoundedDown)
def withdraw_then_supply(p, m):
    """An account that withdraws an amount and supplies it again has no more shares than before."""
    total_assets, total_shares = supply_totals(p)
    assets = p.natural("assets", LIMIT)
    burned = m.to_shares_up(assets, total_assets, total_shares)
    p.assume(assets <= total_assets)
    p.assume(burned <= total_shares)
    minted = m.to_shares_down(assets, total_assets - assets, total_shares - burned)
    p.claim(minted <= burned)


@lemma("SharesMath.toSharesDown, SharesMath.toAssetsUp", "toSharesDown rounds up", SharesOfASupplyRoundedUp)
def supply_lowers_no_share_price(p, m):
    """A supply, by assets or by shares, lowers the price of a supply share for nobody (A5), and no number of shares wraps
    before `MarketPacking` refuses it."""
    total_assets, total_shares = supply_totals(p)
    amount = p.natural("amount", LIMIT)
    shares = m.to_shares_down(amount, total_assets, total_shares)
    assets = m.to_assets_up(amount, total_assets, total_shares)
    before_assets, before_shares = total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES
    p.claim(before_shares + shares < WORD)
    p.claim((before_assets + amount) * before_shares >= before_assets * (before_shares + shares))
    p.claim((before_assets + assets) * before_shares >= before_assets * (before_shares + amount))


@lemma("SharesMath.toSharesUp, SharesMath.toAssetsDown", "toAssetsDown rounds up", AssetsOfAWithdrawalRoundedUp)
def withdrawal_lowers_no_share_price(p, m):
    """A withdrawal, by assets or by shares, lowers the price of a supply share for nobody (A5)."""
    total_assets, total_shares = supply_totals(p)
    amount = p.natural("amount", LIMIT)
    shares = m.to_shares_up(amount, total_assets, total_shares)
    assets = m.to_assets_down(amount, total_assets, total_shares)
    before_assets, before_shares = total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES
    p.claim((before_assets - amount) * before_shares >= before_assets * (before_shares - shares))
    p.claim((before_assets - assets) * before_shares >= before_assets * (before_shares - amount))


# Debt shares


class BorrowBySharesKeepsTheShares(Model):
    def borrowed_by_shares(self, shares, total_assets, total_shares):
        return self.floor(shares * total_assets, total_shares), shares


class NoLowestPriceAfterARepayment(Model):
    def saturating_total_after_repay(self, total_assets, removed, shares_left):
        return total_assets - removed


class RedeemedSharesRoundedUp(Model):
    def to_debt_shares_down(self, assets, total_assets, total_shares):
        return self.ceil(assets * total_shares, total_assets)


class DebtRoundedDown(Model):
    def to_debt_up(self, shares, total_assets, total_shares):
        return self.floor(shares * total_assets, total_shares)


class BorrowedSharesRoundedDown(Model):
    def to_debt_shares_up(self, assets, total_assets, total_shares):
        return self.to_debt_shares_down(assets, total_assets, total_shares)


def debt_totals(p):
    """Borrow assets and shares of a market with debt: a share is worth a millionth of a unit at least (A3)."""
    total_assets, total_shares = p.natural("total_assets", LIMIT, 1), p.natural("total_shares", LIMIT, 1)
    p.assume(total_shares <= MAX_SHARES_PER_ASSET * total_assets)
    return total_assets, total_shares


@lemma("DebtMath.toDebtSharesUp, DebtMath.toDebtDown, Plimsoll.borrow",
       "a borrowing by shares keeps the shares beyond whole units", BorrowBySharesKeepsTheShares)
def a_borrowing_keeps_the_lowest_debt_share_price(p, m):
    """After a borrowing, by assets or by shares, a debt share is still worth a millionth of a unit at least (A3): the price
    has a floor, so that no market's debt can come to consist of worthless shares."""
    total_assets, total_shares = debt_totals(p)
    assets, asked = p.natural("assets", LIMIT), p.natural("asked", LIMIT)
    shares = m.to_debt_shares_up(assets, total_assets, total_shares)
    p.claim(total_shares + shares <= MAX_SHARES_PER_ASSET * (total_assets + assets))
    borrowed, shares = m.borrowed_by_shares(asked, total_assets, total_shares)
    p.claim(total_shares + shares <= MAX_SHARES_PER_ASSET * (total_assets + borrowed))


@lemma("DebtMath.saturatingTotalAfterRepay", "the total is the difference alone", NoLowestPriceAfterARepayment)
def a_repayment_keeps_the_lowest_debt_share_price(p, m):
    """After any repayment or write-off a debt share is worth a millionth of a unit at least, and debt is left exactly if
    shares are (A3)."""
    total_assets, total_shares = debt_totals(p)
    removed, redeemed = p.natural("removed", LIMIT), p.natural("redeemed", LIMIT)
    p.assume(removed <= total_assets)
    p.assume(redeemed <= total_shares)
    left = total_shares - redeemed
    total_left = m.saturating_total_after_repay(total_assets, removed, left)
    p.claim(left <= MAX_SHARES_PER_ASSET * total_left)


@lemma("DebtMath.toDebtSharesDown, DebtMath.saturatingTotalAfterRepay",
       "toDebtSharesDown rounds up", RedeemedSharesRoundedUp)
def a_repayment_raises_no_debt_share_price(p, m):
    """A repayment in part raises the price of a debt share by no more than the unit of its lowest price (A5): nobody's debt
    grows because somebody else pays."""
    total_assets, total_shares = debt_totals(p)
    assets = p.natural("assets", LIMIT)
    p.assume(assets <= total_assets)
    redeemed = m.to_debt_shares_down(assets, total_assets, total_shares)
    left = total_shares - redeemed
    total_left = m.saturating_total_after_repay(total_assets, assets, left)
    p.claim(total_left * total_shares <= total_assets * left + total_shares)


@lemma("DebtMath.toDebtUp", "toDebtUp rounds down", DebtRoundedDown)
def debts_add_up_to_the_total(p, m):
    """No account owes more than the market's total debt, and the debts of all accounts are at least that total."""
    total_assets, total_shares = debt_totals(p)
    one = p.natural("shares", LIMIT)
    p.assume(one <= total_shares)
    debt = m.to_debt_up(one, total_assets, total_shares)
    rest = m.to_debt_up(total_shares - one, total_assets, total_shares)
    p.claim(debt <= total_assets)
    p.claim(debt + rest >= total_assets)


@lemma("DebtMath.toDebtSharesUp, DebtMath.toDebtUp", "toDebtSharesUp rounds down", BorrowedSharesRoundedDown)
def borrow_then_repay(p, m):
    """An account that borrows an amount and repays its shares at once pays at least that amount, and at most a unit and a
    share's worth more."""
    total_assets, total_shares = debt_totals(p)
    assets = p.natural("assets", LIMIT, 1)
    shares = m.to_debt_shares_up(assets, total_assets, total_shares)
    p.assume(total_assets + assets < LIMIT)
    p.assume(total_shares + shares < LIMIT)
    owed = m.to_debt_up(shares, total_assets + assets, total_shares + shares)
    p.claim(owed >= assets)
    p.claim((owed - assets - 1) * total_shares <= total_assets)


def loan_in_part(p, m):
    """A loan of some shares, of which an amount is taken off as a repayment in part does."""
    total_assets, total_shares = debt_totals(p)
    shares = p.natural("shares", LIMIT, 1)
    p.assume(shares <= total_shares)
    debt = m.to_debt_up(shares, total_assets, total_shares)
    removed = p.natural("removed", LIMIT)
    p.assume(removed < debt)
    redeemed = m.to_debt_shares_down(removed, total_assets, total_shares)
    p.assume(redeemed < shares)
    return total_assets, total_shares, shares, debt, removed, redeemed


@lemma("DebtMath.toDebtSharesDown, DebtMath.toDebtUp, DebtMath.saturatingTotalAfterRepay", "toDebtSharesDown rounds up",
       RedeemedSharesRoundedUp)
def a_part_leaves_at_least_the_rest(p, m):
    """A loan of which a part is repaid, liquidated or written off owes the rest at least: a liquidation that may leave the
    minimum debt does leave it (H5), and no repayment cancels more than was paid."""
    total_assets, total_shares, shares, debt, removed, redeemed = loan_in_part(p, m)
    left, shares_left = total_shares - redeemed, shares - redeemed
    total_left = m.saturating_total_after_repay(total_assets, removed, left)
    rest = m.to_debt_up(shares_left, total_left, left)
    worth = p.step(redeemed * total_assets <= removed * total_shares, using=[p.about(redeemed)])
    # Its part of the total without rounding, times both numbers of shares.
    p.step((shares_left * (total_assets - removed)) * total_shares
           >= (shares * total_assets - removed * total_shares) * left,
           using=[worth, shares <= total_shares, redeemed < shares, total_shares >= 1, removed >= 0])
    more = p.step(shares_left * total_left >= shares_left * (total_assets - removed),
                  using=[total_left >= total_assets - removed, redeemed < shares])
    p.step(shares_left * total_left * total_shares >= shares_left * (total_assets - removed) * total_shares,
           using=[more, total_shares >= 1])
    p.step(rest * left * total_shares >= shares_left * total_left * total_shares,
           using=[p.about(rest), total_shares >= 1])
    p.step((rest * total_shares - shares * total_assets + removed * total_shares) * left >= 0)
    p.step(rest * total_shares >= shares * total_assets - removed * total_shares, using=[
        (rest * total_shares - shares * total_assets + removed * total_shares) * left >= 0, redeemed < shares,
        shares <= total_shares])
    p.claim(rest >= debt - removed)


# Liquidation


class SteeperMaxIncentive(Model):
    def incentive_of(self, ltv):
        max_factor = self.minimum(MAX_INCENTIVE_FACTOR, self.floor(WAD * WAD, 6 * 10**17 + ltv * 3 * 10**13))
        return ltv, max_factor, WAD + self.floor(max_factor - WAD, 4)


class DistanceByTheWrongDivisor(Model):
    def ramp_incentive_factor_down(self, incentive, debt, value):
        ltv, max_factor, min_factor = incentive
        slope = self.floor((max_factor - min_factor) * WAD, WAD - self.floor(ltv * max_factor, BPS))
        return min_factor + self.floor(slope * (debt * BPS - value * ltv), value * ltv)


class TargetWithoutTheFactorTwo(Model):
    def repay_to_target_down(self, ltv, debt, value, factor):
        twice_target = 3 * BPS - ltv
        return self.floor((twice_target * debt - ltv * value) * WAD, twice_target * WAD - 2 * ltv * factor)


class RepayToTargetRoundedUp(Model):
    def repay_to_target_down(self, ltv, debt, value, factor):
        twice_target = 3 * BPS - ltv
        return self.ceil((twice_target * debt - 2 * ltv * value) * WAD, twice_target * WAD - 2 * ltv * factor)


class RampDownToTheSmallestIncentive(Model):
    def zone_of(self, incentive, debt, value):
        return RAMP if self.branch(value * WAD > incentive[2] * debt) else INSOLVENT


class SeizedRoundedUp(Model):
    def seized_down(self, repaid, factor, price):
        return self.ceil(repaid * factor * (ORACLE_SCALE // WAD), price)


class RampLeavesDust(Model):
    def ramp_max_repay(self, ltv, debt, value, factor, min_debt):
        return self.repay_to_target_down(ltv, debt, value, factor)


class SliceRoomRoundedUp(Model):
    def slice_room(self, max_repay, room, debt):
        return self.ceil(max_repay * room, debt)


class InsolventWithoutIncentive(Model):
    def insolvent_incentive_factor_down(self, incentive, debt, value):
        return WAD


class RemovedRoundedUp(Model):
    def slice_removed(self, debt, repaid, max_repay):
        return self.ceil(debt * repaid, max_repay)


class SliceSeizedRoundedUp(Model):
    def slice_seized(self, collateral, removed, debt):
        return self.ceil(collateral * removed, debt)


def any_incentive(p):
    """L, βmax and βmin of any market, by what `incentives-pay-out-of-the-collateral` proves of them."""
    ltv = p.natural("ltv", MAX_LTV_BPS + 1, 1)
    max_factor, min_factor = p.natural("max_factor", MAX_INCENTIVE_FACTOR + 1), p.natural("min_factor", LIMIT, WAD)
    p.assume(min_factor <= max_factor)
    p.assume(max_factor * ltv * 100 <= 99 * WAD * BPS)
    p.step(max_factor * ltv < WAD * BPS)
    return ltv, max_factor, min_factor


def liquidatable(p, incentive):
    """Debt and value of a loan whose health factor is below 1."""
    debt, value = p.natural("debt", LIMIT, 1), p.natural("value", LIMIT)
    p.assume(debt * BPS > value * incentive[0])
    return debt, value


@lemma("LiquidationMath.incentiveOf", "βmax = 1 ÷ (0.3·L + 0.6)", SteeperMaxIncentive)
def incentives_pay_out_of_the_collateral(p, m):
    """In every market that can be created β·L ≤ 0.99 and 1 ≤ βmin ≤ βmax ≤ 1.15 (H4): a loan that becomes liquidatable has
    collateral for its debt and the largest incentive."""
    ltv = p.natural("ltv", MAX_LTV_BPS + 1, 1)
    _, max_factor, min_factor = m.incentive_of(ltv)
    p.claim(max_factor * ltv * 100 <= 99 * WAD * BPS)
    p.claim(WAD <= max_factor)
    p.claim(WAD <= min_factor)
    p.claim(min_factor <= max_factor)
    p.claim(max_factor <= MAX_INCENTIVE_FACTOR)


def ramp(p, m):
    """A loan on the ramp and its β, of which only its bounds are used."""
    incentive = any_incentive(p)
    debt, value = liquidatable(p, incentive)
    p.assume(m.zone_of(incentive, debt, value) == RAMP)
    factor = p.natural("factor", LIMIT, WAD)
    p.assume(factor <= incentive[1])
    return incentive, debt, value, factor


@lemma("LiquidationMath.rampIncentiveFactorDown", "the distance is divided by V·L", DistanceByTheWrongDivisor,
       ltv=9_000, debt=10**9)
def ramp_incentive_within_its_bounds(p, m):
    """On the ramp the incentive is between βmin and βmax (H4)."""
    incentive = ltv, max_factor, min_factor = any_incentive(p)
    debt, value = liquidatable(p, incentive)
    p.assume(m.zone_of(incentive, debt, value) == RAMP)
    part = p.let(m.floor(ltv * max_factor, BPS))
    factor = m.ramp_incentive_factor_down(incentive, debt, value)
    p.claim(factor >= min_factor)
    p.claim(factor <= max_factor)


@lemma("LiquidationMath.repayToTargetDown", "the numerator has L·V for 2·L·V", TargetWithoutTheFactorTwo)
def ramp_repayment_below_the_debt(p, m):
    """On the ramp the repayment to the target is less than the debt, and β times it no more than the value of the
    collateral: the collateral always suffices."""
    incentive, debt, value, factor = ramp(p, m)
    ltv, max_factor, _ = incentive
    p.step(factor * ltv < WAD * BPS, using=[factor <= max_factor, max_factor * ltv < WAD * BPS, ltv >= 1])
    p.step(factor * debt < value * WAD, using=[factor <= max_factor, value * WAD > max_factor * debt, debt >= 1])
    repaid = m.repay_to_target_down(ltv, debt, value, factor)
    p.claim(repaid < debt)
    p.claim(repaid * factor <= value * WAD)


@lemma("LiquidationMath.repayToTargetDown", "the repayment is rounded up", RepayToTargetRoundedUp)
def ramp_repayment_does_not_pass_the_target(p, m):
    """On the ramp the max repay lifts the health factor at most to the target T = 1 + (1 - L) ÷ 2: no loan is liquidated
    further than its recovery needs."""
    incentive, debt, value, factor = ramp(p, m)
    ltv, max_factor, _ = incentive
    p.step(factor * ltv < WAD * BPS, using=[factor <= max_factor, max_factor * ltv < WAD * BPS, ltv >= 1])
    repaid = m.repay_to_target_down(ltv, debt, value, factor)
    p.claim(2 * ltv * (value * WAD - repaid * factor) <= (3 * BPS - ltv) * (debt - repaid) * WAD)


def seizure(p, m):
    """A loan on the ramp in units of collateral at a price, of which some is repaid."""
    incentive = any_incentive(p)
    collateral, price = p.natural("collateral", LIMIT), p.natural("price", 2**256, 1)
    debt, value = liquidatable(p, incentive)
    # `valueDown`, whose cap only lowers it further.
    p.assume(value * ORACLE_SCALE <= collateral * price)
    p.assume(m.zone_of(incentive, debt, value) == RAMP)
    factor = p.natural("factor", LIMIT, WAD)
    p.assume(factor <= incentive[1])
    repaid = p.natural("repaid", LIMIT)
    p.assume(repaid <= debt)
    p.step(factor * debt <= value * WAD)
    return collateral, price, debt, value, factor, repaid


@lemma("LiquidationMath.seizedDown", "the ramp reaches down to βmin·D", RampDownToTheSmallestIncentive)
def ramp_seizes_no_more_than_the_collateral(p, m):
    """On the ramp the seized collateral is never more than the loan has, whatever part of the debt is repaid."""
    collateral, price, debt, value, factor, repaid = seizure(p, m)
    seized = m.seized_down(repaid, factor, price)
    worth = p.step(repaid * factor <= value * WAD,
                   using=[repaid <= debt, factor * debt <= value * WAD, factor >= WAD])
    p.step(seized * price <= collateral * price,
           using=[p.about(seized), worth, value * ORACLE_SCALE <= collateral * price])
    p.claim(seized <= collateral)


@lemma("LiquidationMath.seizedDown, LiquidationMath.maxRepayOf", "the seized collateral is rounded up", SeizedRoundedUp)
def ramp_does_not_lower_health(p, m):
    """On the ramp a liquidation of any size leaves at least as much collateral for each unit of debt as before: it does not
    lower the health factor, at any price (H3)."""
    collateral, price, debt, value, factor, repaid = seizure(p, m)
    seized = m.seized_down(repaid, factor, price)
    priced = p.step(seized * price <= repaid * factor * WAD, using=[p.about(seized)])
    p.step(seized * price * debt <= repaid * factor * WAD * debt, using=[priced, debt >= 1])
    p.step(repaid * factor * WAD * debt <= repaid * value * WAD * WAD,
           using=[factor * debt <= value * WAD, repaid >= 0])
    p.step(repaid * value * ORACLE_SCALE <= repaid * collateral * price,
           using=[value * ORACLE_SCALE <= collateral * price, repaid >= 0])
    p.step((seized * debt - repaid * collateral) * price <= 0)
    p.step(seized * debt <= repaid * collateral, using=[(seized * debt - repaid * collateral) * price <= 0, price >= 1])
    p.claim((collateral - seized) * debt >= collateral * (debt - repaid))


@lemma("LiquidationMath.maxRepayOf, LiquidationMath.repayWithinDown",
       "the rest is not compared with the minimum debt", RampLeavesDust)
def ramp_leaves_no_debt_below_the_minimum(p, m):
    """On the ramp a liquidation with any limit of the caller leaves no debt, the minimum debt at least, or the loan as it
    was (H5)."""
    incentive, debt, value, factor = ramp(p, m)
    ltv, max_factor, _ = incentive
    p.step(factor * ltv < WAD * BPS, using=[factor <= max_factor, max_factor * ltv < WAD * BPS, ltv >= 1])
    p.step(factor * debt < value * WAD, using=[factor <= max_factor, value * WAD > max_factor * debt, debt >= 1])
    limit, min_debt = p.natural("limit", LIMIT), p.natural("min_debt", LIMIT, 1)
    max_repay = m.ramp_max_repay(ltv, debt, value, factor, min_debt)
    repaid = m.repay_within_down(RAMP, max_repay, debt, limit, min_debt)
    p.claim(p.any(debt - repaid == 0, debt - repaid >= min_debt, repaid == 0))


@lemma("LiquidationMath.maxRepayOf, LiquidationMath.insolventIncentiveFactorDown", "an insolvent loan has no incentive",
       InsolventWithoutIncentive)
def insolvent_repayment_within_the_debt(p, m):
    """Of an insolvent loan no more is repaid than is owed, and the incentive is between βmin and βmax: the collateral pays
    for the repayment and the incentive, and only the rest of the debt is written off (H8)."""
    incentive = ltv, max_factor, min_factor = any_incentive(p)
    debt, value = liquidatable(p, incentive)
    p.assume(m.zone_of(incentive, debt, value) == INSOLVENT)
    factor = m.insolvent_incentive_factor_down(incentive, debt, value)
    max_repay = m.insolvent_max_repay(incentive, debt, value)
    p.claim(max_repay <= debt)
    p.claim(factor >= min_factor)
    p.claim(factor <= max_factor)


def slice_of(p, m):
    """A part of a loan below the ramp."""
    debt, max_repay = p.natural("debt", LIMIT, 1), p.natural("max_repay", LIMIT, 1)
    p.assume(max_repay <= debt)
    return debt, max_repay


@lemma("Plimsoll._liquidateLoan", "the removed debt is rounded up to a unit", RemovedRoundedUp)
def slices_write_off_no_more_than_their_part(p, m):
    """A slice of an insolvent loan removes at least what it repays, and writes off no more than its part of what one
    liquidation of all would: not even a unit at a time (H8)."""
    debt, max_repay = slice_of(p, m)
    repaid = p.natural("repaid", LIMIT)
    p.assume(repaid < max_repay)
    removed = m.slice_removed(debt, repaid, max_repay)
    p.claim(removed >= repaid)
    p.claim((removed - repaid) * max_repay <= (debt - max_repay) * repaid)


@lemma("Plimsoll._liquidateLoan", "the seized collateral is rounded up", SliceSeizedRoundedUp)
def slices_seize_no_more_than_their_part(p, m):
    """A slice below the ramp seizes at most the same part of the collateral as it removes of the debt: the health factor
    of the rest is not lowered (H3), and no slice seizes more than there is."""
    debt, max_repay = slice_of(p, m)
    collateral, removed = p.natural("collateral", LIMIT), p.natural("removed", LIMIT)
    p.assume(removed <= debt)
    seized = m.slice_seized(collateral, removed, debt)
    p.claim((collateral - seized) * debt >= collateral * (debt - removed))
    p.claim(seized <= collateral)


@lemma("LiquidationMath.repayWithinDown, Plimsoll._liquidateLoan", "the room of a slice is rounded up",
       SliceRoomRoundedUp)
def slices_leave_no_debt_below_the_minimum(p, m):
    """A slice below the ramp, with any limit of the caller, leaves the minimum debt at least, or all is liquidated, or
    nothing (H5)."""
    debt, max_repay = slice_of(p, m)
    limit, min_debt = p.natural("limit", LIMIT), p.natural("min_debt", LIMIT, 1)
    repaid = m.repay_within_down(BREAKEVEN, max_repay, debt, limit, min_debt)
    removed = m.slice_removed(debt, repaid, max_repay)
    p.claim(p.any(repaid == max_repay, repaid == 0, debt - removed >= min_debt))


# Deleverage


class ProportionRoundedUp(Model):
    def most_collateral_out(self, collateral, shares, borrow_shares):
        return self.ceil(collateral * shares, borrow_shares)


@lemma("Plimsoll.deleverage, DebtMath.toDebtSharesDown", "the most that may be taken out is rounded up",
       ProportionRoundedUp)
def deleverage_takes_out_no_more_than_it_repays(p, m):
    """`deleverage` leaves at least as much collateral for each share of debt as before, and as the repayment does not raise
    the price of the rest's shares, for each unit of debt, too: it needs no price (H2)."""
    total_assets, total_shares = debt_totals(p)
    collateral, borrow_shares = p.natural("collateral", LIMIT), p.natural("borrow_shares", LIMIT, 1)
    assets = p.natural("assets", LIMIT, 1)
    p.assume(borrow_shares <= total_shares)
    redeemed = m.to_debt_shares_down(assets, total_assets, total_shares)
    p.assume(redeemed < borrow_shares)
    taken_out = p.natural("taken_out", LIMIT)
    most = m.most_collateral_out(collateral, redeemed, borrow_shares)
    p.assume(taken_out <= most)
    kept, left = collateral - taken_out, borrow_shares - redeemed
    each = p.step(taken_out * borrow_shares <= collateral * redeemed,
                  using=[taken_out <= most, p.about(most), borrow_shares >= 1])
    p.claim(kept * borrow_shares >= collateral * left)
    p.assume(total_assets - assets >= 0)
    price = p.step((total_assets - assets) * total_shares <= total_assets * (total_shares - redeemed),
                   using=[p.about(redeemed)])
    # Collateral for each unit of the debt without rounding, before: collateral ÷ (borrow_shares × total_assets ÷
    # total_shares), and the same afterwards.
    before, after = p.let(collateral * left), p.let(kept * borrow_shares)
    dear, cheap = p.let((total_assets - assets) * total_shares), p.let(total_assets * (total_shares - redeemed))
    p.step(before <= after)
    p.step(dear <= cheap)
    p.step(before >= 0)
    p.step(dear >= 0)
    p.claim(before * dear <= after * cheap)


# Surge limit


class ChargeRoundedDown(Model):
    def charge_of(self, assets, n, d):
        return self.floor(assets * d, n)


class RefundRoundedUp(Model):
    def refund_of(self, assets, n, d):
        return self.ceil(assets * d, n)


class RefundAfterTheDebtIsLowered(Model):
    def refund_fraction(self, limit, borrow_assets, paid, level):
        return self.limit_fraction(limit, borrow_assets - paid, level)


class WriteOffsRefunded(Model):
    def refunded_assets(self, repaid, written_off):
        return repaid + written_off


class RefillRoundedUp(Model):
    def refill_of(self, elapsed, period):
        return self.ceil(elapsed * FULL, period)


def bucket(p):
    """The surge limit of a market, its debt, and its level."""
    limit = p.natural("floor", LIMIT, 1), p.natural("share", BPS + 1)
    return limit, p.natural("borrow_assets", LIMIT), p.natural("level", FULL + 1)


def fits(p, assets, share, level, d):
    """The product of an amount and D fits a word, because D, of a level of at most `FULL`, is below 2^43."""
    p.step(share * level <= BPS * FULL, using=[share >= 0, share < BPS + 1, p.step(level >= 0), p.step(level <= FULL)])
    p.step(d < 2**43, using=[p.about(d), share * level <= BPS * FULL])
    p.step(assets * d < WORD, using=[assets < LIMIT, assets >= 0, d < 2**43])


@lemma("SurgeMath.room, SurgeMath.levelAfterBorrow",
       "the charge is rounded down", ChargeRoundedDown, floor=10**4, share=1000)
def surge_room_is_exact(p, m):
    """A borrowing of the room passes the surge limit, and of a unit more does not, in every state (S2)."""
    limit, borrow_assets, level = bucket(p)
    n, d = map(p.let, m.limit_fraction(limit, borrow_assets, level))
    p.step(n >= 1)
    p.step(d >= 1)
    room = m.room_of(level, n, d)
    last, beyond = m.charge_of(room, n, d), m.charge_of(room + 1, n, d)
    within = [n >= 1, d >= 1, p.about(room), level <= FULL]
    p.step((last - 1) * n < (FULL - level) * n, using=[*within, p.about(last)])
    p.step(last - 1 < FULL - level, using=[n >= 1, (last - 1) * n < (FULL - level) * n])
    p.claim(level + last <= FULL)
    p.step(beyond * n > (FULL - level) * n, using=[*within, p.about(beyond)])
    p.step(beyond > FULL - level, using=[n >= 1, beyond * n > (FULL - level) * n])
    p.claim(level + beyond > FULL)


@lemma("SurgeMath.levelAfterBorrow", "the charge is rounded down", ChargeRoundedDown, floor=10**4, share=1000)
def surge_charge_of_parts_no_smaller(p, m):
    """Two borrowings use at least as much of the surge limit as one of both amounts: splitting gains nothing."""
    limit, borrow_assets, level = bucket(p)
    share = limit[1]
    one, two = p.natural("one", LIMIT), p.natural("two", LIMIT)
    n, d = map(p.let, m.limit_fraction(limit, borrow_assets, level))
    p.step(n >= 1)
    p.step(d >= 1)
    p.assume(one + two < LIMIT)
    whole, first = m.charge_of(one + two, n, d), m.charge_of(one, n, d)
    p.assume(level + first <= FULL)
    n_after, d_after = map(p.let, m.limit_fraction(limit, borrow_assets + one, level + first))
    p.step(n_after == n + share * one)
    p.step(d_after == d + share * first)
    p.step(n_after >= 1)
    fits(p, two, share, level + first, d_after)
    second = m.charge_of(two, n_after, d_after)
    covers = p.step(first * n >= one * d, using=[p.about(first)])
    p.step(d_after * n >= d * n_after,
           using=[n_after == n + share * one, d_after == d + share * first, covers, share >= 0])
    paid = p.step(second * n_after >= two * d_after, using=[p.about(second)])
    p.step(second * n_after * n >= two * d * n_after, using=[paid, d_after * n >= d * n_after, n >= 1, two >= 0])
    p.step(second * n >= two * d, using=[second * n_after * n >= two * d * n_after, n_after >= 1])
    p.step((first + second) * n >= (one + two) * d, using=[covers, second * n >= two * d])
    p.claim(first + second >= whole)


@lemma("SurgeMath.levelAfterBorrow, SurgeMath.refund", "the refund is computed after the debt is lowered",
       RefundAfterTheDebtIsLowered, floor=10**4, share=10_000, borrow_assets=1, level=1)
def surge_refund_of_a_fresh_charge(p, m):
    """What is borrowed and paid back at once is refunded no more than it was charged (S3)."""
    limit, borrow_assets, level = bucket(p)
    share, assets = limit[1], p.natural("assets", LIMIT)
    n, d = map(p.let, m.limit_fraction(limit, borrow_assets, level))
    p.step(n >= 1)
    charge = m.charge_of(assets, n, d)
    p.assume(level + charge <= FULL)
    p.assume(borrow_assets + assets < LIMIT)
    n_after, d_after = map(p.let, m.refund_fraction(limit, borrow_assets + assets, assets, level + charge))
    p.step(n_after == n + share * assets)
    p.step(d_after == d + share * charge)
    p.step(n_after >= 1)
    refund = m.refund_of(assets, n_after, d_after)
    p.step(assets * d_after <= charge * n_after,
           using=[n_after == n + share * assets, d_after == d + share * charge, p.about(charge)])
    p.step(refund * n_after <= charge * n_after, using=[p.about(refund), assets * d_after <= charge * n_after])
    p.claim(refund <= charge)


@lemma("SurgeMath.levelAfterBorrow, SurgeMath.refund",
       "the refund is rounded up", RefundRoundedUp, floor=10**4, share=0)
def surge_refunds_in_parts(p, m):
    """What is borrowed at once and paid back in two parts is refunded no more than it was charged: no cycle lowers the
    level (S3)."""
    limit, borrow_assets, level = bucket(p)
    share = limit[1]
    one, two = p.natural("one", LIMIT), p.natural("two", LIMIT)
    assets = one + two
    n, d = map(p.let, m.limit_fraction(limit, borrow_assets, level))
    p.step(n >= 1)
    p.assume(borrow_assets + assets < LIMIT)
    charge = m.charge_of(assets, n, d)
    p.assume(level + charge <= FULL)
    n1, d1 = map(p.let, m.limit_fraction(limit, borrow_assets + assets, level + charge))
    grown = [p.step(n1 == n + share * assets), p.step(d1 == d + share * charge)]
    p.step(n1 >= 1)
    fits(p, one, share, level + charge, d1)
    first = m.refund_of(one, n1, d1)
    # The level that a unit is worth after the borrowing, d1 ÷ n1, is d ÷ n and what the charge was rounded up by.
    excess = p.let(charge * n - assets * d)
    p.step(excess >= 0, using=[p.about(excess), p.about(charge)])
    price = p.step(d1 * n == d * n1 + share * excess, using=[p.about(excess), *grown])
    p.step(first * n1 <= one * d1, using=[p.about(first)])
    p.step(first * n1 * n <= one * (d * n1 + share * excess), using=[first * n1 <= one * d1, price, n >= 1])
    p.step(share * one <= n1, using=[*grown, two >= 0, share >= 0, n >= 1])
    p.step(share * one * excess <= n1 * excess, using=[share * one <= n1, excess >= 0])
    p.step(first * n * n1 <= (one * d + excess) * n1)
    p.step(first * n <= one * d + excess, using=[first * n * n1 <= (one * d + excess) * n1, n1 >= 1])
    rest = p.step((charge - first) * n >= two * d, using=[first * n <= one * d + excess, p.about(excess)])
    n2, d2 = map(p.let, m.limit_fraction(limit, borrow_assets + two, level + charge - first))
    shrunk = [p.step(n2 == n + share * two), p.step(d2 == d + share * (charge - first))]
    p.step(n2 >= 1)
    p.step(first <= charge, using=[rest, n >= 1, two >= 0, d >= 0])
    fits(p, two, share, level + charge - first, d2)
    second = m.refund_of(two, n2, d2)
    p.step(two * d2 <= (charge - first) * n2, using=[*shrunk, rest])
    p.step(second * n2 <= (charge - first) * n2, using=[p.about(second), two * d2 <= (charge - first) * n2])
    p.claim(first + second <= charge)


@lemma("SurgeMath.refund, SurgeMath.room, Plimsoll._liquidateLoan",
       "what is written off is refunded, too", WriteOffsRefunded,
       floor=10**4, share=1000, repaid=0)
def surge_room_grows_by_what_is_paid_in(p, m):
    """A repayment, or a liquidation with or without a write-off, raises the room by no more than was paid in: lost debt
    gives no room back, so that the same gap of a price cannot be used again at once."""
    limit, borrow_assets, level = bucket(p)
    share = limit[1]
    repaid, written_off = p.natural("repaid", LIMIT), p.natural("written_off", LIMIT)
    p.assume(repaid + written_off <= borrow_assets)
    n, d = map(p.let, m.limit_fraction(limit, borrow_assets, level))
    p.step(n >= 1)
    p.step(d >= 1)
    room = m.room_of(level, n, d)
    refund = m.refund_of(m.refunded_assets(repaid, written_off), n, d)
    level_after = m.zero_floor_sub(level, refund)
    fall = p.let(level - level_after)
    p.step(fall >= 0)
    p.step(fall <= refund)
    p.step(refund * n <= repaid * d, using=[p.about(refund)])
    fair = p.step(fall * n <= repaid * d, using=[fall <= refund, refund * n <= repaid * d, n >= 1])
    n_after, d_after = map(p.let, m.limit_fraction(limit, borrow_assets - repaid - written_off, level_after))
    p.step(n_after <= n - share * repaid)
    p.step(d_after == d - share * fall)
    p.step(d_after >= 1)
    p.step(n_after >= 0)
    room_after = m.room_of(level_after, n_after, d_after)
    free = p.let(FULL - level)
    p.step(free >= 0)
    p.step(FULL - level_after == free + fall)
    # Both sides differ by (repaid × d - fall × n) × (d + free × share).
    surplus, weight = p.let(repaid * d - fall * n), p.let(d + free * share)
    p.step(surplus >= 0, using=[p.about(surplus), fair])
    p.step(weight >= 0, using=[p.about(weight), d >= 1, free >= 0, share >= 0])
    p.step(surplus * weight >= 0, using=[surplus >= 0, weight >= 0])
    p.step((free + fall) * (n - share * repaid) * d <= (free * n + repaid * d) * (d - share * fall),
           using=[p.about(surplus), p.about(weight), surplus * weight >= 0])
    p.step((free + fall) * n_after <= (free + fall) * (n - share * repaid),
           using=[n_after <= n - share * repaid, free >= 0, fall >= 0])
    p.step((free + fall) * n_after * d <= (free * n + repaid * d) * d_after, using=[
        (free + fall) * n_after <= (free + fall) * (n - share * repaid), d >= 1, d_after == d - share * fall,
        (free + fall) * (n - share * repaid) * d <= (free * n + repaid * d) * (d - share * fall)])
    p.step(room_after * d_after <= (free + fall) * n_after,
           using=[p.about(room_after), FULL - level_after == free + fall])
    p.step(room_after * d_after * d <= (free * n + repaid * d) * d_after)
    p.step(room_after * d <= free * n + repaid * d,
           using=[room_after * d_after * d <= (free * n + repaid * d) * d_after, d_after >= 1])
    p.step((room_after - repaid) * d <= free * n, using=[room_after * d <= free * n + repaid * d])
    p.step(free * n < (room + 1) * d, using=[p.about(room), p.about(free)])
    p.step(room_after - repaid < room + 1,
           using=[(room_after - repaid) * d <= free * n, free * n < (room + 1) * d, d >= 1])
    p.claim(room_after <= room + repaid)


@lemma("SurgeMath.refill", "the refill is rounded up", RefillRoundedUp)
def surge_refill_gains_nothing_by_more_calls(p, m):
    """Two refills leave at least the level that one of both times leaves, and a period empties the bucket wholly: nobody
    speeds it up by calling often."""
    level, period = p.natural("level", FULL + 1), p.natural("period", 2**24, 1)
    one, two = p.natural("one", 2**34), p.natural("two", 2**34)
    at_once = m.refilled(level, one + two, period)
    by_turns = m.refilled(m.refilled(level, one, period), two, period)
    p.claim(by_turns >= at_once)
    p.claim(p.any(one + two < period, at_once == 0))


# Rewards


class AccumulatorRoundedUp(Model):
    def accumulator_increase_down(self, unit_seconds, epoch_seconds, total_staked):
        step = epoch_seconds * total_staked
        return self.ceil(unit_seconds * 2**ACCUMULATOR_BITS, step), 0


class RemainderDropped(Model):
    def accumulator_increase_down(self, unit_seconds, epoch_seconds, total_staked):
        return self.floor(unit_seconds * 2**ACCUMULATOR_BITS, epoch_seconds * total_staked), 0


class OffsetRoundedDown(Model):
    def offset_after_stake_up(self, offset, amount, accumulator):
        return offset + self.floor(amount * accumulator, SHIFT, below=None)


class OffsetOf120Bits(Model):
    def entitlement_read(self, product, offset, bits=120):
        return super().entitlement_read(product, offset, bits)


class RewardRoundedUp(Model):
    def reward_of(self, staked, increase):
        return self.ceil(staked * increase, 2**ACCUMULATOR_BITS)


@lemma("RewardMath.accumulatorIncreaseDown", "the accumulator is rounded up", AccumulatorRoundedUp)
def an_update_distributes_what_it_has(p, m):
    """An update of a stream distributes and keeps together no more than it had, and loses less than one unit × second (R1,
    R2)."""
    unit_seconds, total_staked = p.natural("unit_seconds", 2**116), p.natural("total_staked", LIMIT, 1)
    increase, rest = m.accumulator_increase_down(unit_seconds, EPOCH_SECONDS, total_staked)
    step, scale = EPOCH_SECONDS * total_staked, 2**ACCUMULATOR_BITS
    p.claim(increase * step + rest * scale <= unit_seconds * scale)
    p.claim(increase * step + (rest + 1) * scale > unit_seconds * scale)


@lemma("RewardMath.accumulatorIncreaseDown, StreamLib.project", "the remainder is dropped", RemainderDropped)
def updates_carry_their_remainder(p, m):
    """Two updates, the second with the remainder of the first, distribute no more than was paid in, and lose less than two
    units × seconds, however much is staked: a stranger who updates a stream every second destroys nothing (R2)."""
    one, two = p.natural("one", 2**115), p.natural("two", 2**115)
    total_staked = p.natural("total_staked", LIMIT, 1)
    first, carried = m.accumulator_increase_down(one, EPOCH_SECONDS, total_staked)
    second, rest = m.accumulator_increase_down(two + carried, EPOCH_SECONDS, total_staked)
    step, scale = EPOCH_SECONDS * total_staked, 2**ACCUMULATOR_BITS
    p.claim((first + second) * step + rest * scale <= (one + two) * scale)
    p.claim((first + second) * step + (rest + 2) * scale > (one + two) * scale)


@lemma("RewardMath.accumulatorIncreaseDown, RewardMath.claimableDown", "a claim is rounded up", RewardRoundedUp)
def claims_within_what_was_distributed(p, m):
    """What two stakers, together the whole stake, can claim of an update is no more than it distributed (R1)."""
    unit_seconds = p.natural("unit_seconds", 2**116)
    one, two = p.natural("one", LIMIT), p.natural("two", LIMIT)
    p.assume(one + two >= 1)
    increase, _ = m.accumulator_increase_down(unit_seconds, EPOCH_SECONDS, one + two)
    a, b = m.reward_of(one, increase), m.reward_of(two, increase)
    p.step((a + b) * 2**ACCUMULATOR_BITS <= (one + two) * increase, using=[p.about(a), p.about(b)])
    p.claim((a + b) * EPOCH_SECONDS <= unit_seconds)


@lemma("RewardMath.offsetAfterStakeUp, RewardMath.offsetAfterUnstakeUp",
       "offsetAfterStakeUp rounds down", OffsetRoundedDown)
def moving_a_stake_earns_nothing(p, m):
    """Staking and unstaking change an entitlement by rounding alone, against the account, by at most 2^-24 units each
    (R3)."""
    staked, amount = p.natural("staked", LIMIT), p.natural("amount", LIMIT)
    accumulator, offset = p.natural("accumulator", 2**192), p.natural("offset", 2**320)
    p.assume(amount <= staked)
    before = m.entitlement(staked, accumulator, offset)
    more = m.entitlement(staked + amount, accumulator, m.offset_after_stake_up(offset, amount, accumulator))
    less = m.entitlement(staked - amount, accumulator, m.offset_after_unstake_up(offset, amount, accumulator))
    for after in (more, less):
        p.claim(after <= before)
        p.claim(after >= before - 1)


@lemma("RewardMath.claimableDown", "offsets are kept modulo 2^120", OffsetOf120Bits)
def entitlements_modulo_2_128_are_exact(p, m):
    """Offsets and products kept modulo 2^128 and 2^256 give the same entitlement as unbounded numbers, as long as it is
    between -2^120 and 2^120: the lifetime funding of a stream, in 2^-24 units."""
    product, offset = p.natural("product", 2**320), p.natural("offset", 2**250)
    exact = p.let(m.floor(product, SHIFT, below=None) - offset)
    p.assume(exact > -(2**120))
    p.assume(exact < 2**120)
    p.claim(m.entitlement_read(product, offset) == exact)
