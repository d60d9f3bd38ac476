// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IBackstop} from "plimsoll/interfaces/IBackstop.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IFeeSplitter} from "plimsoll/interfaces/IFeeSplitter.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestToken} from "../support/TestToken.sol";
import {BackstopTest} from "./BackstopTest.sol";

/// @title Tests of a backstop's income and of the splitter that distributes a market's reserve.
contract IncomeTest is BackstopTest {
    uint256 private constant DEPOSIT = 10_000e6;
    uint256 private constant TREASURY_BPS = 3_000;
    address private immutable TREASURY = makeAddr("treasury");

    IFeeSplitter private splitter;

    function setUp() public override {
        super.setUp();
        splitter = _newSplitter(TREASURY_BPS);
        vm.startPrank(OWNER);
        plimsoll.setFee(params, 2_500);
        plimsoll.setFeeRecipient(id, address(splitter));
        vm.stopPrank();
    }

    function _newSplitter(uint256 treasuryBps) private returns (IFeeSplitter) {
        return _construct(address(backstop), TREASURY, treasuryBps);
    }

    function _construct(address backstop_, address treasury, uint256 treasuryBps) private returns (IFeeSplitter) {
        bytes memory args = abi.encode(backstop_, treasury, treasuryBps);
        return IFeeSplitter(this.construct("FeeSplitter.sol:FeeSplitter", args));
    }

    /// @dev A market that is lent out for weeks, so that its reserve is far above the floor.
    function _earn() private {
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1_000e18, 990_000e6);
        skip(45 days);
        // Makes liquidity: a reserve cannot be collected as far as it is lent out.
        supply(LENDER, 1_000_000e6);
    }

    /* INCOME */

    function testFuzz_incomeRaisesAllSharesAlike(uint256 first, uint256 second, uint256 income) public {
        first = bound(first, 1e6, DEPOSIT);
        second = bound(second, 1e6, DEPOSIT);
        income = bound(income, 1, DEPOSIT);
        deposit(ALICE, first);
        deposit(BOB, second);
        uint256 supplyBefore = vault.totalSupply();
        fund(STRANGER, income);
        vm.expectEmit(address(backstop));
        emit IBackstop.AddIncome(STRANGER, income);
        vm.prank(STRANGER);
        backstop.addIncome(income);
        assertEq(vault.totalSupply(), supplyBefore);
        assertEq(cover(), first + second + income);
        // A unit each for rounding, and what the virtual unit earns.
        uint256 lost = 2 + income / (first + second);
        assertApproxEqAbs(worth(ALICE), first + income * first / (first + second), lost);
        assertApproxEqAbs(worth(BOB), second + income * second / (first + second), lost);
    }

    function test_incomeOfZeroIsRefused() public {
        deposit(ALICE, DEPOSIT);
        vm.expectRevert(abi.encodeWithSelector(IBackstop.AmountTooSmall.selector, 0));
        backstop.addIncome(0);
    }

    /// @notice It would belong to the virtual shares and distort the price for the first depositor.
    function test_incomeForNobodyIsRefused() public {
        fund(STRANGER, 1);
        vm.expectRevert(IBackstop.NoShares.selector);
        vm.prank(STRANGER);
        backstop.addIncome(1);
    }

    function test_R6_joiningJustBeforeIncomeDoesNotLeaveRightAfter() public {
        deposit(ALICE, DEPOSIT);
        uint256 shares = deposit(BOB, 100 * DEPOSIT);
        startCooldown(BOB, shares);
        addIncome(DEPOSIT);
        assertEq(vault.maxRedeem(BOB), 0);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC4626ExceededMaxRedeem.selector, BOB, shares, 0));
        redeem(BOB, shares);

        // Until BOB may leave, losses take from the newcomer's capital as from everybody's.
        uint256 before = worth(BOB);
        realiseLoss(DEPOSIT);
        assertLt(worth(BOB), before);
    }

    /// @notice Nor does an old depositor's open window serve a new deposit.
    function test_R6_anOpenWindowDoesNotSandwichIncome() public {
        deposit(ALICE, DEPOSIT);
        uint256 old = deposit(BOB, DEPOSIT);
        openWindow(BOB, old);
        deposit(BOB, 100 * DEPOSIT);
        addIncome(DEPOSIT);
        assertEq(vault.maxRedeem(BOB), old);
    }

    /// @notice A first depositor of a unit who adds income before the next deposit loses more to the virtual shares
    /// than the next depositor loses to rounding, for all amounts and decimals.
    function testFuzz_attack01_firstDepositorAndIncome(uint256 first, uint256 income, uint256 victims) public {
        first = bound(first, 1, 1e6);
        income = bound(income, 1, 1e30);
        victims = bound(victims, 1, 1e30);
        uint256 shares = deposit(STRANGER, first);
        addIncome(income);

        fund(ALICE, victims);
        vm.startPrank(ALICE);
        if (vault.previewDeposit(victims) == 0) {
            vm.expectRevert(abi.encodeWithSelector(IBackstop.AmountTooSmall.selector, victims));
            vault.deposit(victims, ALICE);
            return;
        }
        vault.deposit(victims, ALICE);
        vm.stopPrank();
        // The victim loses at most a share and a unit, and a share is worth less than a millionth of the added income.
        assertGe(worth(ALICE) + (first + income) / SHARES_PER_UNIT + 2, victims);

        openWindow(STRANGER, shares);
        redeem(STRANGER, shares);
        assertLe(loanToken.balanceOf(STRANGER), first + income);
    }

    function testFuzz_attack06_A6_donationsChangeNothing(uint256 toVault, uint256 toCore) public {
        deposit(ALICE, DEPOSIT);
        loanToken.mint(address(backstop), bound(toVault, 1, 1e30));
        loanToken.mint(address(plimsoll), bound(toCore, 1, 1e30));
        assertEq(vault.totalAssets(), DEPOSIT);
        assertEq(worth(ALICE), DEPOSIT);
        assertEq(vault.previewDeposit(DEPOSIT), DEPOSIT * SHARES_PER_UNIT);
    }

    /* FROM THE RESERVE */

    function test_theReserveAboveItsFloorGoesToBackstopAndTreasury() public {
        deposit(ALICE, DEPOSIT);
        _earn();
        vm.prank(STRANGER);
        (uint256 toBackstop, uint256 toTreasury) = splitter.collect(params);
        uint256 collected = toBackstop + toTreasury;
        assertGt(collected, 1_000e6);
        assertEq(toTreasury, collected * TREASURY_BPS / BPS);
        assertEq(loanToken.balanceOf(TREASURY), toTreasury);
        assertEq(cover(), DEPOSIT + toBackstop);
        // A unit for rounding, and what the virtual unit earns.
        assertApproxEqAbs(worth(ALICE), DEPOSIT + toBackstop, 2 + toBackstop / DEPOSIT);
        assertEq(loanToken.balanceOf(address(splitter)), 0);
    }

    /// @notice H7: what cushions a loss stays in the market.
    function test_H7_theReservesFloorStays() public {
        deposit(ALICE, DEPOSIT);
        _earn();
        splitter.collect(params);
        Market memory m = plimsoll.market(id);
        uint256 reserve = m.reserveShares * (m.supplyAssets + 1) / (m.supplyShares + 1e6);
        assertApproxEqAbs(reserve, (m.borrowAssets + 99) / 100, 1);
        (uint256 toBackstop, uint256 toTreasury) = splitter.collect(params);
        assertLe(toBackstop + toTreasury, 1);
    }

    /// @notice Tokens that others sent to the splitter are divided, too.
    function test_tokensSentByOthersAreDistributedToo() public {
        deposit(ALICE, DEPOSIT);
        uint256 collected = 10_001;
        loanToken.mint(address(splitter), collected);
        vm.expectEmit(address(splitter));
        emit IFeeSplitter.Distribute(
            address(loanToken), collected - collected * TREASURY_BPS / BPS, collected * TREASURY_BPS / BPS
        );
        splitter.distribute(address(loanToken));
        assertEq(loanToken.balanceOf(address(splitter)), 0);
    }

    function test_whileNobodyHoldsSharesTheReserveStays() public {
        _earn();
        plimsoll.accrue(params);
        uint256 reserveShares = plimsoll.market(id).reserveShares;
        vm.expectRevert(IBackstop.NoShares.selector);
        splitter.collect(params);
        // Nor can a stranger bring it to where it pays for no loss and waits for the first depositor.
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotFeeRecipient.selector, STRANGER, address(splitter)));
        plimsoll.collectReserve(params);
        assertEq(plimsoll.market(id).reserveShares, reserveShares);
    }

    /// @notice A splitter that pays the treasury alone needs no shares.
    function test_withoutABackstopsPartNoSharesAreNeeded() public {
        IFeeSplitter s = _newSplitter(BPS);
        vm.prank(OWNER);
        plimsoll.setFeeRecipient(id, address(s));
        _earn();
        (uint256 toBackstop, uint256 toTreasury) = s.collect(params);
        assertEq(toBackstop, 0);
        assertEq(loanToken.balanceOf(TREASURY), toTreasury);
        assertGt(toTreasury, 0);
    }

    /// @notice What reaches the splitter before there are shares is owed to the backstop; the treasury is paid.
    function test_withoutSharesTheBackstopsPartRemainsOwed() public {
        loanToken.mint(address(splitter), 1_000);
        (uint256 toBackstop, uint256 toTreasury) = splitter.distribute(address(loanToken));
        assertEq(toBackstop, 0);
        assertEq(toTreasury, 300);
        (toBackstop, toTreasury) = splitter.owed();
        assertEq(toBackstop, 700);
        assertEq(toTreasury, 0);
        // It is not divided again.
        (toBackstop, toTreasury) = splitter.distribute(address(loanToken));
        assertEq(toBackstop + toTreasury, 0);
        deposit(ALICE, DEPOSIT);
        loanToken.mint(address(splitter), 1_000);
        (toBackstop, toTreasury) = splitter.distribute(address(loanToken));
        assertEq(toBackstop, 1_400);
        assertEq(toTreasury, 300);
        assertEq(loanToken.balanceOf(address(splitter)), 0);
    }

    function test_aMarketThatPaysSomebodyElseDistributesNothing() public {
        deposit(ALICE, DEPOSIT);
        _earn();
        vm.prank(OWNER);
        plimsoll.setFeeRecipient(id, BOB);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotFeeRecipient.selector, address(splitter), BOB));
        splitter.collect(params);
    }

    /* THE DIVISION */

    /// @notice Amounts owed stay within their 120 bits: what exceeds them is divided when the first part was paid.
    function test_moreThanCanBeOwedIsDividedInParts() public {
        uint256 total = 2 ** 122 + 3;
        loanToken.mint(address(splitter), total);
        // Nobody holds shares, so the backstop's part remains owed, up to nearly the most that can be.
        uint256 toTreasury;
        for (uint256 i; i < 40; ++i) {
            splitter.distribute(address(loanToken));
            (uint256 owedToBackstop, uint256 owedToTreasury) = splitter.owed();
            toTreasury = loanToken.balanceOf(TREASURY);
            assertEq(owedToTreasury, 0);
            // Of all that was divided, which is what the treasury had and what is owed, each side has its part.
            assertEq(toTreasury, (toTreasury + owedToBackstop) * TREASURY_BPS / BPS);
            assertLe(owedToBackstop, type(uint120).max);
        }
        assertGt(toTreasury, uint256(type(uint120).max) * 2 / 5, "nearly the most is owed");
        deposit(ALICE, DEPOSIT);
        for (uint256 i; i < 10; ++i) {
            splitter.distribute(address(loanToken));
        }
        assertEq(loanToken.balanceOf(address(splitter)), 0);
        assertEq(loanToken.balanceOf(TREASURY), total * TREASURY_BPS / BPS);
        assertEq(cover(), DEPOSIT + total - total * TREASURY_BPS / BPS);
    }

    /// @notice A token that takes units away leaves less than is owed; nothing is divided until there is more.
    function test_lessThanIsOwedIsNotDivided() public {
        loanToken.mint(address(splitter), 1_000);
        splitter.distribute(address(loanToken));
        deal(address(loanToken), address(splitter), 300);
        splitter.distribute(address(loanToken));
        (uint256 owedToBackstop, uint256 owedToTreasury) = splitter.owed();
        assertEq(owedToBackstop, 700);
        assertEq(owedToTreasury, 0);
    }

    /// @notice However the income is cut into pieces, each side has exactly its part of the whole, to the unit.
    function testFuzz_theDivisionIsExactOverTime(uint16 treasuryBps, uint64[8] calldata pieces) public {
        treasuryBps = uint16(bound(treasuryBps, 0, BPS));
        IFeeSplitter s = _newSplitter(treasuryBps);
        deposit(ALICE, DEPOSIT);
        uint256 total;
        for (uint256 i; i < pieces.length; ++i) {
            loanToken.mint(address(s), pieces[i]);
            s.distribute(address(loanToken));
            total += pieces[i];
            assertEq(loanToken.balanceOf(TREASURY), total * treasuryBps / BPS);
            assertEq(cover(), DEPOSIT + total - total * treasuryBps / BPS);
        }
    }

    function test_collectingUnitByUnitLeavesTheTreasuryItsPart() public {
        deposit(ALICE, DEPOSIT);
        for (uint256 i; i < 10; ++i) {
            loanToken.mint(address(splitter), 1);
            splitter.distribute(address(loanToken));
        }
        assertEq(loanToken.balanceOf(TREASURY), 3);
        assertEq(cover(), DEPOSIT + 7);
    }

    function test_anotherTokenGoesToTheTreasuryAndDoesNotDisturbTheDivision() public {
        TestToken other = new TestToken("EUR", 6);
        other.mint(address(splitter), 7);
        vm.expectEmit(address(splitter));
        emit IFeeSplitter.Distribute(address(other), 0, 7);
        (uint256 toBackstop, uint256 toTreasury) = splitter.distribute(address(other));
        assertEq(toBackstop, 0);
        assertEq(toTreasury, 7);
        assertEq(other.balanceOf(TREASURY), 7);
        test_collectingUnitByUnitLeavesTheTreasuryItsPart();
    }

    function test_distributingNothingIsNoFailure() public {
        vm.recordLogs();
        (uint256 toBackstop, uint256 toTreasury) = splitter.distribute(address(loanToken));
        assertEq(vm.getRecordedLogs().length, 0, "nothing is announced");
        assertEq(toBackstop + toTreasury, 0);
    }

    function test_splitterGettersReturnTheConstructorArguments() public view {
        assertEq(splitter.plimsoll(), address(plimsoll));
        assertEq(splitter.backstop(), address(backstop));
        assertEq(splitter.treasury(), TREASURY);
        assertEq(splitter.asset(), address(loanToken));
        assertEq(splitter.treasuryBps(), TREASURY_BPS);
    }

    function test_theSplittersPartsAndAddressesAreChecked() public {
        vm.expectRevert(abi.encodeWithSelector(IFeeSplitter.InvalidPart.selector, BPS + 1));
        _construct(address(backstop), TREASURY, BPS + 1);
        vm.expectRevert(IFeeSplitter.ZeroAddress.selector);
        _construct(address(0), TREASURY, 0);
        vm.expectRevert(IFeeSplitter.ZeroAddress.selector);
        _construct(address(backstop), address(0), 0);
    }

    function test_aMarketThatDoesNotExistIsRefused() public {
        deposit(ALICE, DEPOSIT);
        MarketParams memory nowhere = params;
        nowhere.oracle = STRANGER;
        vm.expectPartialRevert(IPlimsoll.MarketNotCreated.selector);
        splitter.collect(nowhere);
    }
}
