// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Reward accounting library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Computes the rewards of stakes. The entitlement of an account with stake `s` grows by `s × (growth of the
/// accumulator)`. Instead of the accumulator at the account's last change together with the rewards until then, one
/// number is stored, the offset:
///
///     entitlement = s × accumulator − offset
///
/// A change of the stake by `a` changes the offset by `a × accumulator`, which leaves the entitlement unchanged; a
/// payment changes it by the payment. So one slot holds an account's whole state in a stream, and a payment loses
/// nothing to rounding.
///
/// The products can be huge (an accumulator that grew while one unit was staked, times a later stake), but the
/// entitlement is at most the funded amount, below 2^96. So both are kept modulo 2^128 and only their difference is
/// read, as a signed number. Entitlements are kept in 2^-24 units: each change of a stake rounds the offset against the
/// account by less than that, so it takes sixteen million changes to lose one unit.
///
/// By this rounding an entitlement can be negative, by at most 2^-24 units for each change of the stake. It then counts
/// as 0, and further rewards make up for it.
library RewardMath {
    /// @dev Accumulators are reward units per unit of stake × 2^96. If less than 2^96 units are funded in a stream's
    /// life and at least one unit is staked while they are paid, an accumulator stays below 2^192.
    uint256 internal constant ACCUMULATOR_BITS = 96;

    /// @dev Offsets and entitlements are in units × 2^24: 2^96 units are 2^120 of them, far below the sign at 2^127.
    uint256 internal constant FRACTION_BITS = 24;

    uint256 private constant SHIFT = ACCUMULATOR_BITS - FRACTION_BITS;
    uint256 private constant BELOW_SHIFT = (1 << SHIFT) - 1;

    /// @notice Returns the growth of the accumulator when `unitSeconds / epochSeconds` reward units are distributed to
    /// `totalStaked`, and what this leaves over because the accumulator grows in whole steps, in whole unit-seconds
    /// rounded down: less than `totalStaked / 2^96` reward units.
    /// @dev `unitSeconds` is below 2^116: the lifetime funding (2^96) times the seconds of an epoch (2^20).
    function accumulatorIncreaseDown(uint256 unitSeconds, uint256 epochSeconds, uint256 totalStaked)
        internal
        pure
        returns (uint256 increase, uint256 rest)
    {
        unchecked {
            uint256 scaled = unitSeconds << ACCUMULATOR_BITS;
            uint256 step = epochSeconds * totalStaked;
            increase = scaled / step;
            rest = (scaled % step) >> ACCUMULATOR_BITS;
        }
    }

    /// @notice Returns the whole reward units that an account can be paid.
    function claimableDown(uint256 staked, uint256 accumulator, uint128 offset) internal pure returns (uint256) {
        unchecked {
            // The product wraps at 2^256, but its bits from 72 to 199 are right, and only those are used.
            int128 entitlement = int128(uint128((staked * accumulator) >> SHIFT) - offset);
            return entitlement <= 0 ? 0 : uint128(entitlement) >> FRACTION_BITS;
        }
    }

    /// @notice Returns the offset after `amount` is added to the stake, rounded up.
    function offsetAfterStakeUp(uint128 offset, uint256 amount, uint256 accumulator) internal pure returns (uint128) {
        unchecked {
            uint256 product = amount * accumulator;
            return offset + uint128(product >> SHIFT) + (product & BELOW_SHIFT == 0 ? 0 : 1);
        }
    }

    /// @notice Returns the offset after `amount` is removed from the stake, rounded up.
    function offsetAfterUnstakeUp(uint128 offset, uint256 amount, uint256 accumulator) internal pure returns (uint128) {
        unchecked {
            return offset - uint128((amount * accumulator) >> SHIFT);
        }
    }

    /// @notice Returns the offset after `amount` whole units are paid, exactly.
    function offsetAfterPayment(uint128 offset, uint256 amount) internal pure returns (uint128) {
        unchecked {
            return offset + uint128(amount << FRACTION_BITS);
        }
    }
}
