// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title The arithmetic of stakes and rewards
/// @notice What an account with stake `s` is entitled to grows by `s × (growth of the accumulator)`. Instead of storing
/// where the accumulator stood when the account was last touched, beside what it had earned until then, one number is
/// stored, the offset:
///
///     entitlement = s × accumulator − offset
///
/// A change of the stake by `a` moves the offset by `a × accumulator`, which leaves the entitlement as it was; a
/// payment moves it by the payment. So one slot holds the whole account of a stream, and a payment rounds nothing away.
///
/// The products are huge (an accumulator that grew while one unit was staked, times a stake that came later), the
/// entitlement is not: it is at most what was funded, below 2^96. So both are kept modulo 2^128 and only their
/// difference is read, as a signed number. Entitlements are kept in 2^-24 units: each change of a stake rounds the
/// offset against the account by less than that, so that it takes sixteen million changes to lose one unit.
///
/// An entitlement can be below zero by these roundings, never by more than one such part for each change of the stake.
/// It then counts as nothing, and the next rewards fill it up.
library RewardMath {
    /// @dev Accumulators are reward units per unit of stake × 2^96. While less than 2^96 units are funded in a stream's
    /// life and at least one unit is staked while they are paid, an accumulator stays below 2^192.
    uint256 internal constant ACCUMULATOR_BITS = 96;

    /// @dev Offsets and entitlements are in units × 2^24: 2^96 units are 2^120 of them, far below the sign at 2^127.
    uint256 internal constant FRACTION_BITS = 24;

    uint256 private constant SHIFT = ACCUMULATOR_BITS - FRACTION_BITS;
    uint256 private constant BELOW_SHIFT = (1 << SHIFT) - 1;

    /// @notice By how much the accumulator grows when `unitSeconds / epochSeconds` reward units fall to `totalStaked`.
    /// @dev `unitSeconds` is below 2^116: all that is ever funded (2^96), times the seconds of an epoch (2^20).
    function accumulatorIncreaseDown(uint256 unitSeconds, uint256 epochSeconds, uint256 totalStaked)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            return (unitSeconds << ACCUMULATOR_BITS) / (epochSeconds * totalStaked);
        }
    }

    /// @notice The whole reward units that an account can be paid.
    function claimableDown(uint256 staked, uint256 accumulator, uint128 offset) internal pure returns (uint256) {
        unchecked {
            // The product wraps at 2^256; its bits from 72 to 199 are right, and those are all that count.
            int128 entitlement = int128(uint128((staked * accumulator) >> SHIFT) - offset);
            return entitlement <= 0 ? 0 : uint128(entitlement) >> FRACTION_BITS;
        }
    }

    /// @notice The offset after `amount` was added to the stake.
    function offsetAfterStakeUp(uint128 offset, uint256 amount, uint256 accumulator) internal pure returns (uint128) {
        unchecked {
            uint256 product = amount * accumulator;
            return offset + uint128(product >> SHIFT) + (product & BELOW_SHIFT == 0 ? 0 : 1);
        }
    }

    /// @notice The offset after `amount` was taken out of the stake.
    function offsetAfterUnstakeUp(uint128 offset, uint256 amount, uint256 accumulator) internal pure returns (uint128) {
        unchecked {
            return offset - uint128((amount * accumulator) >> SHIFT);
        }
    }

    /// @notice The offset after `amount` whole units were paid. Exact.
    function offsetAfterPayment(uint128 offset, uint256 amount) internal pure returns (uint128) {
        unchecked {
            return offset + uint128(amount << FRACTION_BITS);
        }
    }
}
