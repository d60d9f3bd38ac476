// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Approval by signature (ERC-2612).
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IERC20Permit {
    /// @notice Sets an allowance by a signature of the owner.
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
}
