// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IOracle} from "plimsoll/interfaces/IOracle.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {ILiquidateCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {LiquidationFixture} from "./LiquidationFixture.sol";

/// @title Tests of liquidating many loans in one call: order, limits, the same state as one by one, and liquidation
/// without capital.
contract LiquidateBatchTest is LiquidationFixture {
    address internal immutable RAMP = makeAddr("on the ramp");
    address internal immutable BREAKEVEN = makeAddr("breakeven");
    address internal immutable INSOLVENT = makeAddr("insolvent");
    address internal immutable HEALTHY = makeAddr("healthy");

    /// @dev Ten of collateral each, at 1,700 instead of 2,000: 14,620 carry a loan.
    function setUp() public override {
        super.setUp();
        supply(LENDER, 1_000_000e6);
        oracle.set(price(3_000));
        openLoan(RAMP, 10e18, 15_000e6);
        openLoan(BREAKEVEN, 10e18, 16_500e6);
        openLoan(INSOLVENT, 10e18, 20_000e6);
        openLoan(HEALTHY, 10e18, 14_000e6);
        oracle.set(price(1_700));
    }

    /* H9 */

    /// @notice H9: the same state as one by one, whatever the loans, losses, reserve and cover included.
    function testFuzz_H9_sameAsOneByOne(uint256[6] memory loans, uint256 fall, uint256 secs, uint256 cover) public {
        _chargeFeesAndCover(bound(cover, 1, 20_000e6));
        address[] memory borrowers = new address[](loans.length);
        oracle.set(price(3_000));
        for (uint256 i; i < loans.length; ++i) {
            borrowers[i] = makeAddr(vm.toString(i));
            openLoan(borrowers[i], 10e18, bound(loans[i], MIN_DEBT, 24_000e6));
        }
        skip(secs % 300 days);
        plimsoll.accrue(params);
        oracle.set(price(3_000) / 1000 * bound(fall, 50, 900));
        vm.assume(_anyUnhealthy(borrowers));

        uint256 start = vm.snapshotState();
        (uint256 repaid, uint256 seized) = liquidate(borrowers, type(uint256).max);
        Market memory atOnce = plimsoll.market(id);
        Position[] memory positions = _positionsOf(borrowers);
        uint256 coverLeft = plimsoll.cover(STRANGER, address(loanToken));

        vm.revertToState(start);
        for (uint256 i; i < borrowers.length; ++i) {
            if (isHealthy(loanOf(borrowers[i]))) continue;
            (uint256 repaidOne, uint256 seizedOne) = liquidate(borrowers[i], type(uint256).max);
            (repaid, seized) = (repaid - repaidOne, seized - seizedOne);
        }
        assertEq(repaid, 0);
        assertEq(seized, 0);
        Market memory m = plimsoll.market(id);
        assertEq(m.borrowAssets, atOnce.borrowAssets);
        assertEq(m.borrowShares, atOnce.borrowShares);
        assertApproxEqAbs(m.supplyAssets, atOnce.supplyAssets, loans.length);
        assertApproxEqAbs(m.supplyShares, atOnce.supplyShares, loans.length * 1e6);
        assertApproxEqAbs(m.reserveShares, atOnce.reserveShares, loans.length * 1e6);
        assertApproxEqAbs(plimsoll.cover(STRANGER, address(loanToken)), coverLeft, loans.length);
        Position[] memory oneByOne = _positionsOf(borrowers);
        assertEq(abi.encode(oneByOne), abi.encode(positions));
    }

    function _anyUnhealthy(address[] memory borrowers) private view returns (bool any) {
        for (uint256 i; i < borrowers.length; ++i) {
            any = any || !isHealthy(loanOf(borrowers[i]));
        }
    }

    function _positionsOf(address[] memory borrowers) private view returns (Position[] memory positions) {
        positions = new Position[](borrowers.length);
        for (uint256 i; i < borrowers.length; ++i) {
            positions[i] = plimsoll.position(id, borrowers[i]);
        }
    }

    function _chargeFeesAndCover(uint256 cover) private {
        vm.startPrank(OWNER);
        plimsoll.setFee(params, 2_500);
        plimsoll.setBackstop(id, STRANGER);
        vm.stopPrank();
        give(loanToken, STRANGER, cover);
        vm.startPrank(STRANGER);
        plimsoll.depositCover(address(loanToken), cover);
        plimsoll.setCoverLimit(id, cover);
        vm.stopPrank();
    }

    /* WHICH LOANS ARE LIQUIDATED */

    /// @notice Healthy loans, strangers and loans that are named again are passed over; each is liquidated once.
    function test_skipsLoansThatCannotBeLiquidated() public {
        address[] memory borrowers = new address[](8);
        (borrowers[0], borrowers[1], borrowers[2], borrowers[3]) = (HEALTHY, BREAKEVEN, STRANGER, BREAKEVEN);
        (borrowers[4], borrowers[5], borrowers[6], borrowers[7]) = (RAMP, INSOLVENT, RAMP, INSOLVENT);
        vm.recordLogs();
        (uint256 repaid,) = liquidate(borrowers, type(uint256).max);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        address[3] memory liquidated = [BREAKEVEN, RAMP, INSOLVENT];
        uint256 count;
        uint256 sum;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IPlimsoll.Liquidate.selector) continue;
            assertEq(address(uint160(uint256(logs[i].topics[3]))), liquidated[count++]);
            sum += abi.decode(logs[i].data, (LiquidationResult)).repaid;
        }
        assertEq(count, 3);
        assertEq(sum, repaid);
        assertEq(debtOf(HEALTHY), 14_000e6);
        assertEq(debtOf(BREAKEVEN), 0);
        assertEq(debtOf(INSOLVENT), 0);
        assertTrue(isHealthy(loanOf(RAMP)));
    }

    function test_nothingToLiquidate() public {
        address[] memory borrowers = new address[](0);
        vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
        plimsoll.liquidate(params, borrowers, 1, 0, STRANGER, "");
        borrowers = new address[](2);
        borrowers[0] = HEALTHY;
        vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
        plimsoll.liquidate(params, borrowers, type(uint256).max, 0, STRANGER, "");
    }

    /// @notice A write-off with nothing left to seize counts as done, even where the limit is used up before it.
    function test_writeOffsCountAndNeedNoLimit() public {
        address empty = makeAddr("nothing but dust");
        oracle.set(price(3_000));
        openLoan(empty, 0.1e18, 200e6);
        oracle.set(price(1_700));
        // No path takes one loan's collateral down to dust, so storage is written.
        bytes32 slot = bytes32(uint256(keccak256(abi.encode(empty, keccak256(abi.encode(id, uint256(3)))))) + 1);
        vm.store(address(plimsoll), slot, bytes32((uint256(vm.load(address(plimsoll), slot)) >> 128 << 128) | 1));
        assertEq(loanOf(empty).value, 0);
        assertEq(loanOf(empty).collateral, 1);

        (uint256 repaid, uint256 seized) = liquidate(_list(BREAKEVEN, empty), 16_500e6);
        assertEq(repaid, 16_500e6);
        assertEq(seized, 10e18 + 1);
        assertEq(debtOf(empty), 0);
    }

    /* THE LIMIT */

    /// @notice The limit is used up in the order given: whole, in part, not at all.
    function test_maxRepayExhaustedInTheMiddle() public {
        address second = makeAddr("second breakeven");
        oracle.set(price(3_000));
        openLoan(second, 10e18, 16_500e6);
        oracle.set(price(1_700));
        address[] memory borrowers = new address[](3);
        (borrowers[0], borrowers[1], borrowers[2]) = (BREAKEVEN, second, INSOLVENT);
        (uint256 repaid, uint256 seized) = liquidate(borrowers, 16_500e6 + 5_500e6);
        assertEq(repaid, 22_000e6);
        assertEq(seized, 10e18 + uint256(10e18) / 3);
        assertEq(debtOf(BREAKEVEN), 0);
        assertEq(debtOf(second), 11_000e6);
        assertEq(debtOf(INSOLVENT), 20_000e6);
        assertEq(plimsoll.position(id, INSOLVENT).collateral, 10e18);
    }

    function test_theOrderDecidesWhichLoansAreLiquidated() public {
        uint256 start = vm.snapshotState();
        liquidate(_list(BREAKEVEN, INSOLVENT), 16_000e6);
        assertEq(debtOf(BREAKEVEN), 500e6);
        assertEq(debtOf(INSOLVENT), 20_000e6);
        vm.revertToState(start);
        liquidate(_list(INSOLVENT, BREAKEVEN), 16_000e6);
        assertLt(debtOf(INSOLVENT), 500e6);
        // The price of debt shares may be rounded up.
        assertApproxEqAbs(debtOf(BREAKEVEN), 16_500e6, 1);
    }

    /// @notice A loan of which no part can be repaid within the remaining limit is skipped, and the next one is
    /// liquidated.
    function test_skipsALoanThatTheRestOfTheLimitCannotPay() public {
        address small = makeAddr("at the min debt");
        oracle.set(price(3_000));
        openLoan(small, 0.06e18, MIN_DEBT);
        oracle.set(price(1_700));
        (uint256 repaid,) = liquidate(_list(small, BREAKEVEN), MIN_DEBT - 5e6);
        assertEq(debtOf(small), MIN_DEBT);
        assertEq(repaid, MIN_DEBT - 5e6);
        assertEq(debtOf(BREAKEVEN), 16_500e6 - repaid);
    }

    /* THE CALLER'S BOUND */

    function test_minSeizedPerRepaid_exact() public {
        address[] memory borrowers = _list(BREAKEVEN, RAMP);
        give(loanToken, LIQUIDATOR, type(uint128).max);
        uint256 start = vm.snapshotState();
        vm.prank(LIQUIDATOR);
        (uint256 repaid, uint256 seized) = plimsoll.liquidate(params, borrowers, type(uint256).max, 0, STRANGER, "");
        uint256 offered = seized * ORACLE_SCALE / repaid;
        vm.revertToState(start);

        vm.prank(LIQUIDATOR);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.SeizedTooLittle.selector, offered, offered + 1));
        plimsoll.liquidate(params, borrowers, type(uint256).max, offered + 1, STRANGER, "");
        vm.prank(LIQUIDATOR);
        plimsoll.liquidate(params, borrowers, type(uint256).max, offered, STRANGER, "");
        assertEq(debtOf(BREAKEVEN), 0);
    }

    /// @notice Where nothing is repaid, any bound is met.
    function test_minSeizedPerRepaid_nothingRepaid() public {
        oracle.set(1);
        vm.prank(LIQUIDATOR);
        (uint256 repaid, uint256 seized) =
            plimsoll.liquidate(params, _list(BREAKEVEN, RAMP), 1, type(uint256).max, STRANGER, "");
        assertEq(repaid, 0);
        assertEq(seized, 20e18);
    }

    /* ONCE */

    /// @notice The price is read once, interest accrued once, tokens moved once, however many loans there are.
    function test_onePriceOneAccrualTwoTransfers() public {
        skip(1 days);
        address[] memory borrowers = new address[](3);
        (borrowers[0], borrowers[1], borrowers[2]) = (BREAKEVEN, INSOLVENT, RAMP);
        give(loanToken, LIQUIDATOR, type(uint128).max);
        vm.expectCall(address(oracle), abi.encodeCall(IOracle.liquidationPrice, ()), 1);
        vm.expectCall(address(oracle), abi.encodeCall(IOracle.borrowPrice, ()), 0);
        vm.recordLogs();
        vm.prank(LIQUIDATOR);
        plimsoll.liquidate(params, borrowers, type(uint256).max, 0, STRANGER, "");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(_count(logs, IPlimsoll.Accrue.selector), 1);
        assertEq(_count(logs, IPlimsoll.Liquidate.selector), 3);
        assertEq(_count(logs, IPlimsoll.RealiseLoss.selector), 1);
        assertEq(_count(logs, IERC20.Transfer.selector), 2);
    }

    function test_event() public {
        give(loanToken, LIQUIDATOR, type(uint128).max);
        Position memory p = plimsoll.position(id, BREAKEVEN);
        vm.expectEmit(address(plimsoll));
        emit IPlimsoll.Liquidate(id, LIQUIDATOR, BREAKEVEN, 16_500e6, p.borrowShares, 10e18, 0);
        vm.prank(LIQUIDATOR);
        plimsoll.liquidate(params, _list(BREAKEVEN, STRANGER), type(uint256).max, 0, STRANGER, "");
    }

    function _count(Vm.Log[] memory logs, bytes32 topic) private pure returns (uint256 count) {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == topic) ++count;
        }
    }

    /* WITHOUT CAPITAL */

    /// @notice The caller receives the collateral first, sells it and keeps the incentive; state is final when it is
    /// called.
    function test_callback_liquidatesWithoutCapital() public {
        Seller seller = new Seller(plimsoll, params, BREAKEVEN, INSOLVENT);
        // Somebody buys the collateral at the oracle's price.
        loanToken.mint(address(seller.BUYER()), 40_000e6);
        (uint256 repaid, uint256 seized) =
            seller.liquidate(_list(BREAKEVEN, INSOLVENT), abi.encode("anything", STRANGER));
        assertEq(seized, 20e18);
        assertEq(loanToken.balanceOf(address(seller)), 20 * 1_700e6 - repaid);
        assertGt(loanToken.balanceOf(address(seller)), 0);
        assertEq(collateralToken.balanceOf(address(seller)), 0);
    }

    function test_callback_thatDoesNotPayUndoesEverything() public {
        Seller seller = new Seller(plimsoll, params, BREAKEVEN, INSOLVENT);
        vm.expectRevert(
            abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, loanToken, seller, plimsoll, 16_500e6)
        );
        seller.liquidateWithoutData(BREAKEVEN);
        assertEq(debtOf(BREAKEVEN), 16_500e6);
    }

    /// @notice The receiver gets the collateral, the caller pays.
    function test_receiverIsNotTheCaller() public {
        give(loanToken, LIQUIDATOR, 16_500e6);
        vm.prank(LIQUIDATOR);
        plimsoll.liquidate(params, _list(BREAKEVEN, BREAKEVEN), type(uint256).max, 0, STRANGER, "");
        assertEq(collateralToken.balanceOf(STRANGER), 10e18);
        assertEq(collateralToken.balanceOf(LIQUIDATOR), 0);
        assertEq(loanToken.balanceOf(LIQUIDATOR), 0);
        assertEq(loanToken.balanceOf(STRANGER), 0);
    }

    function _list(address a, address b) private pure returns (address[] memory list) {
        list = new address[](2);
        (list[0], list[1]) = (a, b);
    }
}

