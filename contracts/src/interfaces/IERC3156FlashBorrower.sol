// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Receiver of a flash loan (ERC-3156).
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IERC3156FlashBorrower {
    /// @notice Called by `flashLoan` after it sent the tokens and before it pulls them back.
    /// @param initiator the caller of `flashLoan`
    /// @param token the lent token
    /// @param amount lent
    /// @param fee owed in addition to the amount: 0
    /// @param data as given to `flashLoan`
    /// @return keccak256("ERC3156FlashBorrower.onFlashLoan")
    function onFlashLoan(address initiator, address token, uint256 amount, uint256 fee, bytes calldata data)
        external
        returns (bytes32);
}
