// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {ILens} from "../../interfaces/ILens.sol";

/// @title Safe oracle reading library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Reads prices from oracles that may be hostile: never reverts, spends little more than `ORACLE_GAS` for a
/// price, and copies one word of the return data.
library OracleReader {
    /// @dev 300,000 is enough for an oracle of four Chainlink feeds, a sequencer feed and a Uniswap average.
    uint256 internal constant ORACLE_GAS = 500_000;
    /// @dev A call gets at most 63/64 of the remaining gas; 5,000 are added for the instructions before it.
    uint256 private constant GAS_NEEDED = ORACLE_GAS * 64 / 63 + 5_000;

    /// @notice Reads a price.
    /// @param selector of `liquidationPrice()` or `borrowPrice()`
    function read(address oracle, bytes4 selector) internal view returns (ILens.PriceReading memory reading) {
        // With less gas an honest oracle could fail, and would be reported as broken.
        if (gasleft() < GAS_NEEDED) {
            reading.status = ILens.PriceStatus.TooLittleGas;
            return reading;
        }
        bool answered;
        uint256 size;
        bytes32 word;
        assembly ("memory-safe") {
            // The first word of the return data goes to 0, which is cleared in case it is shorter; the calldata is at
            // 0x20.
            mstore(0x00, 0)
            mstore(0x20, selector)
            answered := staticcall(ORACLE_GAS, oracle, 0x20, 0x04, 0x00, 0x20)
            size := returndatasize()
            word := mload(0x00)
        }
        if (!answered) {
            reading.status = ILens.PriceStatus.Reverted;
            reading.errorData = word;
        } else if (size < 32) {
            reading.status = ILens.PriceStatus.NoAnswer;
        } else if (word == 0) {
            reading.status = ILens.PriceStatus.Zero;
        } else {
            reading.price = uint256(word);
        }
    }
}
