// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "solady/tokens/ERC20.sol";

/// @notice A plain token that anybody mints, for tests and local chains.
contract TestToken is ERC20 {
    string internal _name;
    uint8 internal immutable DECIMALS;

    constructor(string memory name_, uint8 decimals_) {
        _name = name_;
        DECIMALS = decimals_;
    }

    function name() public view override returns (string memory) {
        return _name;
    }

    function symbol() public view override returns (string memory) {
        return _name;
    }

    function decimals() public view override returns (uint8) {
        return DECIMALS;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
