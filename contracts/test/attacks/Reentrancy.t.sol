// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC3156FlashBorrower} from "plimsoll/interfaces/IERC3156FlashBorrower.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {DebtMath} from "plimsoll/libraries/DebtMath.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {CoreTest} from "../support/CoreTest.sol";
import {HookedToken, ITransferHook} from "../support/HookedToken.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice Attack 8: tokens that call somebody on every transfer, in and out, while a second market of the same tokens
/// stands open. The attacker is this contract: whichever verb it uses, it takes out and borrows whatever it can in the
/// middle of it, and must not have gained.
contract ReentrancyAttackTest is CoreTest, ITransferHook, IERC3156FlashBorrower {
    MarketParams private otherParams;
    MarketId private otherId;
    bool private armed;
    uint256 private entered;

    function newTokens() internal override returns (TestToken, TestToken) {
        return (new HookedToken("USD", 6), new HookedToken("ETH", 18));
    }

    function setUp() public override {
        super.setUp();
        otherParams = params;
        otherParams.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT + 1);
        otherId = plimsoll.createMarket(otherParams);
        supply(LENDER, 1_000_000e6);
        give(loanToken, LENDER, 500_000e6);
        vm.prank(LENDER);
        plimsoll.supply(otherParams, 500_000e6, 0, LENDER, "");
        openLoan(BORROWER, 10e18, 15_000e6);

        give(loanToken, address(this), 100_000e6);
        give(collateralToken, address(this), 100e18);
        plimsoll.supply(params, 20_000e6, 0, address(this), "");
        plimsoll.supply(otherParams, 20_000e6, 0, address(this), "");
        plimsoll.supplyCollateral(params, 10e18, address(this), "");
        plimsoll.supplyCollateral(otherParams, 10e18, address(this), "");
        plimsoll.borrow(params, 10_000e6, 0, address(this), address(this));
        plimsoll.depositCover(address(loanToken), 1_000e6);
        HookedToken(address(loanToken)).setHook(this);
        HookedToken(address(collateralToken)).setHook(this);
    }

    function test_attack08_hooksOnEveryTransferGainNothingAcrossMarkets() public {
        bytes[10] memory verbs = [
            abi.encodeCall(IPlimsoll.supply, (params, 5_000e6, 0, address(this), "")),
            abi.encodeCall(IPlimsoll.withdraw, (params, 5_000e6, 0, address(this), address(this))),
            abi.encodeCall(IPlimsoll.supplyCollateral, (params, 1e18, address(this), "")),
            abi.encodeCall(IPlimsoll.withdrawCollateral, (params, 1e18, address(this), address(this))),
            abi.encodeCall(IPlimsoll.borrow, (params, 2_000e6, 0, address(this), address(this))),
            abi.encodeCall(IPlimsoll.repay, (params, 2_000e6, 0, address(this), "")),
            abi.encodeCall(IPlimsoll.deleverage, (params, 2_000e6, 1e18, address(this), address(this), "")),
            abi.encodeCall(IPlimsoll.depositCover, (address(loanToken), 500e6)),
            abi.encodeCall(IPlimsoll.withdrawCover, (address(loanToken), 500e6, address(this))),
            abi.encodeCall(IPlimsoll.flashLoan, (address(this), address(loanToken), 300_000e6, ""))
        ];
        uint256 snapshot = vm.snapshotState();
        for (uint256 i; i < verbs.length; ++i) {
            (int256 loans, int256 collaterals) = _worth();
            armed = true;
            (bool done,) = address(plimsoll).call(verbs[i]);
            assertTrue(done, "the verb itself must go through, else nothing is tried");
            assertGt(entered, 0, "the hook must have come in");
            (int256 loansNow, int256 collateralsNow) = _worth();
            // Two supplies and two debts, each seen rounded.
            assertLe(loansNow, loans + 4, "loan tokens gained");
            assertLe(collateralsNow, collaterals, "collateral gained");
            _assertEverythingIsHere();
            vm.revertToState(snapshot);
        }
    }

    /// @dev The same with a liquidation: the attacker gains its incentive and not a unit more.
    function test_attack08_hooksInALiquidationGainNothingButItsIncentive() public {
        uint256 price = priceAtHealth(BORROWER, 0.99e18);
        oracle.set(price);
        address[] memory borrowers = new address[](1);
        borrowers[0] = BORROWER;
        (int256 loans, int256 collaterals) = _worth();
        armed = true;
        (uint256 repaid, uint256 seized) =
            plimsoll.liquidate(params, borrowers, type(uint256).max, 0, address(this), "");
        assertGt(entered, 0, "the hook must have come in");
        (int256 loansNow, int256 collateralsNow) = _worth();
        assertLe(loansNow, loans - int256(repaid) + 4, "loan tokens gained");
        assertLe(collateralsNow, collaterals + int256(seized), "collateral gained");
        _assertEverythingIsHere();
    }

    /// @dev Whatever a token's hook is good for: all that is not refused.
    function onTransfer(address, address, uint256) external {
        if (!armed) return;
        armed = false;
        ++entered;
        _try(abi.encodeCall(IPlimsoll.withdraw, (params, 10_000e6, 0, address(this), address(this))));
        _try(abi.encodeCall(IPlimsoll.withdraw, (otherParams, 10_000e6, 0, address(this), address(this))));
        _try(abi.encodeCall(IPlimsoll.borrow, (params, 5_000e6, 0, address(this), address(this))));
        _try(abi.encodeCall(IPlimsoll.borrow, (otherParams, 16_000e6, 0, address(this), address(this))));
        _try(abi.encodeCall(IPlimsoll.withdrawCollateral, (params, 10e18, address(this), address(this))));
        _try(abi.encodeCall(IPlimsoll.withdrawCollateral, (otherParams, 10e18, address(this), address(this))));
        _try(abi.encodeCall(IPlimsoll.repay, (params, 0, type(uint256).max, address(this), "")));
        _try(abi.encodeCall(IPlimsoll.withdrawCover, (address(loanToken), 1_000e6, address(this))));
        _try(abi.encodeCall(IPlimsoll.supply, (params, 7_777e6, 0, address(this), "")));
        _try(abi.encodeCall(IPlimsoll.flashLoan, (address(this), address(collateralToken), 1e18, "")));
    }

    /// @dev Flash-loaned tokens supplied from inside the loan are taken out again: they earn nothing there.
    function onFlashLoan(address, address token, uint256 amount, uint256, bytes calldata) external returns (bytes32) {
        if (token == address(loanToken) && amount > 10_000e6) {
            (, uint256 shares) = plimsoll.supply(params, amount / 2, 0, address(this), "");
            plimsoll.withdraw(params, 0, shares, address(this), address(this));
        }
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }

    function _try(bytes memory call) private {
        (bool done,) = address(plimsoll).call(call);
        if (done) ++entered;
    }

    /// @dev The attacker's balances and positions in both tokens, less the debt.
    function _worth() private view returns (int256 loans, int256 collaterals) {
        loans = int256(loanToken.balanceOf(address(this)) + plimsoll.cover(address(this), address(loanToken)));
        collaterals = int256(collateralToken.balanceOf(address(this)));
        MarketId[2] memory ids = [id, otherId];
        for (uint256 i; i < ids.length; ++i) {
            Market memory m = plimsoll.market(ids[i]);
            Position memory p = plimsoll.position(ids[i], address(this));
            loans += int256(SharesMath.toAssetsDown(p.supplyShares, m.supplyAssets, m.supplyShares));
            loans -= int256(DebtMath.toDebtUp(p.borrowShares, m.borrowAssets, m.borrowShares));
            collaterals += int256(p.collateral);
        }
    }

    /// @dev A2, over both markets.
    function _assertEverythingIsHere() private view {
        uint256 loans = plimsoll.cover(address(this), address(loanToken));
        uint256 collaterals;
        MarketId[2] memory ids = [id, otherId];
        for (uint256 i; i < ids.length; ++i) {
            Market memory m = plimsoll.market(ids[i]);
            loans += m.supplyAssets - m.borrowAssets;
            collaterals += plimsoll.position(ids[i], address(this)).collateral
            + plimsoll.position(ids[i], BORROWER).collateral;
        }
        assertGe(loanToken.balanceOf(address(plimsoll)), loans, "A2: loan tokens are missing");
        assertGe(collateralToken.balanceOf(address(plimsoll)), collaterals, "A2: collateral is missing");
    }
}
