// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice Who takes a flash loan by ERC-3156.
interface IERC3156FlashBorrower {
    /// @param initiator who asked for the loan
    /// @param token what was lent
    /// @param amount how much of it
    /// @param fee what is owed on top of it: 0
    /// @param data as given to `flashLoan`
    /// @return keccak256("ERC3156FlashBorrower.onFlashLoan")
    function onFlashLoan(address initiator, address token, uint256 amount, uint256 fee, bytes calldata data)
        external
        returns (bytes32);
}
