// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {DebtMath} from "plimsoll/libraries/DebtMath.sol";
import {InterestMath} from "plimsoll/libraries/InterestMath.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {SurgeMath} from "plimsoll/libraries/SurgeMath.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {RateCurve, toRateCurve} from "plimsoll/types/RateCurve.sol";
import {Risk, toRisk} from "plimsoll/types/Risk.sol";
import {TestOracle} from "./TestOracle.sol";
import {TestToken} from "./TestToken.sol";

/// @notice Fixture of the core's tests: the real contract, one market (a 6-decimal loan token against an 18-decimal
/// collateral at a price of 2,000, borrow LTV 80 %, liquidation LTV 86 %), and accounts with tokens and approvals.
abstract contract CoreTest is Test {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant ORACLE_SCALE = 1e36;
    uint16 internal constant BORROW_LTV_BPS = 8_000;
    uint16 internal constant LIQUIDATION_LTV_BPS = 8_600;
    uint128 internal constant MIN_DEBT = 100e6;
    /// @dev 2,000 units of a 6-decimal token for one of an 18-decimal token.
    uint256 internal constant PRICE = 2_000e6 * ORACLE_SCALE / 1e18;
    /// @dev 4 % a year.
    uint40 internal constant START_RATE = uint40(0.04e18 / uint256(365 days));

    address internal immutable OWNER = makeAddr("owner");
    address internal immutable LENDER = makeAddr("lender");
    address internal immutable BORROWER = makeAddr("borrower");
    address internal immutable LIQUIDATOR = makeAddr("liquidator");
    address internal immutable STRANGER = makeAddr("stranger");

    IPlimsoll internal plimsoll;
    TestToken internal loanToken;
    TestToken internal collateralToken;
    TestOracle internal oracle;
    MarketParams internal params;
    MarketId internal id;

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        plimsoll = IPlimsoll(deployCode("Plimsoll.sol:Plimsoll", abi.encode(OWNER)));
        (loanToken, collateralToken) = newTokens();
        oracle = new TestOracle(PRICE);
        params = MarketParams({
            loanToken: address(loanToken),
            collateralToken: address(collateralToken),
            oracle: address(oracle),
            risk: toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT),
            curve: toRateCurve(START_RATE, 9_000, 40_000, 500_000)
        });
        id = plimsoll.createMarket(params);
    }

    /// @dev Overridden where the tokens are the point.
    function newTokens() internal virtual returns (TestToken loan, TestToken collateral) {
        return (new TestToken("USD", 6), new TestToken("ETH", 18));
    }

    /* WHAT PEOPLE DO */

    function supply(address who, uint256 assets) internal returns (uint256 shares) {
        give(loanToken, who, assets);
        vm.prank(who);
        (, shares) = plimsoll.supply(params, assets, 0, who, "");
    }

    function supplyCollateral(address who, uint256 assets) internal {
        give(collateralToken, who, assets);
        vm.prank(who);
        plimsoll.supplyCollateral(params, assets, who, "");
    }

    function borrow(address who, uint256 assets) internal returns (uint256 shares) {
        vm.prank(who);
        (, shares) = plimsoll.borrow(params, assets, 0, who, who);
    }

    /// @notice A loan with its collateral; the market must have the liquidity.
    function openLoan(address who, uint256 collateral, uint256 debt) internal {
        supplyCollateral(who, collateral);
        borrow(who, debt);
    }

    function liquidate(address borrower, uint256 maxRepay) internal returns (uint256 repaid, uint256 seized) {
        address[] memory borrowers = new address[](1);
        borrowers[0] = borrower;
        return liquidate(borrowers, maxRepay);
    }

    function liquidate(address[] memory borrowers, uint256 maxRepay) internal returns (uint256 repaid, uint256 seized) {
        give(loanToken, LIQUIDATOR, type(uint128).max);
        vm.prank(LIQUIDATOR);
        return plimsoll.liquidate(params, borrowers, maxRepay, 0, LIQUIDATOR, "");
    }

    /// @notice Mints tokens to an account, which approves the core.
    function give(TestToken token, address who, uint256 amount) internal {
        token.mint(who, amount);
        vm.prank(who);
        token.approve(address(plimsoll), type(uint256).max);
    }

    /* WHAT IS SEEN */

    /// @notice The market as it would be accrued now.
    function accrued() internal view returns (Market memory m) {
        m = plimsoll.market(id);
        SurgeMath.refill(m, params.risk, vm.getBlockTimestamp() - m.lastUpdate);
        InterestMath.accrue(m, params.curve, vm.getBlockTimestamp());
    }

    function debtOf(address who) internal view returns (uint256) {
        Market memory m = accrued();
        return DebtMath.toDebtUp(plimsoll.position(id, who).borrowShares, m.borrowAssets, m.borrowShares);
    }

    function suppliedBy(address who) internal view returns (uint256) {
        Market memory m = accrued();
        return SharesMath.toAssetsDown(plimsoll.position(id, who).supplyShares, m.supplyAssets, m.supplyShares);
    }

    /// @notice The price at which the loan's health is this (1e18 is 1), at most off by rounding.
    function priceAtHealth(address who, uint256 health) internal view returns (uint256) {
        Position memory p = plimsoll.position(id, who);
        return debtOf(who) * ORACLE_SCALE / p.collateral * BPS / LIQUIDATION_LTV_BPS * health / WAD;
    }
}
