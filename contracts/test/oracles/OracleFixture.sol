// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IAggregatorV3} from "plimsoll/interfaces/IAggregatorV3.sol";
import {IChainlinkOracle} from "plimsoll/interfaces/IChainlinkOracle.sol";
import {IOracle} from "plimsoll/interfaces/IOracle.sol";
import {ISettableFeed} from "plimsoll/interfaces/ISettableFeed.sol";
import {Creator} from "../support/Creator.sol";

/// @notice As much of a token as oracles and Uniswap's pools look at.
contract PlainToken {
    uint8 public immutable decimals;
    mapping(address => uint256) public balanceOf;

    constructor(uint8 decimals_) {
        decimals = decimals_;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

/// @title Fixture of the oracle tests: tokens, feeds, and oracles whose constructors' errors can be expected.
abstract contract OracleFixture is Test, Creator {
    uint32 internal constant HOUR = 3600;
    uint32 internal constant DAY = 86400;
    uint32 internal constant NO_AGE_LIMIT = type(uint32).max;

    address internal weth;
    address internal usdc;
    ISettableFeed internal ethUsd;
    ISettableFeed internal usdcUsd;

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        weth = newToken(18);
        usdc = newToken(6);
        ethUsd = newFeed(8, "ETH / USD", 2500e8);
        usdcUsd = newFeed(8, "USDC / USD", 1e8);
    }

    function newToken(uint8 decimals) internal returns (address) {
        return address(new PlainToken(decimals));
    }

    function newFeed(uint8 decimals, string memory description, int192 answer) internal returns (ISettableFeed) {
        bytes memory args = abi.encode(address(this), decimals, description, answer);
        return ISettableFeed(deployCode("SettableFeed.sol:SettableFeed", args));
    }

    /// @dev Whatever a real feed could answer and a settable one cannot.
    function mockRound(ISettableFeed feed, int256 answer, uint256 startedAt, uint256 updatedAt) internal {
        bytes memory round = abi.encode(uint80(1), answer, startedAt, updatedAt, uint80(1));
        vm.mockCall(address(feed), abi.encodeCall(IAggregatorV3.latestRoundData, ()), round);
    }

    /* SETUPS */

    /// @dev An hour for borrowing, a day for liquidation.
    function feedOf(ISettableFeed feed) internal pure returns (IChainlinkOracle.Feed memory) {
        return IChainlinkOracle.Feed(address(feed), HOUR, DAY);
    }

    function listOf() internal pure returns (IChainlinkOracle.Feed[] memory) {
        return new IChainlinkOracle.Feed[](0);
    }

    function listOf(ISettableFeed feed) internal pure returns (IChainlinkOracle.Feed[] memory list) {
        list = new IChainlinkOracle.Feed[](1);
        list[0] = feedOf(feed);
    }

    function listOf(ISettableFeed first, ISettableFeed second)
        internal
        pure
        returns (IChainlinkOracle.Feed[] memory list)
    {
        list = new IChainlinkOracle.Feed[](2);
        list[0] = feedOf(first);
        list[1] = feedOf(second);
    }

    /// @dev WETH against USDC by ETH / USD over USDC / USD, without sequencer and TWAP.
    function wethUsdcSetup() internal view returns (IChainlinkOracle.Setup memory given) {
        given.collateralToken = weth;
        given.loanToken = usdc;
        given.baseFeeds = listOf(ethUsd);
        given.quoteFeeds = listOf(usdcUsd);
    }

    function aroundWhole(uint256 wholePrice) internal pure returns (IChainlinkOracle.ExpectedRange memory) {
        return IChainlinkOracle.ExpectedRange(wholePrice * 0.5e18, wholePrice * 2e18);
    }

    function newOracle(IChainlinkOracle.Setup memory given, uint256 wholePrice) internal returns (IOracle) {
        return IOracle(this.create(oracleInitCode(given, aroundWhole(wholePrice))));
    }

    function oracleInitCode(IChainlinkOracle.Setup memory given, IChainlinkOracle.ExpectedRange memory expected)
        internal
        view
        returns (bytes memory)
    {
        return abi.encodePacked(vm.getCode("ChainlinkOracle.sol:ChainlinkOracle"), abi.encode(given, expected));
    }

    function expectRefused(IChainlinkOracle.Setup memory given, bytes memory reason) internal {
        expectCreationRefused(oracleInitCode(given, aroundWhole(2500)), reason);
    }

    /* EXPECTATIONS */

    function assertBothPrices(IOracle oracle, uint256 price) internal view {
        assertEq(oracle.liquidationPrice(), price, "liquidation price");
        assertEq(oracle.borrowPrice(), price, "borrow price");
    }

    function expectBothRefused(IOracle oracle, bytes memory reason) internal {
        vm.expectRevert(reason);
        oracle.liquidationPrice();
        expectBorrowRefused(oracle, reason);
    }

    function expectBorrowRefused(IOracle oracle, bytes memory reason) internal {
        vm.expectRevert(reason);
        oracle.borrowPrice();
    }
}
