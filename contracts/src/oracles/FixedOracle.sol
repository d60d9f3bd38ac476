// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IFixedOracle} from "../interfaces/IFixedOracle.sol";
import {IOracle} from "../interfaces/IOracle.sol";
import {PriceMath} from "./libraries/PriceMath.sol";

/// @title Oracle with a fixed price.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice The price is `ratio × 10^(36 + loan decimals − collateral decimals)`, exact, computed once.
contract FixedOracle is IOracle, IFixedOracle {
    /// @dev 100,000 to one. Multiplied by the largest power of ten, 10^(18 + 36), it fits 256 bits.
    uint256 private constant MAX_RATIO_E18 = 1e23;

    /// @inheritdoc IFixedOracle
    address public immutable collateralToken;
    /// @inheritdoc IFixedOracle
    address public immutable loanToken;
    /// @inheritdoc IFixedOracle
    uint256 public immutable ratioE18;

    uint256 private immutable PRICE;

    constructor(address collateralToken_, address loanToken_, uint256 ratioE18_) {
        (uint256 collateralDecimals, uint256 loanDecimals) = PriceMath.tokenDecimals(collateralToken_, loanToken_);
        if (ratioE18_ == 0 || ratioE18_ > MAX_RATIO_E18) revert RatioOutOfBounds(ratioE18_);
        collateralToken = collateralToken_;
        loanToken = loanToken_;
        ratioE18 = ratioE18_;

        uint256 numerator = ratioE18_ * 10 ** (PriceMath.PRICE_DECIMALS - 18 + loanDecimals);
        uint256 denominator = 10 ** collateralDecimals;
        if (numerator % denominator != 0) revert PriceInexact(numerator, denominator);
        PRICE = numerator / denominator;
    }

    /// @inheritdoc IOracle
    function liquidationPrice() external view returns (uint256) {
        return PRICE;
    }

    /// @inheritdoc IOracle
    function borrowPrice() external view returns (uint256) {
        return PRICE;
    }
}
