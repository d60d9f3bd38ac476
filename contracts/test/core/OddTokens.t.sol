// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC3156FlashBorrower} from "plimsoll/interfaces/IERC3156FlashBorrower.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {
    BlocklistToken,
    DecimalsToken,
    FalseToken,
    FeeToken,
    NoZeroToken,
    SilentToken,
    VerboseToken
} from "../support/OddTokens.sol";
import {TestToken} from "../support/TestToken.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @notice Markets of whatever tokens.
abstract contract OddTokenTest is VerbTest {
    /// @dev A market of these, in which `loans` of the one are worth `collaterals` of the other.
    function useMarket(address loan, uint256 loans, address collateral, uint256 collaterals) internal {
        (loanToken, collateralToken) = (TestToken(loan), TestToken(collateral));
        params.loanToken = loan;
        params.collateralToken = collateral;
        params.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, 10_000);
        id = plimsoll.createMarket(params);
        oracle.set(loans * ORACLE_SCALE / collaterals);
    }

    function plain() internal returns (address) {
        return address(new TestToken("plain", 18));
    }
}

/// @title Tests of a loan from the first supply to the last withdrawal, with unusual tokens.
/// @notice Every verb that moves tokens moves the odd one, in and out; in the end nothing is left but what rounding
/// left.
abstract contract LoanLifecycle is OddTokenTest, IERC3156FlashBorrower {
    uint256 internal constant PLAIN = 1e24;

    function newOddToken() internal virtual returns (address);

    /// @dev How much of it the market is about.
    function amount() internal view virtual returns (uint256) {
        return 1e24;
    }

    function test_asLoanToken() public {
        createHistory(newOddToken(), amount(), plain(), PLAIN);
    }

    function test_asCollateral() public {
        createHistory(plain(), PLAIN, newOddToken(), amount());
    }

    function createHistory(address loan, uint256 loans, address collateral, uint256 collaterals) internal {
        useMarket(loan, loans, collateral, collaterals);
        vm.startPrank(OWNER);
        plimsoll.setFee(params, 1_000);
        plimsoll.setFeeRecipient(id, OWNER);
        vm.stopPrank();

        supply(LENDER, loans);
        openLoan(BORROWER, collaterals, loans / 2);
        assertEq(loanToken.balanceOf(BORROWER), loans / 2);
        skip(365 days);
        lendAndCover(loan);
        lendAndCover(collateral);

        oracle.set(priceAtHealth(BORROWER, 0.98e18));
        (uint256 repaid, uint256 seized) = liquidate(BORROWER, type(uint128).max);
        assertGt(repaid, 0);
        assertEq(collateralToken.balanceOf(LIQUIDATOR), seized);
        assertEq(collateralToken.balanceOf(address(plimsoll)), collaterals - seized);

        uint256 debt = debtOf(BORROWER);
        give(loanToken, STRANGER, debt);
        vm.prank(STRANGER);
        plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertEq(loanToken.balanceOf(STRANGER), 0);
        vm.prank(BORROWER);
        plimsoll.withdrawCollateral(params, collaterals - seized, BORROWER, BORROWER);
        assertEq(collateralToken.balanceOf(BORROWER), collaterals - seized);
        assertEq(collateralToken.balanceOf(address(plimsoll)), 0);

        vm.prank(OWNER);
        uint256 fees = plimsoll.collectReserve(params);
        assertEq(loanToken.balanceOf(OWNER), fees);
        uint256 shares = plimsoll.position(id, LENDER).supplyShares;
        vm.prank(LENDER);
        (uint256 assets,) = plimsoll.withdraw(params, 0, shares, LENDER, LENDER);
        assertEq(loanToken.balanceOf(LENDER), assets);
        assertGt(assets, loans);
        // Dust: the virtual shares' part of a year's interest, and rounding.
        assertLe(loanToken.balanceOf(address(plimsoll)), loans / 1e6 + 5);
    }

    /// @dev A flash loan of all there is, and cover in and out again.
    function lendAndCover(address token) internal {
        uint256 here = plimsoll.maxFlashLoan(token);
        plimsoll.flashLoan(address(this), token, here, "");
        assertEq(plimsoll.maxFlashLoan(token), here);

        give(TestToken(token), STRANGER, 1_000);
        vm.startPrank(STRANGER);
        plimsoll.depositCover(token, 1_000);
        plimsoll.withdrawCover(token, 1_000, address(1));
        vm.stopPrank();
        assertEq(TestToken(token).balanceOf(address(1)), 1_000);
        assertEq(plimsoll.maxFlashLoan(token), here);
    }

    function onFlashLoan(address, address token, uint256 assets, uint256, bytes calldata) external returns (bytes32) {
        assertEq(TestToken(token).balanceOf(address(this)), assets);
        TestToken(token).approve(msg.sender, assets);
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }
}

