// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title An oracle that always says the same: `IOracle`, plus what it was made of and why it refuses
/// @notice For pairs that are redeemable for one another at a fixed ratio by somebody who is trusted to do so. It sees
/// no depeg: a market over it is as safe as that redemption, and no safer. Both prices are the same number and never
/// revert.
interface IFixedOracle {
    /// @notice `account`, named as `role`, has no code: a zero or a mistyped address, or one of another chain.
    error NotAContract(string role, address account);
    /// @notice Collateral and loan are the same token.
    error SameToken(address token);
    /// @notice `source` does not say how many decimals it has.
    error DecimalsUnreadable(address source);
    /// @notice `source` has more decimals than `max`.
    error DecimalsOutOfBounds(address source, uint256 decimals, uint256 max);
    /// @notice The ratio is 0 or above 1e23, a hundred thousand to one.
    error RatioOutOfBounds(uint256 ratioE18);
    /// @notice The price would not be a whole number, and a fixed price has no excuse for rounding.
    error PriceInexact(uint256 numerator, uint256 denominator);

    /// @notice The token that is priced.
    function collateralToken() external view returns (address);

    /// @notice The token it is priced in.
    function loanToken() external view returns (address);

    /// @notice How many whole loan tokens one whole collateral token is worth, × 1e18; 1e18 is one to one.
    function ratioE18() external view returns (uint256);
}
