// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IWrappedCoin} from "plimsoll/interfaces/IWrappedCoin.sol";
import {TestToken} from "./TestToken.sol";

/// @notice A token that anybody mints, and that wraps the chain's coin. Coins for what was minted have to be given to it.
contract WrappedCoin is TestToken, IWrappedCoin {
    constructor(string memory name_) TestToken(name_, 18) {}

    function deposit() external payable {
        _mint(msg.sender, msg.value);
    }

    function withdraw(uint256 amount) public virtual {
        _burn(msg.sender, amount);
        SafeTransferLib.safeTransferETH(msg.sender, amount);
    }
}
