// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {LiquidationFixture} from "./LiquidationFixture.sol";

/// @title Tests of the fee, the reserve, and collecting it.
contract ReserveTest is LiquidationFixture {
    address internal immutable RECIPIENT = makeAddr("recipient");

    function setUp() public override {
        super.setUp();
        supply(LENDER, 100_000e6);
        openLoan(BORROWER, 1_000e18, 90_000e6);
        vm.prank(OWNER);
        plimsoll.setFeeRecipient(id, RECIPIENT);
    }

    function reserveValue() internal view returns (uint256) {
        Market memory m = accrued();
        return SharesMath.toAssetsDown(m.reserveShares, m.supplyAssets, m.supplyShares);
    }

    function setFee(uint256 feeBps) internal {
        vm.prank(OWNER);
        plimsoll.setFee(params, feeBps);
    }

    /* THE FEE */

    /// @notice The reserve gets its part of the interest and the suppliers the rest; the reserve's shares are part of
    /// all shares (A1).
    function testFuzz_feeIsAPartOfTheInterest(uint256 feeBps, uint256 secs) public {
        feeBps = bound(feeBps, 0, 2_500);
        setFee(feeBps);
        assertEq(plimsoll.market(id).feeBps, feeBps);
        skip(bound(secs, 1, 365 days));
        plimsoll.accrue(params);
        Market memory m = plimsoll.market(id);
        uint256 interest = m.supplyAssets - 100_000e6;
        assertEq(m.borrowAssets - 90_000e6, interest);
        assertApproxEqAbs(reserveValue(), interest * feeBps / BPS, 1);
        assertEq(m.supplyShares, plimsoll.position(id, LENDER).supplyShares + m.reserveShares, "A1");
        // At most a unit is the virtual shares'.
        assertApproxEqAbs(suppliedBy(LENDER), 100_000e6 + interest - reserveValue(), 2);
    }

    function test_feeBound() public {
        setFee(2_500);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.FeeTooHigh.selector, 2_501, 2_500));
        plimsoll.setFee(params, 2_501);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotOwner.selector, STRANGER));
        plimsoll.setFee(params, 0);
    }

    /// @notice A new fee counts from now on: interest up to here is charged at the old one.
    function test_aNewFeeIsNotForThePast() public {
        skip(100 days);
        setFee(2_500);
        assertEq(plimsoll.market(id).reserveShares, 0);
        assertEq(plimsoll.market(id).lastUpdate, vm.getBlockTimestamp());
        skip(100 days);
        uint256 reserve = reserveValue();
        assertGt(reserve, 0);
        setFee(0);
        assertEq(reserveValue(), reserve);
        skip(100 days);
        // The reserve's assets earn interest like any supply, but are charged no fee.
        Market memory m = accrued();
        assertEq(m.reserveShares, plimsoll.market(id).reserveShares);
    }

    /// @notice A9: accruing every second, with less than a unit of interest a second, deprives neither the suppliers
    /// nor the reserve of interest.
    function test_A9_accruingEverySecondStarvesNobody() public {
        // In 2 decimals: 10,000.00 supplied, 9,000.00 lent at about 4 %: a unit of interest in nearly 15 minutes.
        useMarket(LIQUIDATION_LTV_BPS, 10_000);
        supply(LENDER, 1_000_000);
        openLoan(BORROWER, 1e18, 900_000);
        setFee(2_500);
        uint256 start = vm.snapshotState();
        uint256 secs = 6_000;
        skip(secs);
        plimsoll.accrue(params);
        Market memory atOnce = plimsoll.market(id);
        assertGt(atOnce.supplyAssets, 1_000_000);
        vm.revertToState(start);

        for (uint256 i; i < secs; ++i) {
            skip(1);
            plimsoll.accrue(params);
        }
        Market memory m = plimsoll.market(id);
        assertEq(m.supplyAssets, atOnce.supplyAssets);
        // Fees below a unit are minted as shares, of which there are a million to a unit.
        uint256 fee = (m.supplyAssets - 1_000_000) * 250_000;
        assertApproxEqRel(m.reserveShares, fee, 0.001e18);
        assertApproxEqRel(atOnce.reserveShares, fee, 0.001e18);
    }

    /* COLLECTING */

    /// @notice The reserve above 1 % of the debt, rounded up, goes to the recipient, up to the
    /// liquidity, and at the current share price, so that suppliers lose nothing.
    function testFuzz_collect(uint256 feeBps, uint256 secs, uint256 idle) public {
        setFee(bound(feeBps, 1, 2_500));
        // The reserve passes 1 % of the debt within two years at the highest fee.
        skip(bound(secs, 1, 1000 days));
        plimsoll.accrue(params);
        Market memory before = plimsoll.market(id);
        // Leave only so much that is not lent out.
        idle = bound(idle, 0, before.supplyAssets - before.borrowAssets);
        uint256 out = before.supplyAssets - before.borrowAssets - idle;
        if (out != 0) {
            vm.prank(LENDER);
            plimsoll.withdraw(params, out, 0, LENDER, LENDER);
        }
        before = plimsoll.market(id);
        uint256 floor = (before.borrowAssets + 99) / 100;
        uint256 value = reserveValue();
        uint256 expected = value > floor ? value - floor : 0;
        if (expected > idle) expected = idle;
        uint256 lender = suppliedBy(LENDER);
        uint256 shares = SharesMath.toSharesUp(expected, before.supplyAssets, before.supplyShares);

        vm.expectEmit(address(plimsoll));
        emit IPlimsoll.CollectReserve(id, RECIPIENT, expected, shares);
        vm.prank(RECIPIENT);
        assertEq(plimsoll.collectReserve(params), expected);
        assertEq(loanToken.balanceOf(RECIPIENT), expected);
        Market memory m = plimsoll.market(id);
        assertEq(m.supplyAssets, before.supplyAssets - expected);
        assertEq(m.supplyShares, before.supplyShares - shares);
        assertEq(m.reserveShares, before.reserveShares - shares);
        assertEq(m.borrowAssets, before.borrowAssets);
        assertLe(m.borrowAssets, m.supplyAssets, "A2");
        assertGe(suppliedBy(LENDER), lender, "A5");
        // H7: the floor stays.
        if (value >= floor) assertGe(reserveValue() + 1, floor);
    }

    function test_collect_leavesExactlyOnePerCent() public {
        setFee(2_500);
        skip(2 * 365 days);
        vm.startPrank(RECIPIENT);
        uint256 assets = plimsoll.collectReserve(params);
        assertGt(assets, 0);
        assertApproxEqAbs(reserveValue(), plimsoll.market(id).borrowAssets / 100, 1);
        // Nothing more is to be had.
        assertLe(plimsoll.collectReserve(params), 1);
        vm.stopPrank();
    }

    function test_collect_accruesFirst() public {
        setFee(2_500);
        skip(365 days);
        vm.prank(RECIPIENT);
        plimsoll.collectReserve(params);
        assertEq(plimsoll.market(id).lastUpdate, vm.getBlockTimestamp());
    }

    /// @notice Nobody else moves the reserve out of the market, where it pays for losses.
    function test_H7_collect_onlyByTheRecipient() public {
        setFee(2_500);
        skip(2 * 365 days);
        address[3] memory others = [STRANGER, OWNER, LENDER];
        for (uint256 i; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotFeeRecipient.selector, others[i], RECIPIENT));
            plimsoll.collectReserve(params);
        }
    }

    function test_collect_withoutARecipient() public {
        setFee(2_500);
        skip(365 days);
        vm.prank(OWNER);
        plimsoll.setFeeRecipient(id, address(0));
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NoFeeRecipient.selector, id));
        plimsoll.collectReserve(params);
    }

    function test_collect_unknownMarket() public {
        params.oracle = address(this);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, keccak256(abi.encode(params))));
        plimsoll.collectReserve(params);
    }
}