contract SilentTokenLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new SilentToken());
    }
}

contract FalseTokenLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new FalseToken());
    }

    /// @dev "False" is a failure, of a transfer in and of one out.
    function test_falseIsAFailure() public {
        useMarket(newOddToken(), 1, plain(), 1);
        give(loanToken, LENDER, 100e6);
        vm.startPrank(LENDER);
        vm.expectRevert(transferFailed(LENDER, address(plimsoll), 100e6 + 1));
        plimsoll.supply(params, 100e6 + 1, 0, LENDER, "");
        plimsoll.supply(params, 100e6, 0, LENDER, "");
        vm.stopPrank();

        vm.prank(address(plimsoll));
        FalseToken(address(loanToken)).transfer(address(1), 1);
        vm.prank(LENDER);
        vm.expectRevert(transferFailed(address(plimsoll), LENDER, 100e6));
        plimsoll.withdraw(params, 100e6, 0, LENDER, LENDER);
    }

    function transferFailed(address from, address to, uint256 assets) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, loanToken, from, to, assets);
    }
}

/// @dev A million whole ones.
contract NoDecimalsLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new DecimalsToken(0));
    }

    function amount() internal pure override returns (uint256) {
        return 1e6;
    }
}

contract TwoDecimalsLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new DecimalsToken(2));
    }

    function amount() internal pure override returns (uint256) {
        return 1_000_000e2;
    }
}

contract SixDecimalsLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new DecimalsToken(6));
    }

    function amount() internal pure override returns (uint256) {
        return 1_000_000e6;
    }
}

contract EighteenDecimalsLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new DecimalsToken(18));
    }
}

/// @dev A market holds about 340 whole ones.
contract ThirtyDecimalsLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new DecimalsToken(30));
    }

    function amount() internal pure override returns (uint256) {
        return 300e30;
    }
}

contract VerboseTokenLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new VerboseToken());
    }
}

contract NoZeroTokenLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new NoZeroToken());
    }

    /// @dev If an amount is 0, no transfer is requested.
    function test_noTransferOfZeroIsRequested() public {
        useMarket(newOddToken(), 1, plain(), 1);
        supply(LENDER, 100e6);
        vm.prank(LENDER);
        plimsoll.withdraw(params, 0, 1, LENDER, LENDER);
        plimsoll.repay(params, 0, 1, BORROWER, "");
        vm.startPrank(OWNER);
        plimsoll.setFeeRecipient(id, OWNER);
        assertEq(plimsoll.collectReserve(params), 0);
        vm.stopPrank();
    }
}

