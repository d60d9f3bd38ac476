// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {IERC3156FlashBorrower} from "plimsoll/interfaces/IERC3156FlashBorrower.sol";
import {IRepayCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Attacks on `deleverage`: the collateral is out before the repayment is in.
contract DeleverageAttacksTest is VerbTest, IRepayCallback, IERC3156FlashBorrower {
    function setUp() public override {
        super.setUp();
        params.risk = params.risk.withSurgeLimit(0, 30 days, 10);
        id = plimsoll.createMarket(params);
        supply(LENDER, 1_000_000e6);
        supplyCollateral(address(this), 1e18);
        plimsoll.borrow(params, 10 * uint256(MIN_DEBT), 0, address(this), address(this));
        loanToken.approve(address(plimsoll), type(uint256).max);
    }

    /// @dev A4, A2 and S3: with the collateral in hand, the repayment is borrowed again against it. The debt is what it
    /// was, and so is the collateral: the refund of the surge limit gives room for the same loan, and for no unit more.
    function test_theRepaymentBorrowedAgainInTheCallback() public {
        loanToken.transfer(STRANGER, loanToken.balanceOf(address(this)));
        collateralToken.approve(address(plimsoll), type(uint256).max);
        plimsoll.deleverage(params, type(uint256).max, 1e18, address(this), address(this), "again");
        assertEq(debtOf(address(this)), 10 * uint256(MIN_DEBT));
        assertEq(plimsoll.position(id, address(this)).collateral, 1e18);
        assertEq(collateralToken.balanceOf(address(this)), 0);
        assertEq(loanToken.balanceOf(address(this)), 0);
        assertEq(loanToken.balanceOf(address(plimsoll)), 1_000_000e6 - 10 * uint256(MIN_DEBT));
        vm.expectPartialRevert(IPlimsoll.SurgeLimitExceeded.selector);
        plimsoll.borrow(params, 1, 0, address(this), address(this));
    }

    /// @dev A2: lent in a flash loan while the repayment is outstanding, the contract's tokens come back all the same.
    function test_aFlashLoanInTheCallback() public {
        uint256 held = loanToken.balanceOf(address(plimsoll));
        plimsoll.deleverage(params, 5 * uint256(MIN_DEBT), 0.5e18, address(this), address(this), "flash");
        assertEq(loanToken.balanceOf(address(plimsoll)), held + 5 * uint256(MIN_DEBT));
    }

    /// @dev A part that leaves just the minimum debt is refused if a stranger repays a unit ahead; the whole never is.
    function test_aUnitRepaidAheadStopsAPartButNotTheWhole() public {
        give(loanToken, STRANGER, 1e6);
        vm.prank(STRANGER);
        plimsoll.repay(params, 1, 0, address(this), "");
        vm.expectPartialRevert(IPlimsoll.DebtTooSmall.selector);
        plimsoll.deleverage(params, 9 * uint256(MIN_DEBT), 0.9e18, address(this), address(this), "");
        plimsoll.deleverage(params, type(uint256).max, 1e18, address(this), address(this), "");
    }

    function onPlimsollRepay(uint256 assets, bytes calldata data) external {
        if (keccak256(data) == keccak256("again")) {
            plimsoll.supplyCollateral(params, 1e18, address(this), "");
            plimsoll.borrow(params, assets, 0, address(this), address(this));
        } else {
            uint256 all = loanToken.balanceOf(address(plimsoll));
            plimsoll.flashLoan(address(this), address(loanToken), all, "");
        }
    }

    function onFlashLoan(address, address, uint256, uint256, bytes calldata) external pure returns (bytes32) {
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }
}
