// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Oracle with a fixed price, in addition to `IOracle`.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice For pairs that a trusted party redeems for one another at a fixed ratio. The price does not reflect a depeg:
/// a market with this oracle is as safe as the redemption, and no safer. Both prices are the same and never revert.
interface IFixedOracle {
    /// @notice `account`, given as `role`, has no code: a zero or a mistyped address, or one of another chain.
    error NotAContract(string role, address account);
    /// @notice Collateral and loan are the same token.
    error SameToken(address token);
    /// @notice `source` does not return its decimals.
    error DecimalsUnreadable(address source);
    /// @notice `source` has more decimals than `max`.
    error DecimalsOutOfBounds(address source, uint256 decimals, uint256 max);
    /// @notice The ratio is 0 or above 1e23, a hundred thousand to one.
    error RatioOutOfBounds(uint256 ratioE18);
    /// @notice The price would not be a whole number; a fixed price must be exact.
    error PriceInexact(uint256 numerator, uint256 denominator);

    /// @notice Returns the token that is priced.
    function collateralToken() external view returns (address);

    /// @notice Returns the token in which the price is expressed.
    function loanToken() external view returns (address);

    /// @notice Returns the value of one whole collateral token in whole loan tokens, × 1e18; 1e18 is one to one.
    function ratioE18() external view returns (uint256);
}
