// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IMintable} from "../support/UniswapV3.sol";
import {Creator} from "../support/Creator.sol";

interface IUniswapV2Factory {
    function createPair(address tokenA, address tokenB) external returns (address);
}

interface IPair {
    function token0() external view returns (address);
    function getReserves() external view returns (uint112, uint112, uint32);
    function mint(address to) external returns (uint256);
    function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes calldata data) external;
    function skim(address to) external;
    function sync() external;
}

/// @title Real Uniswap V2 pairs, from the bytecode that Uniswap published.
abstract contract UniswapV2 is Creator {
    string private constant ARTIFACTS = "node_modules/@uniswap/v2-core/build/";

    IUniswapV2Factory internal uniswapV2Factory;

    function deployUniswapV2() internal {
        bytes memory initCode = abi.encodePacked(_pairCode("UniswapV2Factory.json"), abi.encode(address(this)));
        uniswapV2Factory = IUniswapV2Factory(this.create(initCode));
    }

    function pairInitCodeHash() internal view returns (bytes32) {
        return keccak256(_pairCode("UniswapV2Pair.json"));
    }

    /// @dev A pair that holds these amounts, and so has their price.
    function newPair(address tokenA, uint256 amountA, address tokenB, uint256 amountB) internal returns (IPair pair) {
        pair = IPair(uniswapV2Factory.createPair(tokenA, tokenB));
        IMintable(tokenA).mint(address(pair), amountA);
        IMintable(tokenB).mint(address(pair), amountB);
        pair.mint(address(this));
    }

    function _pairCode(string memory artifact) private view returns (bytes memory) {
        string memory code = vm.parseJsonString(vm.readFile(string.concat(ARTIFACTS, artifact)), ".bytecode");
        return vm.parseBytes(string.concat("0x", code));
    }
}