/// @notice Liquidates with nothing of its own: sells in the callback what it was sent.
contract Seller is ILiquidateCallback {
    Buyer public immutable BUYER = new Buyer();
    IPlimsoll private immutable PLIMSOLL;
    MarketParams private _params;
    address[2] private _borrowers;
    bytes32 private _expectedData;
    bool private _called;

    constructor(IPlimsoll plimsoll, MarketParams memory params, address first, address second) {
        PLIMSOLL = plimsoll;
        _params = params;
        _borrowers = [first, second];
    }

    function liquidate(address[] calldata borrowers, bytes calldata data)
        external
        returns (uint256 repaid, uint256 seized)
    {
        _expectedData = keccak256(data);
        (repaid, seized) = PLIMSOLL.liquidate(_params, borrowers, type(uint256).max, 0, address(this), data);
        require(_called, "not called back");
    }

    function liquidateWithoutData(address borrower) external {
        address[] memory borrowers = new address[](1);
        borrowers[0] = borrower;
        PLIMSOLL.liquidate(_params, borrowers, type(uint256).max, 0, address(this), "");
    }

    function onPlimsollLiquidate(uint256 repaid, uint256 seized, bytes calldata data) external {
        require(msg.sender == address(PLIMSOLL), "called by somebody else");
        require(keccak256(data) == _expectedData, "other data");
        require(IERC20(_params.collateralToken).balanceOf(address(this)) == seized, "collateral not here yet");
        MarketId id = MarketId.wrap(keccak256(abi.encode(_params)));
        for (uint256 i; i < _borrowers.length; ++i) {
            Position memory p = PLIMSOLL.position(id, _borrowers[i]);
            require(p.borrowShares == 0 && p.collateral == 0, "books not done yet");
        }
        _called = true;
        IERC20(_params.collateralToken).transfer(address(BUYER), seized);
        BUYER.pay(IERC20(_params.loanToken), seized * 1_700e6 / 1e18);
        IERC20(_params.loanToken).approve(address(PLIMSOLL), repaid);
    }
}

/// @notice Pays for what it was sent.
contract Buyer {
    function pay(IERC20 token, uint256 amount) external {
        token.transfer(msg.sender, amount);
    }
}
