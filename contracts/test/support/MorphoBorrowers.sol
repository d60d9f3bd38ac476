// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TestToken} from "./TestToken.sol";

struct MorphoMarket {
    address loanToken;
    address collateralToken;
    address oracle;
    address irm;
    uint256 lltv;
}

interface ILendingMorpho {
    function setAuthorization(address authorized, bool isAuthorized) external;
    function supplyCollateral(MorphoMarket calldata market, uint256 assets, address onBehalf, bytes calldata data)
        external;
    function borrow(MorphoMarket calldata market, uint256 assets, uint256 shares, address onBehalf, address receiver)
        external
        returns (uint256, uint256);
}

/// @notice Opens thousands of loans on Morpho Blue in one call, each by its own account and with real calls, so that all
/// events are emitted. For local chains: collateral is minted.
contract MorphoBorrowers {
    ILendingMorpho public immutable morpho;
    uint256 public count;

    constructor(ILendingMorpho morpho_) {
        morpho = morpho_;
    }

    /// @notice Opens a loan for each entry: collateral in the upper 128 bits, debt in the lower.
    function open(MorphoMarket calldata market, uint256[] calldata loans) external {
        uint256 total;
        for (uint256 i; i < loans.length; ++i) {
            total += loans[i] >> 128;
        }
        TestToken(market.collateralToken).mint(address(this), total);
        TestToken(market.collateralToken).approve(address(morpho), total);
        for (uint256 i; i < loans.length; ++i) {
            address account = address(new MorphoBorrower{salt: bytes32(count + i)}(morpho));
            morpho.supplyCollateral(market, loans[i] >> 128, account, "");
            morpho.borrow(market, uint128(loans[i]), 0, account, address(this));
        }
        count += loans.length;
    }
}

/// @notice An account that authorises its creator.
contract MorphoBorrower {
    constructor(ILendingMorpho morpho) {
        morpho.setAuthorization(msg.sender, true);
    }
}