/// @title Tests of a backstop's cover, floor and limits in the core.
contract CoverTest is LiquidationFixture {
    address internal immutable VAULT = makeAddr("vault");

    function setUp() public override {
        super.setUp();
        give(loanToken, VAULT, 1_000e6);
    }

    function test_deposit() public {
        vm.startPrank(VAULT);
        vm.expectEmit(address(plimsoll));
        emit IPlimsoll.DepositCover(VAULT, address(loanToken), 300e6);
        plimsoll.depositCover(address(loanToken), 300e6);
        plimsoll.depositCover(address(loanToken), 200e6);
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 500e6);
        assertEq(loanToken.balanceOf(address(plimsoll)), 500e6);
        assertEq(loanToken.balanceOf(VAULT), 500e6);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 0));
        plimsoll.depositCover(address(loanToken), 0);
        vm.expectRevert(
            abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, loanToken, VAULT, plimsoll, 500e6 + 1)
        );
        plimsoll.depositCover(address(loanToken), 500e6 + 1);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, VAULT, VAULT, plimsoll, 1));
        plimsoll.depositCover(VAULT, 1);
        vm.stopPrank();
    }

    function test_withdraw() public {
        vm.startPrank(VAULT);
        plimsoll.depositCover(address(loanToken), 500e6);
        vm.expectEmit(address(plimsoll));
        emit IPlimsoll.WithdrawCover(VAULT, address(loanToken), STRANGER, 200e6);
        plimsoll.withdrawCover(address(loanToken), 200e6, STRANGER);
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 300e6);
        assertEq(loanToken.balanceOf(STRANGER), 200e6);
        assertEq(loanToken.balanceOf(address(plimsoll)), 300e6);

        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientCover.selector, 300e6 + 1, 300e6));
        plimsoll.withdrawCover(address(loanToken), 300e6 + 1, VAULT);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 0));
        plimsoll.withdrawCover(address(loanToken), 0, VAULT);
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        plimsoll.withdrawCover(address(loanToken), 1, address(0));
        plimsoll.withdrawCover(address(loanToken), 300e6, VAULT);
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 0);
        vm.stopPrank();
    }

    /// @notice I2: nobody else's cover can be taken, and none of another token.
    function test_I2_onlyOnesOwn() public {
        vm.prank(VAULT);
        plimsoll.depositCover(address(loanToken), 500e6);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientCover.selector, 1, 0));
        plimsoll.withdrawCover(address(loanToken), 1, STRANGER);
        supplyCollateral(BORROWER, 1e18);
        vm.prank(VAULT);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientCover.selector, 1, 0));
        plimsoll.withdrawCover(address(collateralToken), 1, VAULT);
    }

    function test_limit() public {
        vm.startPrank(VAULT);
        vm.expectEmit(address(plimsoll));
        emit IPlimsoll.SetCoverLimit(VAULT, id, 400e6);
        plimsoll.setCoverLimit(id, 400e6);
        assertEq(plimsoll.coverLimit(VAULT, id), 400e6);
        plimsoll.setCoverLimit(id, 0);
        assertEq(plimsoll.coverLimit(VAULT, id), 0);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, bytes32(0)));
        plimsoll.setCoverLimit(MarketId.wrap(0), 1);
        vm.stopPrank();
        assertEq(plimsoll.coverLimit(STRANGER, id), 0);
    }

    function test_floor() public {
        vm.startPrank(VAULT);
        vm.expectEmit(address(plimsoll));
        emit IPlimsoll.SetCoverFloor(VAULT, address(loanToken), 100e6);
        plimsoll.setCoverFloor(address(loanToken), 100e6);
        vm.stopPrank();
        assertEq(plimsoll.coverFloor(VAULT, address(loanToken)), 100e6);
        assertEq(plimsoll.coverFloor(VAULT, address(collateralToken)), 0);
        assertEq(plimsoll.coverFloor(STRANGER, address(loanToken)), 0);
    }

    /// @notice A6: tokens that are sent here belong to nobody's cover.
    function test_A6_donationsAreNotCover() public {
        loanToken.mint(address(plimsoll), 1_000e6);
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 0);
        vm.prank(VAULT);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientCover.selector, 1, 0));
        plimsoll.withdrawCover(address(loanToken), 1, VAULT);
    }
}
