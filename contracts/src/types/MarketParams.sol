// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Risk} from "./Risk.sol";
import {RateCurve} from "./RateCurve.sol";

/// @notice A market's id: the keccak256 of its five parameter words.
type MarketId is bytes32;

/// @notice The immutable parameters of a market: one loan token against one collateral token.
/// @dev Five words without dynamic parts, so that the ABI encoding is the parameters one after another.
/// @param loanToken the token that is supplied and borrowed
/// @param collateralToken the token that secures the loans
/// @param oracle the price of a unit of collateral in units of the loan token (see `IOracle`)
/// @param risk loan-to-value limits and minimum debt, packed
/// @param curve the interest rate curve, packed
struct MarketParams {
    address loanToken;
    address collateralToken;
    address oracle;
    Risk risk;
    RateCurve curve;
}

using {toId} for MarketParams global;

/// @notice Returns the id of a market with these parameters, whether it exists or not.
function toId(MarketParams calldata params) pure returns (MarketId id) {
    // The words are hashed as given in calldata: a word with stray upper bits gives the id of a market that does not
    // exist.
    assembly ("memory-safe") {
        let start := mload(0x40)
        calldatacopy(start, params, 160)
        id := keccak256(start, 160)
    }
}
