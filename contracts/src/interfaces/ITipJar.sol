// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {IChannels} from "./IChannels.sol";

/// @title Receiver of payment channels that pays for its collection.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice A receiver whose claims anyone may send for a part of what they bring. The operator publishes claims that
/// its authoriser signed; the caller gets the tip, the operator the rest. It works with any contract that has
/// the functions of `IChannels`. Tokens that were sent to it directly are paid out in the same way.
interface ITipJar {
    /// @notice `amount` was paid out: `tip` to the caller, the rest to the operator.
    event Collect(address indexed token, address indexed caller, uint256 amount, uint256 tip);

    /// @notice The address is zero.
    error ZeroAddress();

    /// @notice The account has no code.
    error NoCode(address account);

    /// @notice The tip is above its bound.
    error TipTooHigh(uint256 tipBps, uint256 maxTipBps);

    /// @notice There is nothing to pay out.
    error ZeroAmount();

    /// @notice Claims these rows if there are any, settles, and pays out all that this contract holds of the token.
    /// @param authorizerSignature over the rows: `IChannels.claimWithSignature`
    /// @return tip what the caller got
    function collect(address token, IChannels.VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external
        returns (uint256 tip);

    /// @notice Returns the channels contract.
    function channels() external view returns (address);

    /// @notice Returns who gets all but the tip.
    function operator() external view returns (address);

    /// @notice Returns the caller's part in basis points, at most 2000.
    function tipBps() external view returns (uint256);
}
