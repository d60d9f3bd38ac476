// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Limits of a Chainlink price feed.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice A proxy has `aggregator`, the aggregator behind it has the limits. Feeds of other providers have neither.
interface IAggregatorLimits {
    /// @notice Returns the aggregator that a proxy passes calls to at present.
    function aggregator() external view returns (address);

    /// @notice Returns the lowest answer that the aggregator gives: a lower price is not reported.
    function minAnswer() external view returns (int192);

    /// @notice Returns the highest answer that the aggregator gives: a higher price is not reported.
    function maxAnswer() external view returns (int192);
}
