"""Values of every formula in `model.py`, for the test that compares them with the Solidity libraries.

They are the same on every machine: a fixed generator draws the inputs, among them the edges of each range. `prove.py` fails
where the file in git is not what this computes; `--write-vectors` writes it.
"""

import json
from pathlib import Path

from arithmetic import Exact, Refused
from model import BPS, EPOCH_SECONDS, FULL, LIMIT, MAX_LTV_BPS, MAX_SHARES_PER_ASSET, VIRTUAL_SHARES, WAD, Model

FILE = Path(__file__).parents[2] / "contracts/test/proofs/vectors.json"
ROWS = 40
OFFSETS = 2**128


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def word(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    def natural(self, below, at_least=0):
        """A number of any length: its bits are drawn first. One in eight is at an edge of the range."""
        size = below - at_least
        edge = self.word() % 16
        if edge < 2:
            return at_least + (size - 1) * edge
        bits = self.word() % size.bit_length() + 1
        value = 0
        for _ in range(5):
            value = value << 64 | self.word()
        return at_least + value % min(2**bits, size)


def amounts(count):
    return lambda r: [r.natural(LIMIT) for _ in range(count)]


def with_supply(r):
    return [r.natural(LIMIT), r.natural(LIMIT), r.natural(LIMIT - VIRTUAL_SHARES)]


def with_debt(r):
    total_assets = r.natural(LIMIT, 1)
    return [r.natural(LIMIT), total_assets, r.natural(min(LIMIT, MAX_SHARES_PER_ASSET * total_assets), 1)]


def a_part_of_the_debt(r):
    _, total_assets, total_shares = with_debt(r)
    return [r.natural(total_shares + 1), total_assets, total_shares]


def a_repayment(r):
    total_assets = r.natural(LIMIT)
    return [total_assets, r.natural(total_assets + 1), r.natural(LIMIT)]


def an_ltv(r):
    return [r.natural(MAX_LTV_BPS + 1, 1)]


def liquidatable(r):
    """L, debt and value of a loan whose value is near its debt, or anything."""
    (ltv,), debt = an_ltv(r), r.natural(2**100, 1)
    value = debt * r.natural(2 * BPS) // BPS if r.word() % 4 else r.natural(LIMIT)
    if debt * BPS <= value * ltv:
        raise Refused("healthy")
    return [ltv, debt, value]


def priced(r):
    return [r.natural(LIMIT), WAD + r.natural(15 * WAD // 100), r.natural(2**200, 1)]


def surge(r):
    """Minimum debt and multiple of the floor, share, borrow assets, level."""
    return [r.natural(2**96, 10_000), r.natural(2**32, 1), r.natural(BPS + 1), r.natural(LIMIT), r.natural(FULL + 1)]


def level_after_borrow(m, min_debt, multiple, share, borrow_assets, level, assets):
    n, d = m.limit_fraction((min_debt * multiple, share), borrow_assets, level)
    return level + m.charge_of(assets, n, d)


def level_after_refund(m, min_debt, multiple, share, borrow_assets, level, assets):
    n, d = m.refund_fraction((min_debt * multiple, share), borrow_assets, assets, level)
    return m.zero_floor_sub(level, m.refund_of(assets, n, d))


def room(m, min_debt, multiple, share, borrow_assets, level):
    return m.room_of(level, *m.limit_fraction((min_debt * multiple, share), borrow_assets, level))


def claimable(m, staked, accumulator, offset):
    return max(0, m.entitlement_read(staked * accumulator, offset)) >> 24


def entitled(r):
    """A stake, an accumulator, and an offset that leaves an entitlement of either sign."""
    staked, accumulator = r.natural(LIMIT), r.natural(2**192)
    return [staked, accumulator, ((staked * accumulator >> 72) - r.natural(2**120) + r.natural(2**30)) % OFFSETS]


def staking(r):
    return [r.natural(OFFSETS), r.natural(LIMIT), r.natural(2**192)]


# By Solidity function: the inputs, and the formula of a model that is their result, or a tuple of results.
FUNCTIONS = {
    "SharesMath.toSharesDown": (with_supply, lambda m, *of: m.to_shares_down(*of)),
    "SharesMath.toSharesUp": (with_supply, lambda m, *of: m.to_shares_up(*of)),
    "SharesMath.toAssetsDown": (with_supply, lambda m, *of: m.to_assets_down(*of)),
    "SharesMath.toAssetsUp": (with_supply, lambda m, *of: m.to_assets_up(*of)),
    "DebtMath.toDebtSharesUp": (with_debt, lambda m, *of: m.to_debt_shares_up(*of)),
    "DebtMath.toDebtSharesDown": (with_debt, lambda m, *of: m.to_debt_shares_down(*of)),
    "DebtMath.toDebtUp": (a_part_of_the_debt, lambda m, *of: m.to_debt_up(*of)),
    "DebtMath.toDebtDown": (with_debt, lambda m, *of: m.borrowed_by_shares(*of)[0]),
    "DebtMath.saturatingTotalAfterRepay": (a_repayment, lambda m, *of: m.saturating_total_after_repay(*of)),
    "LiquidationMath.incentiveOf": (an_ltv, lambda m, ltv: m.incentive_of(ltv)[1:]),
    "LiquidationMath.valueDown": (
        lambda r: [r.natural(LIMIT), r.natural(2**128)], lambda m, *of: m.value_down(*of)),
    "LiquidationMath.maxRepayOf": (
        lambda r: [*liquidatable(r), r.natural(2**80)],
        lambda m, ltv, *of: m.max_repay_of(m.incentive_of(ltv), *of)),
    "LiquidationMath.repayWithinDown": (
        lambda r: [r.natural(3), *a_limit(r)], lambda m, *of: m.repay_within_down(*of)),
    "LiquidationMath.rampIncentiveFactorDown": (
        liquidatable, lambda m, ltv, *of: m.ramp_incentive_factor_down(m.incentive_of(ltv), *of)),
    "LiquidationMath.seizedDown": (priced, lambda m, *of: m.seized_down(*of)),
    "LiquidationMath.repayToTargetDown": (
        lambda r: [*liquidatable(r), WAD], lambda m, *of: m.repay_to_target_down(*of)),
    "LiquidationMath.insolventIncentiveFactorDown": (
        liquidatable, lambda m, ltv, *of: m.insolvent_incentive_factor_down(m.incentive_of(ltv), *of)),
    "SurgeMath.levelAfterBorrow": (lambda r: [*surge(r), r.natural(LIMIT)], level_after_borrow),
    "SurgeMath.refund": (lambda r: [*surge(r), r.natural(LIMIT)], level_after_refund),
    "SurgeMath.room": (surge, room),
    "SurgeMath.refill": (
        lambda r: [r.natural(FULL + 1), r.natural(2**34), r.natural(2**24, 3600)], lambda m, *of: m.refilled(*of)),
    "RewardMath.accumulatorIncreaseDown": (
        lambda r: [r.natural(2**116), EPOCH_SECONDS, r.natural(LIMIT, 1)],
        lambda m, *of: m.accumulator_increase_down(*of)),
    "RewardMath.claimableDown": (entitled, claimable),
    "RewardMath.offsetAfterStakeUp": (staking, lambda m, *of: m.offset_after_stake_up(*of) % OFFSETS),
    "RewardMath.offsetAfterUnstakeUp": (staking, lambda m, *of: m.offset_after_unstake_up(*of) % OFFSETS),
}


def a_limit(r):
    """Max repay, debt, the caller's limit, and the minimum debt."""
    debt = r.natural(LIMIT, 1)
    return [r.natural(debt + 1), debt, r.natural(LIMIT), r.natural(2**100)]


def text():
    """The file: by function, the numbers of all rows one after another, inputs before results."""
    model, columns = Model(Exact()), {}
    for seed, (function, (inputs, formula)) in enumerate(FUNCTIONS.items()):
        random, numbers, rows = Random(seed), [], 0
        while rows < ROWS:
            try:
                row = inputs(random)
                result = formula(model, *row)
            except Refused:
                continue
            numbers += [*row, *(result if isinstance(result, tuple) else (result,))]
            rows += 1
        columns[function.split(".")[1]] = [str(number) for number in numbers]
    lines = (f"  {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in columns.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def are_fresh():
    return FILE.exists() and FILE.read_text() == text()
