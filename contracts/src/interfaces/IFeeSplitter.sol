// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketParams} from "../types/MarketParams.sol";

/// @title Divides markets' income between a backstop and the treasury
/// @notice Made to be the fee recipient of markets that lend the backstop's asset. The parts are fixed for ever,
/// anybody may call, and over time the division is exact however small the amounts: what rounding leaves is carried on
/// to the next. Whatever other token gets here goes to the treasury, so that nothing is stuck.
interface IFeeSplitter {
    /// @notice All that was here of a token went out.
    event Distribute(address indexed token, uint256 toBackstop, uint256 toTreasury);

    error ZeroAddress();
    /// @notice The treasury's part is at most 10,000 basis points.
    error InvalidPart(uint256 treasuryBps);

    /// @notice Collects a market's reserve above its floor and distributes it. Fails while nobody holds shares of the
    /// backstop; until then the reserve stays where it cushions losses.
    function collect(MarketParams calldata params) external returns (uint256 toBackstop, uint256 toTreasury);

    /// @notice Distributes all that is here of a token.
    function distribute(address token) external returns (uint256 toBackstop, uint256 toTreasury);

    /// @notice The core, whose markets pay in.
    function plimsoll() external view returns (address);

    function backstop() external view returns (address);

    function treasury() external view returns (address);

    /// @notice The token of which the backstop gets its part: its asset.
    function asset() external view returns (address);

    /// @notice The treasury's part; the rest is the backstop's.
    function treasuryBps() external view returns (uint256);
}
