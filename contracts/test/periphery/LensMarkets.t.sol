// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILens} from "plimsoll/interfaces/ILens.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {Creator} from "../support/Creator.sol";
import {LensTest} from "./LensTest.sol";

/// @notice The lens's markets equal the core's state, and the state that the core will store at its next call.
contract LensMarketsTest is LensTest, Creator {
    address private immutable VAULT = makeAddr("vault");

    function setUp() public override {
        super.setUp();
        vm.prank(OWNER);
        plimsoll.setFee(params, 2_000);
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 500e18, 700_000e6);
    }

    function test_accruedIsWhatTheCoreStoresNext(uint256 elapsed) public {
        skip(bound(elapsed, 1, 20 * 365 days));
        ILens.MarketLine memory line = marketLine(id);
        assertSame(line.stored, plimsoll.market(id));
        plimsoll.accrue(params);
        assertSame(line.accrued, plimsoll.market(id));
    }

    function test_ratesMatchTheInterestOfTheNextSeconds() public {
        skip(1 days);
        plimsoll.accrue(params);
        ILens.MarketLine memory line = marketLine(id);
        Market memory before = line.accrued;
        uint256 shares = plimsoll.position(id, LENDER).supplyShares;
        uint256 earnedBefore = shares * before.supplyAssets / before.supplyShares;

        skip(100);
        Market memory later = marketLine(id).accrued;
        uint256 paid = later.borrowAssets - before.borrowAssets;
        assertApproxEqAbs(paid, before.borrowAssets * line.borrowRatePerSecond * 100 / WAD, 2);
        uint256 earned = shares * later.supplyAssets / later.supplyShares - earnedBefore;
        assertApproxEqAbs(earned, before.supplyAssets * line.supplyRatePerSecond * 100 / WAD, 2);
        assertEq(line.utilisation, before.borrowAssets * WAD / before.supplyAssets);
        assertGt(paid, 100, "too little happened to tell");
    }

    function test_anEmptyMarketCostsTheLowestRateAndEarnsNothing() public {
        params.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT + 1);
        ILens.MarketLine memory line = marketLine(plimsoll.createMarket(params));
        assertEq(line.utilisation, 0);
        // A quarter of the rate at target: the curve's steepness is 4.
        assertEq(line.borrowRatePerSecond, uint256(START_RATE) / 4);
        assertEq(line.supplyRatePerSecond, 0);
    }

    function test_bothPricesAsTheOracleGivesThem() public {
        oracle.setBoth(PRICE, PRICE - 7);
        ILens.MarketLine memory line = marketLine(id);
        assertTrue(line.liquidationPrice.status == ILens.PriceStatus.Ok);
        assertTrue(line.borrowPrice.status == ILens.PriceStatus.Ok);
        assertEq(line.liquidationPrice.price, PRICE);
        assertEq(line.borrowPrice.price, PRICE - 7);
    }

    function test_availableCoverIsBoundedByCoverAndLimit() public {
        assertEq(marketLine(id).backstop, address(0));
        assertEq(marketLine(id).availableCover, 0);

        give(loanToken, VAULT, 500e6);
        vm.startPrank(VAULT);
        plimsoll.depositCover(address(loanToken), 500e6);
        plimsoll.setCoverLimit(id, 300e6);
        vm.stopPrank();
        vm.prank(OWNER);
        plimsoll.setBackstop(id, VAULT);
        assertEq(marketLine(id).backstop, VAULT);
        assertEq(marketLine(id).availableCover, 300e6);

        vm.prank(VAULT);
        plimsoll.setCoverLimit(id, type(uint256).max);
        assertEq(marketLine(id).availableCover, 500e6);

        vm.prank(VAULT);
        plimsoll.setCoverFloor(address(loanToken), 1e6);
        assertEq(marketLine(id).availableCover, 499e6);
        vm.prank(VAULT);
        plimsoll.setCoverFloor(address(loanToken), type(uint256).max);
        assertEq(marketLine(id).availableCover, 0);
    }

    /// @dev The room of this block, of a market that was last updated long ago.
    function test_theSurgeRoomIsWhatTheCoreLends() public {
        assertEq(marketLine(id).surgePeriodSecs, 0);
        assertEq(marketLine(id).surgeRoom, type(uint256).max);

        params.risk = params.risk.withSurgeLimit(1_000, 1 days, 1_000);
        id = plimsoll.createMarket(params);
        supply(LENDER, 1_000_000e6);
        assertEq(marketLine(id).surgePeriodSecs, 1 days);
        assertEq(marketLine(id).surgeRoom, 100_000e6);
        openLoan(BORROWER, 500e18, 90_000e6);
        skip(6 hours);
        uint256 room = marketLine(id).surgeRoom;
        assertApproxEqRel(room, 35_000e6, 0.1e18);
        vm.startPrank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.SurgeLimitExceeded.selector, room + 1, room));
        plimsoll.borrow(params, room + 1, 0, BORROWER, BORROWER);
        plimsoll.borrow(params, room, 0, BORROWER, BORROWER);
        vm.stopPrank();
        assertLt(marketLine(id).surgeRoom, 1_000);
    }

    /// @dev L3
    function test_anUnknownMarketIsAnEmptyLineAmongOthers(bytes32 unknown) public view {
        vm.assume(unknown != MarketId.unwrap(id));
        MarketId[] memory ids = new MarketId[](3);
        (ids[0], ids[1], ids[2]) = (id, MarketId.wrap(unknown), id);
        ILens.MarketLine[] memory lines = lens.markets(ids);

        assertEq(keccak256(abi.encode(lines[2])), keccak256(abi.encode(lines[0])));
        assertSame(lines[0].stored, plimsoll.market(id));
        ILens.MarketLine memory empty;
        empty.id = ids[1];
        assertEq(keccak256(abi.encode(lines[1])), keccak256(abi.encode(empty)));
    }

    function test_aSnapshotIsTheMarketsAndTheirBlock() public {
        vm.roll(1234);
        vm.fee(5 gwei);
        skip(1 hours);
        MarketId[] memory ids = new MarketId[](2);
        (ids[0], ids[1]) = (id, MarketId.wrap(0));
        ILens.Snapshot memory snapshot = lens.snapshot(ids);
        assertEq(snapshot.blockNumber, 1234);
        assertEq(snapshot.timestamp, vm.getBlockTimestamp());
        assertEq(snapshot.baseFee, 5 gwei);
        assertEq(keccak256(abi.encode(snapshot.markets)), keccak256(abi.encode(lens.markets(ids))));
    }

    function test_aLensNamesItsCore() public view {
        assertEq(lens.plimsoll(), address(plimsoll));
    }

    function test_aLensOverNothingIsRefused() public {
        bytes memory initCode = abi.encodePacked(vm.getCode("Lens.sol:Lens"), abi.encode(STRANGER));
        expectCreationRefused(initCode, abi.encodeWithSelector(ILens.NoCode.selector, STRANGER));
    }
}
