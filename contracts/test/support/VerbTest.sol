// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {CoreTest} from "./CoreTest.sol";

/// @notice Fixture of the tests of single verbs: a market with a history, so that shares are not at their initial
/// price, and the balances of all accounts, so that a test states what changes and checks that nothing else does.
abstract contract VerbTest is CoreTest {
    uint256 internal constant VIRTUAL_SHARES = 1e6;
    uint256 internal constant VIRTUAL_ASSETS = 1;
    /// @dev The fewest shares of a loan.
    uint256 internal constant MIN_SHARES = 1e6;
    uint256 internal constant MAX_AMOUNT = type(uint128).max;
    /// @dev Fits together with the virtual shares.
    uint256 internal constant MAX_SHARES = MAX_AMOUNT - VIRTUAL_SHARES;
    uint256 internal constant MAX_FEE_BPS = 2_500;

    /// @dev The fuzzed history of a market.
    struct MarketHistory {
        uint256 supplied;
        uint256 borrowed;
        uint256 feeBps;
        uint256 elapsed;
    }

    struct Holdings {
        Position position;
        uint256 loanTokens;
        uint256 collateralTokens;
    }

    struct Balances {
        Market market;
        Holdings lender;
        Holdings borrower;
        Holdings stranger;
        Holdings core;
    }

    /* A MARKET WITH A HISTORY */

    /// @notice The lender supplies, the borrower borrows against ten times the collateral that it takes, time passes.
    function createHistory(MarketHistory memory history) internal {
        history.supplied = bound(history.supplied, 1_000e6, 1e24);
        history.borrowed = bound(history.borrowed, MIN_DEBT, history.supplied);
        history.feeBps = bound(history.feeBps, 0, MAX_FEE_BPS);
        history.elapsed = bound(history.elapsed, 1, 3 * 365 days);
        vm.prank(OWNER);
        plimsoll.setFee(params, history.feeBps);
        supply(LENDER, history.supplied);
        openLoan(BORROWER, 10 * history.borrowed * ORACLE_SCALE / PRICE, history.borrowed);
        skip(history.elapsed);
    }

    /// @notice A million supplied, half of it borrowed, a tenth of the interest for the reserve, a year ago.
    function createHistory() internal {
        createHistory(MarketHistory({supplied: 1_000_000e6, borrowed: 500_000e6, feeBps: 1_000, elapsed: 365 days}));
    }

    /// @notice A market in which a share, of debt or of supply, is worth more than 100 units after 200 years. Its
    /// liquidity is 10,000e6.
    function createHistoryWithExpensiveShares() internal {
        oracle.set(PRICE * 1e12);
        supply(LENDER, MIN_DEBT);
        openLoan(BORROWER, 1e18, MIN_DEBT);
        skip(200 * 365 days);
        supply(STRANGER, 10_000e6);
        assertGt(plimsoll.market(id).borrowAssets, 100 * plimsoll.market(id).borrowShares);
    }

    /* BALANCES */

    /// @notice The balances of all accounts, with the market's interest up to this block.
    function balances() internal view returns (Balances memory b) {
        b.market = accrued();
        b.lender = holdingsOf(LENDER);
        b.borrower = holdingsOf(BORROWER);
        b.stranger = holdingsOf(STRANGER);
        b.core = holdingsOf(address(plimsoll));
    }

    function holdingsOf(address who) internal view returns (Holdings memory) {
        return Holdings(plimsoll.position(id, who), loanToken.balanceOf(who), collateralToken.balanceOf(who));
    }

    /// @notice Checks that the balances are as expected, and that the market is stored as of this block.
    function assertBalances(Balances memory want) internal view {
        assertMarket(plimsoll.market(id), want.market);
        assertHoldings(holdingsOf(LENDER), want.lender, "lender");
        assertHoldings(holdingsOf(BORROWER), want.borrower, "borrower");
        assertHoldings(holdingsOf(STRANGER), want.stranger, "stranger");
        assertHoldings(holdingsOf(address(plimsoll)), want.core, "core");
    }

    function assertMarket(Market memory got, Market memory want) internal pure {
        assertEq(got.supplyAssets, want.supplyAssets, "supply assets");
        assertEq(got.supplyShares, want.supplyShares, "supply shares");
        assertEq(got.borrowAssets, want.borrowAssets, "borrow assets");
        assertEq(got.borrowShares, want.borrowShares, "borrow shares");
        assertEq(got.lastUpdate, want.lastUpdate, "last update");
        assertEq(got.feeBps, want.feeBps, "fee");
        assertEq(got.rateAtTarget, want.rateAtTarget, "rate at target");
        assertEq(got.interestRemainder, want.interestRemainder, "interest remainder");
        assertEq(got.reserveShares, want.reserveShares, "reserve shares");
        assertEq(got.surgeLevel, want.surgeLevel, "surge level");
    }

    function assertHoldings(Holdings memory got, Holdings memory want, string memory who) internal pure {
        assertEq(got.position.supplyShares, want.position.supplyShares, string.concat(who, "'s supply shares"));
        assertEq(got.position.borrowShares, want.position.borrowShares, string.concat(who, "'s borrow shares"));
        assertEq(got.position.collateral, want.position.collateral, string.concat(who, "'s collateral"));
        assertEq(got.loanTokens, want.loanTokens, string.concat(who, "'s loan tokens"));
        assertEq(got.collateralTokens, want.collateralTokens, string.concat(who, "'s collateral tokens"));
    }

    /* EVENTS AND ROUNDING */

    /// @notice The next event of the core is the market's interest up to now.
    function expectAccrue() internal {
        Market memory before = plimsoll.market(id);
        Market memory m = accrued();
        assertLt(before.lastUpdate, m.lastUpdate, "time must have passed");
        expectEvent();
        emit IPlimsoll.Accrue(
            id,
            ((m.supplyAssets - before.supplyAssets) << 32) | m.interestRemainder,
            m.supplyShares - before.supplyShares,
            m.rateAtTarget,
            m.lastUpdate
        );
    }

    /// @notice The event that the test emits next is what the core emits, in all its topics and data.
    function expectEvent() internal {
        vm.expectEmit(true, true, true, true, address(plimsoll));
    }

    /// @notice Since `vm.recordLogs` the core said nothing about interest.
    function assertNoAccrual() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            assertNotEq(logs[i].topics[0], IPlimsoll.Accrue.selector, "accrued");
        }
    }

    /// @notice The debt of shares, rounded up.
    function owed(uint256 shares, Market memory m) internal pure returns (uint256) {
        return up(shares, m.borrowAssets, m.borrowShares);
    }

    /// @notice ⌊a·b ÷ c⌋, in arithmetic of the tests' own.
    function down(uint256 a, uint256 b, uint256 c) internal pure returns (uint256) {
        return a * b / c;
    }

    /// @notice ⌈a·b ÷ c⌉, in arithmetic of the tests' own.
    function up(uint256 a, uint256 b, uint256 c) internal pure returns (uint256 q) {
        q = a * b / c;
        if (q * c != a * b) ++q;
    }
}
