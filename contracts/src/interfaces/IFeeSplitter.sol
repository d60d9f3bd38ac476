// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketParams} from "../types/MarketParams.sol";

/// @title Splitter of markets' fees between a backstop and a treasury.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Intended as the fee recipient of markets whose loan token is the backstop's asset. The parts are immutable,
/// anyone may call it, and over time the division is exact even for small amounts: the remainder of a division is
/// carried over to the next. Each side is paid by itself: an amount that cannot be paid (the token blocks the treasury,
/// or the backstop has no shares) remains owed to that side, and the other is paid all the same. Any other token goes
/// to the treasury, so that no token is stuck.
interface IFeeSplitter {
    /// @notice Amounts of a token were paid; what could not be paid of the backstop's asset remains owed.
    event Distribute(address indexed token, uint256 toBackstop, uint256 toTreasury);

    error ZeroAddress();
    /// @notice The treasury's part exceeds 10,000 basis points.
    error InvalidPart(uint256 treasuryBps);

    /// @notice Collects a market's reserve above its floor and distributes it. Reverts while the backstop has no
    /// shares and is due a part; the reserve then remains in the market, where it pays for losses, since only the fee
    /// recipient can collect it. All income belongs to the shares that there are, however few: make a first deposit
    /// that stays before the owner names the splitter as fee recipient.
    /// @return toBackstop paid to the backstop
    /// @return toTreasury paid to the treasury
    function collect(MarketParams calldata params) external returns (uint256 toBackstop, uint256 toTreasury);

    /// @notice Divides the balance of a token and pays each side what it is owed, as far as that is possible.
    /// @return toBackstop paid to the backstop
    /// @return toTreasury paid to the treasury
    function distribute(address token) external returns (uint256 toBackstop, uint256 toTreasury);

    /// @notice Returns what was divided of the backstop's asset and could not be paid yet.
    function owed() external view returns (uint256 toBackstop, uint256 toTreasury);

    /// @notice Returns the core, whose markets pay the fees.
    function plimsoll() external view returns (address);

    /// @notice Returns the backstop.
    function backstop() external view returns (address);

    /// @notice Returns the treasury.
    function treasury() external view returns (address);

    /// @notice Returns the token that is divided: the backstop's asset.
    function asset() external view returns (address);

    /// @notice Returns the treasury's part, in basis points; the rest is the backstop's.
    function treasuryBps() external view returns (uint256);
}
