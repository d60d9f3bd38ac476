// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {RateCurve} from "plimsoll/types/RateCurve.sol";
import {Risk} from "plimsoll/types/Risk.sol";
import {CoreTest} from "../support/CoreTest.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice Attacks by markets that are not what they seem: anybody may create one, with a false oracle and a worthless
/// token, next to honest ones (I1). And what can be set up only once (attack 17).
contract FalseMarketAttackTest is CoreTest {
    /// @dev A market created, supplied with collateral and borrowed from in one transaction, while the core is full of
    /// the token that it lends.
    function test_attack03_aMarketCreatedAndUsedInOneStepLendsOnlyItsOwnSupply() public {
        supply(LENDER, 1_000_000e6);
        MarketParams memory false_ = _falseMarket();
        give(TestToken(false_.collateralToken), STRANGER, 1e30);

        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(IPlimsoll.createMarket, (false_));
        calls[1] = abi.encodeCall(IPlimsoll.supplyCollateral, (false_, 1e30, STRANGER, ""));
        calls[2] = abi.encodeCall(IPlimsoll.borrow, (false_, 1_000_000e6, 0, STRANGER, STRANGER));
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientLiquidity.selector, 1_000_000e6, 0));
        vm.prank(STRANGER);
        plimsoll.multicall(calls);
    }

    /// @dev The bad debt of a false market is paid by its own suppliers.
    function test_attack03_aFalseMarketsLossIsItsOwn() public {
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1e18, 1_000e6);
        bytes memory honest = abi.encode(plimsoll.market(id));
        MarketId honestId = id;

        params = _falseMarket();
        id = plimsoll.createMarket(params);
        collateralToken = TestToken(params.collateralToken);
        supply(STRANGER, 500_000e6);
        openLoan(STRANGER, 1e30, 500_000e6);
        TestOracle(params.oracle).set(1);
        liquidate(STRANGER, type(uint256).max);

        assertEq(plimsoll.market(id).supplyAssets, 0, "everything supplied there is lost");
        assertEq(abi.encode(plimsoll.market(honestId)), honest, "and nothing elsewhere");
        assertGe(loanToken.balanceOf(address(plimsoll)), 999_000e6, "every unit of the honest market is here");
    }

    /// @dev Helpers elsewhere trusted a market that the caller named. Here the parameters are the name.
    function testFuzz_attack03_forgedParametersNameNoMarket(uint256 field, uint256 forged) public {
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1e18, 1_000e6);
        MarketParams memory p = params;
        field %= 5;
        if (field == 0) p.loanToken = address(uint160(forged));
        else if (field == 1) p.collateralToken = address(uint160(forged));
        else if (field == 2) p.oracle = address(uint160(forged));
        else if (field == 3) p.risk = Risk.wrap(forged);
        else p.curve = RateCurve.wrap(forged);
        vm.assume(keccak256(abi.encode(p)) != keccak256(abi.encode(params)));
        address[] memory borrowers = new address[](1);
        borrowers[0] = BORROWER;

        bytes4 noMarket = IPlimsoll.MarketNotCreated.selector;
        vm.startPrank(LENDER);
        _assertRefused(noMarket, abi.encodeCall(IPlimsoll.withdraw, (p, 1, 0, LENDER, LENDER)));
        _assertRefused(noMarket, abi.encodeCall(IPlimsoll.supply, (p, 1, 0, LENDER, "")));
        _assertRefused(noMarket, abi.encodeCall(IPlimsoll.borrow, (p, 1, 0, LENDER, LENDER)));
        _assertRefused(noMarket, abi.encodeCall(IPlimsoll.repay, (p, 1, 0, BORROWER, "")));
        _assertRefused(noMarket, abi.encodeCall(IPlimsoll.supplyCollateral, (p, 1, LENDER, "")));
        _assertRefused(noMarket, abi.encodeCall(IPlimsoll.liquidate, (p, borrowers, 1, 0, LENDER, "")));
        _assertRefused(noMarket, abi.encodeCall(IPlimsoll.collectReserve, (p)));
        _assertRefused(noMarket, abi.encodeCall(IPlimsoll.accrue, (p)));
        vm.stopPrank();
        vm.startPrank(BORROWER);
        bytes memory taking = abi.encodeCall(IPlimsoll.withdrawCollateral, (p, 1, BORROWER, BORROWER));
        _assertRefused(IPlimsoll.InsufficientCollateral.selector, taking);
        vm.stopPrank();
    }

    /// @dev Neither a market nor the contract can be set up again, empty or not, by anybody.
    function test_attack17_nothingIsInitialisedTwice() public {
        supply(LENDER, 1_000e6);
        vm.prank(LENDER);
        plimsoll.withdraw(params, 1_000e6, 0, LENDER, LENDER);
        vm.prank(OWNER);
        plimsoll.setFee(params, 1_000);

        _assertRefused(IPlimsoll.MarketAlreadyCreated.selector, abi.encodeCall(IPlimsoll.createMarket, (params)));
        assertEq(plimsoll.market(id).feeBps, 1_000, "the market is as it was");
        string[4] memory initialisers = ["initialize()", "initialize(address)", "init(address)", "setOwner(address)"];
        for (uint256 i; i < initialisers.length; ++i) {
            (bool done,) = address(plimsoll).call(abi.encodeWithSignature(initialisers[i], STRANGER));
            assertFalse(done, initialisers[i]);
        }
        _assertRefused(IPlimsoll.NotPendingOwner.selector, abi.encodeCall(IPlimsoll.acceptOwnership, ()));
        assertEq(plimsoll.owner(), OWNER);
    }

    /// @dev A worthless token that its own oracle holds to be worth everything.
    function _falseMarket() private returns (MarketParams memory p) {
        p = params;
        p.collateralToken = address(new TestToken("worthless", 18));
        p.oracle = address(new TestOracle(1e45));
    }

    function _assertRefused(bytes4 why, bytes memory call) private {
        (bool done, bytes memory answer) = address(plimsoll).call(call);
        assertFalse(done, "done");
        assertEq(bytes4(answer), why, "refused for another reason");
    }
}
