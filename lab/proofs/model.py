"""The formulas of the contracts, each with the name and the order of operations of its Solidity function.

`../../contracts/test/proofs/Vectors.t.sol` compares every one of them with the Solidity library on the vectors that
`vectors.py` computes with this file. A *fault* is the same formulas with one of them planted wrong.
"""

WAD = 10**18
BPS = 10_000
ORACLE_SCALE = 10**36
LIMIT = 2**128  # amounts are below
VIRTUAL_SHARES = 10**6
VIRTUAL_ASSETS = 1
MAX_SHARES_PER_ASSET = 10**6
MAX_LTV_BPS = 9_800
MAX_INCENTIVE_FACTOR = 1_150_000_000_000_000_000
FULL = 2**28 - 1
ACCUMULATOR_BITS = 96
FRACTION_BITS = 24
SHIFT = 2 ** (ACCUMULATOR_BITS - FRACTION_BITS)  # what entitlements are divided by
EPOCH_SECONDS = 7 * 24 * 3600

RAMP, BREAKEVEN, INSOLVENT = range(3)


class Model:
    def __init__(self, arithmetic):
        self.a = arithmetic
        self.floor, self.ceil, self.sub = arithmetic.floor, arithmetic.ceil, arithmetic.sub
        self.branch = arithmetic.branch

    def minimum(self, x, y):
        return x if self.branch(x <= y) else y

    def maximum(self, x, y):
        return x if self.branch(x >= y) else y

    def zero_floor_sub(self, x, y):
        return x - y if self.branch(x > y) else 0

    # SharesMath.sol

    def to_shares_down(self, assets, total_assets, total_shares):
        return self.floor(assets * (total_shares + VIRTUAL_SHARES), total_assets + VIRTUAL_ASSETS)

    def to_shares_up(self, assets, total_assets, total_shares):
        return self.ceil(assets * (total_shares + VIRTUAL_SHARES), total_assets + VIRTUAL_ASSETS)

    def to_assets_down(self, shares, total_assets, total_shares):
        return self.floor(shares * (total_assets + VIRTUAL_ASSETS), total_shares + VIRTUAL_SHARES)

    def to_assets_up(self, shares, total_assets, total_shares):
        return self.ceil(shares * (total_assets + VIRTUAL_ASSETS), total_shares + VIRTUAL_SHARES)

    # DebtMath.sol

    def to_debt_shares_up(self, assets, total_assets, total_shares):
        if self.branch(total_shares == 0):
            return assets * MAX_SHARES_PER_ASSET
        return self.ceil(assets * total_shares, total_assets)

    def to_debt_shares_down(self, assets, total_assets, total_shares):
        return self.floor(assets * total_shares, total_assets)

    def to_debt_up(self, shares, total_assets, total_shares):
        if self.branch(shares == 0):
            return 0
        return self.ceil(shares * total_assets, total_shares)

    def saturating_total_after_repay(self, total_assets, removed, shares_left):
        return self.maximum(self.sub(total_assets, removed), self.ceil(shares_left, MAX_SHARES_PER_ASSET))

    # LiquidationMath.sol. The incentive is (ltv, max factor, min factor).

    def incentive_of(self, ltv):
        max_factor = self.minimum(MAX_INCENTIVE_FACTOR, self.floor(WAD * WAD, 7 * 10**17 + ltv * 3 * 10**13))
        return ltv, max_factor, WAD + self.floor(self.sub(max_factor, WAD), 4)

    def value_down(self, collateral, price):
        return self.minimum(self.floor(collateral * price, ORACLE_SCALE), LIMIT - 1)

    def zone_of(self, incentive, debt, value):
        """The branches of `maxRepayOf`."""
        _, max_factor, min_factor = incentive
        if self.branch(value * WAD > max_factor * debt):
            return RAMP
        return BREAKEVEN if self.branch(value * WAD >= min_factor * debt) else INSOLVENT

    def max_repay_of(self, incentive, debt, value, min_debt):
        zone = self.zone_of(incentive, debt, value)
        factor, max_repay = 0, debt
        if zone == RAMP:
            factor = self.ramp_incentive_factor_down(incentive, debt, value)
            max_repay = self.ramp_max_repay(incentive[0], debt, value, factor, min_debt)
        elif zone == INSOLVENT:
            max_repay = self.insolvent_max_repay(incentive, debt, value)
        return zone, max_repay, factor

    def ramp_max_repay(self, ltv, debt, value, factor, min_debt):
        max_repay = self.repay_to_target_down(ltv, debt, value, factor)
        return debt if self.branch(self.sub(debt, max_repay) < min_debt) else max_repay

    def insolvent_max_repay(self, incentive, debt, value):
        return self.ceil(value * WAD, self.insolvent_incentive_factor_down(incentive, debt, value))

    def repay_within_down(self, zone, max_repay, debt, limit, min_debt):
        if self.branch(limit >= max_repay):
            return max_repay
        if self.branch(debt <= min_debt):
            return 0
        room = debt - min_debt
        if zone != RAMP:
            room = self.slice_room(max_repay, room, debt)
        return self.minimum(limit, room)

    def slice_room(self, max_repay, room, debt):
        return self.floor(max_repay * room, debt)

    def ramp_incentive_factor_down(self, incentive, debt, value):
        ltv, max_factor, min_factor = incentive
        slope = self.floor(self.sub(max_factor, min_factor) * WAD, self.sub(WAD, self.floor(ltv * max_factor, BPS)))
        return min_factor + self.floor(slope * self.sub(debt * BPS, value * ltv), debt * BPS)

    def seized_down(self, repaid, factor, price):
        return self.floor(repaid * factor * (ORACLE_SCALE // WAD), price)

    def repay_to_target_down(self, ltv, debt, value, factor):
        twice_target = 3 * BPS - ltv
        lacking = self.sub(twice_target * debt, 2 * ltv * value)
        return self.floor(lacking * WAD, self.sub(twice_target * WAD, 2 * ltv * factor))

    def insolvent_incentive_factor_down(self, incentive, debt, value):
        ltv, max_factor, min_factor = incentive
        shortfall = self.sub(min_factor, self.ceil(value * WAD, debt))
        span = self.sub(self.ceil(BPS * WAD, ltv), max_factor)
        rise = self.floor(self.sub(max_factor, min_factor) * shortfall, span)
        return self.minimum(min_factor + rise, max_factor)

    # Plimsoll.sol, `_liquidateLoan`: a part of a loan below the ramp.

    def slice_removed(self, debt, repaid, max_repay):
        return self.floor(debt * repaid, max_repay)

    def slice_seized(self, collateral, removed, debt):
        return self.floor(collateral * removed, debt)

    # Plimsoll.sol, `borrow` by shares, and `deleverage`.

    def borrowed_by_shares(self, shares, total_assets, total_shares):
        """The assets for these shares, rounded down, and the shares of those assets, rounded up."""
        assets = self.floor(shares * total_assets, total_shares)
        return assets, self.to_debt_shares_up(assets, total_assets, total_shares)

    def most_collateral_out(self, collateral, shares, borrow_shares):
        return self.floor(collateral * shares, borrow_shares)

    # SurgeMath.sol. The limit is (floor, share in basis points); N and D as in `_limitFraction`.

    def limit_fraction(self, limit, borrow_assets, level):
        floor, share = limit
        return floor * BPS + share * borrow_assets, BPS * FULL + share * level

    def refilled(self, level, elapsed, period):
        return self.zero_floor_sub(level, self.refill_of(elapsed, period))

    def refill_of(self, elapsed, period):
        return self.floor(elapsed * FULL, period)

    def charge_of(self, assets, n, d):
        return self.ceil(assets * d, n)

    def refund_of(self, assets, n, d):
        return self.floor(assets * d, n)

    def room_of(self, level, n, d):
        return self.floor(self.sub(FULL, level) * n, d)

    def refund_fraction(self, limit, borrow_assets, paid, level):
        """N and D of a refund: of the debt before the payment."""
        return self.limit_fraction(limit, borrow_assets, level)

    def refunded_assets(self, repaid, written_off):
        """What a liquidation takes out of the bucket."""
        return repaid

    # RewardMath.sol

    def accumulator_increase_down(self, unit_seconds, epoch_seconds, total_staked):
        step = epoch_seconds * total_staked
        increase = self.floor(unit_seconds * 2**ACCUMULATOR_BITS, step)
        return increase, self.floor(unit_seconds * 2**ACCUMULATOR_BITS - increase * step, 2**ACCUMULATOR_BITS)

    def entitlement(self, staked, accumulator, offset):
        """What `claimableDown` and the offsets are about, in 2^-24 units, before it is kept modulo 2^128."""
        return self.floor(staked * accumulator, SHIFT, below=None) - offset

    def offset_after_stake_up(self, offset, amount, accumulator):
        return offset + self.ceil(amount * accumulator, SHIFT, below=None)

    def offset_after_unstake_up(self, offset, amount, accumulator):
        return offset - self.floor(amount * accumulator, SHIFT, below=None)

    def entitlement_read(self, product, offset, bits=128):
        """The signed difference that `claimableDown` reads: of the product's bits that are right, and of the offset."""
        modulo = self.a.modulo
        whole = self.floor(modulo(product, 2**256), SHIFT)
        difference = modulo(modulo(whole, 2**bits) - modulo(offset, 2**bits), 2**bits)
        return difference if self.branch(difference < 2 ** (bits - 1)) else difference - 2**bits

    def reward_of(self, staked, increase):
        return self.floor(staked * increase, 2**ACCUMULATOR_BITS)
