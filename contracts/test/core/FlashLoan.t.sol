// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC3156FlashBorrower} from "plimsoll/interfaces/IERC3156FlashBorrower.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {TestToken} from "../support/TestToken.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @notice Receives flash loans, records the arguments of the callback, and acts as the test configured it.
contract FlashBorrower is IERC3156FlashBorrower {
    bytes32 internal constant ANSWER = keccak256("ERC3156FlashBorrower.onFlashLoan");

    bytes32 public answer = ANSWER;
    /// @dev How much of the loan it gives away.
    uint256 public spends;
    /// @dev How much it borrows once more while it has the loan.
    uint256 public nests;
    bytes32 public received;
    uint256 public held;
    uint256 public stillThere;

    function set(bytes32 answer_, uint256 spends_, uint256 nests_) external {
        (answer, spends, nests) = (answer_, spends_, nests_);
    }

    function onFlashLoan(address initiator, address token, uint256 amount, uint256 fee, bytes calldata data)
        external
        returns (bytes32)
    {
        received = keccak256(abi.encode(msg.sender, initiator, token, amount, fee, data));
        held = TestToken(token).balanceOf(address(this));
        stillThere = IPlimsoll(msg.sender).maxFlashLoan(token);
        if (spends != 0) TestToken(token).transfer(address(1), spends);
        if (nests != 0) {
            uint256 more = nests;
            nests = 0;
            IPlimsoll(msg.sender).flashLoan(address(this), token, more, data);
        }
        TestToken(token).approve(msg.sender, type(uint256).max);
        return answer;
    }
}

/// @title Tests of `flashLoan`: up to the balance, free, repaid by the end of the call (ERC-3156).
contract FlashLoanTest is VerbTest {
    FlashBorrower internal taker;

    function setUp() public override {
        super.setUp();
        taker = new FlashBorrower();
        createHistory();
        plimsoll.accrue(params);
    }

    /// @dev I1: what markets hold is lent, and their books do not notice.
    function testFuzz_lendsUpToTheBalance(uint256 assets, bytes calldata data) public {
        uint256 here = loanToken.balanceOf(address(plimsoll));
        assets = bound(assets, 1, here);
        Balances memory b = balances();

        expectEvent();
        emit IPlimsoll.FlashLoan(STRANGER, address(taker), address(loanToken), assets);
        vm.prank(STRANGER);
        assertTrue(plimsoll.flashLoan(address(taker), address(loanToken), assets, data));

        assertEq(taker.received(), keccak256(abi.encode(plimsoll, STRANGER, loanToken, assets, 0, data)));
        assertEq(taker.held(), assets);
        assertEq(taker.stillThere(), here - assets);
        assertEq(loanToken.balanceOf(address(taker)), 0);
        assertBalances(b);
    }

    function test_collateralIsLentToo() public {
        uint256 here = collateralToken.balanceOf(address(plimsoll));
        plimsoll.flashLoan(address(taker), address(collateralToken), here, "");
        assertEq(taker.held(), here);
        assertEq(collateralToken.balanceOf(address(plimsoll)), here);
    }

    function test_oneInsideAnother() public {
        uint256 here = loanToken.balanceOf(address(plimsoll));
        taker.set(taker.answer(), 0, here - 1e6);
        plimsoll.flashLoan(address(taker), address(loanToken), 1e6, "");
        assertEq(taker.held(), here);
        assertEq(loanToken.balanceOf(address(plimsoll)), here);
    }

    function testFuzz_isFree(uint256 assets) public view {
        assertEq(plimsoll.flashFee(address(loanToken), assets), 0);
        assertEq(plimsoll.flashFee(address(collateralToken), assets), 0);
    }

    /// @dev ERC-3156: the fee of a token that is not lent is no number.
    function test_noFeeForATokenThatIsNotLent() public {
        TestToken absent = new TestToken("ABSENT", 18);
        address[3] memory notLent = [address(absent), STRANGER, address(oracle)];
        for (uint256 i; i < notLent.length; ++i) {
            assertEq(plimsoll.maxFlashLoan(notLent[i]), 0);
            vm.expectRevert(abi.encodeWithSelector(IPlimsoll.TokenNotLent.selector, notLent[i]));
            plimsoll.flashFee(notLent[i], 1);
        }
    }

    function test_maxFlashLoanIsTheBalance() public {
        assertEq(plimsoll.maxFlashLoan(address(loanToken)), loanToken.balanceOf(address(plimsoll)));
        assertGt(plimsoll.maxFlashLoan(address(loanToken)), 0);
        // L3: 0 for what is no token: nobody, a contract that does not answer, one that answers too little.
        assertEq(plimsoll.maxFlashLoan(STRANGER), 0);
        assertEq(plimsoll.maxFlashLoan(address(oracle)), 0);
        vm.etch(STRANGER, hex"60ff5f53601f5ff3");
        assertEq(plimsoll.maxFlashLoan(STRANGER), 0);
    }

    /* REFUSED */

    function test_refusesNoAmount() public {
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 0));
        plimsoll.flashLoan(address(taker), address(loanToken), 0, "");
    }

    function testFuzz_refusesMoreThanTheBalance(uint256 assets) public {
        uint256 here = loanToken.balanceOf(address(plimsoll));
        assets = bound(assets, here + 1, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.FlashLoanTooLarge.selector, assets, here));
        plimsoll.flashLoan(address(taker), address(loanToken), assets, "");
    }

    function test_refusesAnAddressThatIsNoToken() public {
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.FlashLoanTooLarge.selector, 1, 0));
        plimsoll.flashLoan(address(taker), STRANGER, 1, "");
    }

    function testFuzz_refusesAnyOtherAnswer(bytes32 answer) public {
        vm.assume(answer != taker.answer());
        taker.set(answer, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.FlashLoanRefused.selector, taker));
        plimsoll.flashLoan(address(taker), address(loanToken), 1e6, "");
    }

    /// @dev An account without the callback cannot be sent a loan, even if it approved the core.
    function test_refusesAReceiverThatCannotAnswer() public {
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.FlashLoanRefused.selector, LENDER));
        plimsoll.flashLoan(LENDER, address(loanToken), 1e6, "");
    }

    function test_refusesALoanThatIsNotReturnedWhole() public {
        taker.set(taker.answer(), 1, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, loanToken, taker, address(plimsoll), 1e6)
        );
        plimsoll.flashLoan(address(taker), address(loanToken), 1e6, "");
    }
}