/// @title Tests of a token that blocks some accounts: others are not affected.
contract BlocklistTokenLifecycle is LoanLifecycle {
    function newOddToken() internal override returns (address) {
        return address(new BlocklistToken());
    }

    function test_aBlockedLenderHasItSentElsewhere() public {
        useMarket(newOddToken(), 1, plain(), 1);
        supply(LENDER, 100e6);
        setBlocked(LENDER);
        vm.startPrank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, loanToken, plimsoll, LENDER, 100e6));
        plimsoll.withdraw(params, 100e6, 0, LENDER, LENDER);
        plimsoll.withdraw(params, 100e6, 0, LENDER, STRANGER);
        assertEq(loanToken.balanceOf(STRANGER), 100e6);
    }

    /// @dev L2: others repay and liquidate a blocked borrower.
    function test_aBlockedBorrowerCanBeRepaidAndLiquidated() public {
        address odd = newOddToken();
        useMarket(odd, 1, plain(), 1);
        supply(LENDER, 100e6);
        openLoan(BORROWER, 100e6, 80e6);
        setBlocked(BORROWER);
        give(loanToken, STRANGER, 10e6);
        vm.prank(STRANGER);
        plimsoll.repay(params, 10e6, 0, BORROWER, "");
        oracle.set(priceAtHealth(BORROWER, 0.99e18));
        (uint256 repaid,) = liquidate(BORROWER, type(uint128).max);
        assertGt(repaid, 0);
    }

    function test_aBlockedFeeRecipientBlocksOnlyItself() public {
        useMarket(newOddToken(), 1, plain(), 1);
        vm.startPrank(OWNER);
        plimsoll.setFee(params, 2_500);
        plimsoll.setFeeRecipient(id, OWNER);
        vm.stopPrank();
        supply(LENDER, 100e6);
        openLoan(BORROWER, 1_000e6, 95e6);
        skip(365 days);
        setBlocked(OWNER);
        vm.prank(OWNER);
        vm.expectPartialRevert(IPlimsoll.TransferFailed.selector);
        plimsoll.collectReserve(params);
        vm.prank(LENDER);
        plimsoll.withdraw(params, 1e6, 0, LENDER, LENDER);
    }

    /// @dev I1: if the token blocks all of the core, its markets stand still, and no other does.
    function test_aBlockedCoreStopsOnlyMarketsOfThatToken() public {
        useMarket(newOddToken(), 1, plain(), 1);
        supply(LENDER, 100e6);
        setBlocked(address(plimsoll));
        vm.prank(LENDER);
        vm.expectPartialRevert(IPlimsoll.TransferFailed.selector);
        plimsoll.withdraw(params, 1, 0, LENDER, LENDER);
        createHistory(plain(), 1e24, plain(), 1e24);
    }

    function setBlocked(address who) internal {
        BlocklistToken(address(loanToken)).setBlocked(who, true);
    }
}

/// @title Tests of the effects of a token with a fee on transfer, which is not supported.
contract FeeTokenTest is OddTokenTest {
    /// @dev Each account is credited with the requested amount, but less was received, so the last withdrawal fails.
    function test_theLastToLeaveIsShort() public {
        useMarket(address(new FeeToken()), 1, plain(), 1);
        supply(LENDER, 100e6);
        supply(STRANGER, 100e6);
        assertEq(plimsoll.market(id).supplyAssets, 200e6);
        assertEq(loanToken.balanceOf(address(plimsoll)), 198e6);

        vm.prank(LENDER);
        plimsoll.withdraw(params, 100e6, 0, LENDER, LENDER);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, loanToken, plimsoll, STRANGER, 100e6));
        plimsoll.withdraw(params, 100e6, 0, STRANGER, STRANGER);
        vm.prank(STRANGER);
        plimsoll.withdraw(params, 98e6, 0, STRANGER, STRANGER);
    }

    /// @dev I1: what is missing is missing of that token; what others hold in others is all there.
    function test_onlyThatTokenIsShort() public {
        supply(LENDER, 100e6);
        openLoan(BORROWER, 1e18, MIN_DEBT);
        (address usd, address eth) = (address(loanToken), address(collateralToken));
        uint256[2] memory before = [plimsoll.maxFlashLoan(usd), plimsoll.maxFlashLoan(eth)];

        useMarket(address(new FeeToken()), 1, eth, 1);
        supply(LENDER, 100e6);
        openLoan(STRANGER, 1e9, 50e6);
        vm.startPrank(STRANGER);
        loanToken.approve(address(plimsoll), type(uint256).max);
        plimsoll.repay(params, 10e6, 0, STRANGER, "");
        plimsoll.withdrawCollateral(params, 0.5e9, STRANGER, STRANGER);
        assertEq(plimsoll.maxFlashLoan(usd), before[0]);
        assertEq(plimsoll.maxFlashLoan(eth), before[1] + 0.5e9);
    }
}
