// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ownable, VestingWallet} from "@openzeppelin/contracts/finance/VestingWallet.sol";
import {VestingWalletCliff} from "@openzeppelin/contracts/finance/VestingWalletCliff.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

/// @title Grant of tokens that are released over time.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice OpenZeppelin's vesting wallet: nothing before the cliff, then in proportion to the time since the start. The
/// beneficiary, who may pass the grant on, votes with all of it meanwhile. Nobody takes it back.
contract Grant is VestingWalletCliff {
    constructor(address beneficiary, uint64 start, uint64 durationSecs, uint64 cliffSecs)
        VestingWallet(beneficiary, start, durationSecs)
        VestingWalletCliff(cliffSecs)
    {}

    /// @notice Delegates the votes of the tokens here.
    function delegate(IVotes token, address delegatee) external onlyOwner {
        token.delegate(delegatee);
    }
}
