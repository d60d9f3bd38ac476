// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IChainlinkOracle} from "../../interfaces/IChainlinkOracle.sol";

/// @title Price arithmetic library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Results are exact and rounded down once, or the function reverts with an error of `IChainlinkOracle`;
/// `IFixedOracle` declares those that it can revert with identically, so that either interface decodes them.
library PriceMath {
    /// @dev Prices are loan units per collateral unit × 10³⁶.
    uint256 internal constant PRICE_DECIMALS = 36;
    /// @dev More than any token in use has, and the most that the decimals of a price allow.
    uint256 internal constant MAX_TOKEN_DECIMALS = 36;
    /// @dev The largest power of ten that fits 256 bits.
    uint256 internal constant MAX_EXPONENT = 77;

    /// @notice Returns `a × b ÷ denominator`, rounded down. Reverts with `PriceOverflows` if it does not fit 256 bits.
    function mulDivDown(uint256 a, uint256 b, uint256 denominator) internal pure returns (uint256) {
        (uint256 high, uint256 low) = Math.mul512(a, b);
        if (high == 0) return low / denominator;
        if (high >= denominator) revert IChainlinkOracle.PriceOverflows(a, denominator);
        return Math.mulDiv(a, b, denominator);
    }

    /// @notice Returns the decimals of `source`, a token or a feed. Reverts if they cannot be read or exceed `max`.
    /// @dev They are read from the chain, so that they cannot be mistyped.
    function decimalsOf(address source, uint256 max) internal view returns (uint256 decimals) {
        bool known;
        (known, decimals) = tryReadWord(source, abi.encodeWithSignature("decimals()"));
        if (!known) revert IChainlinkOracle.DecimalsUnreadable(source);
        if (decimals > max) revert IChainlinkOracle.DecimalsOutOfBounds(source, decimals, max);
    }

    /// @notice Returns the decimals of a market's two tokens. Reverts unless they are two different tokens.
    function tokenDecimals(address collateralToken, address loanToken)
        internal
        view
        returns (uint256 collateralDecimals, uint256 loanDecimals)
    {
        if (collateralToken.code.length == 0) {
            revert IChainlinkOracle.NotAContract("collateral token", collateralToken);
        }
        if (loanToken.code.length == 0) revert IChainlinkOracle.NotAContract("loan token", loanToken);
        if (collateralToken == loanToken) revert IChainlinkOracle.SameToken(loanToken);
        collateralDecimals = decimalsOf(collateralToken, MAX_TOKEN_DECIMALS);
        loanDecimals = decimalsOf(loanToken, MAX_TOKEN_DECIMALS);
    }

    /// @notice Makes a static call and returns the first word of its return data, and whether there is one.
    function tryReadWord(address target, bytes memory call) internal view returns (bool ok, uint256 word) {
        bytes memory data;
        (ok, data) = target.staticcall(call);
        ok = ok && data.length >= 32;
        if (ok) word = abi.decode(data, (uint256));
    }
}
