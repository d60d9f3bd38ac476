// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestToken} from "./TestToken.sol";

/// @notice Opens thousands of loans in one call, each by its own account and with real calls to the core, so that all
/// events are emitted. For local chains: collateral is minted.
contract Borrowers {
    IPlimsoll public immutable plimsoll;
    uint256 public count;

    constructor(IPlimsoll plimsoll_) {
        plimsoll = plimsoll_;
    }

    /// @notice Opens a loan for each entry: collateral in the upper 128 bits, debt in the lower.
    function open(MarketParams calldata params, uint256[] calldata loans) external {
        uint256 total;
        for (uint256 i; i < loans.length; ++i) {
            total += loans[i] >> 128;
        }
        TestToken(params.collateralToken).mint(address(this), total);
        TestToken(params.collateralToken).approve(address(plimsoll), total);
        for (uint256 i; i < loans.length; ++i) {
            address account = address(new Borrower{salt: bytes32(count + i)}(plimsoll));
            plimsoll.supplyCollateral(params, loans[i] >> 128, account, "");
            plimsoll.borrow(params, uint128(loans[i]), 0, account, address(this));
        }
        count += loans.length;
    }
}

/// @notice An account that authorises its creator.
contract Borrower {
    constructor(IPlimsoll plimsoll) {
        plimsoll.setAuthorization(msg.sender, type(uint256).max);
    }
}
