// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `withdraw`: shares rounded up, assets rounded down, up to the liquidity.
contract WithdrawTest is VerbTest {
    /// @dev A7
    function testFuzz_byAssets(MarketHistory memory history, uint256 assets) public {
        createHistory(history);
        Balances memory b = balancesWithIdleSupply();
        assets = bound(
            assets,
            1,
            down(
                b.lender.position.supplyShares,
                b.market.supplyAssets + VIRTUAL_ASSETS,
                b.market.supplyShares + VIRTUAL_SHARES
            )
        );
        uint256 shares = up(assets, b.market.supplyShares + VIRTUAL_SHARES, b.market.supplyAssets + VIRTUAL_ASSETS);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.Withdraw(id, LENDER, LENDER, STRANGER, assets, shares);
        vm.prank(LENDER);
        (uint256 gotAssets, uint256 gotShares) = plimsoll.withdraw(params, assets, 0, LENDER, STRANGER);

        assertEq(gotAssets, assets);
        assertEq(gotShares, shares);
        assertBalances(withdrawn(b, assets, shares));
    }

    /// @dev A7
    function testFuzz_byShares(MarketHistory memory history, uint256 shares) public {
        createHistory(history);
        Balances memory b = balancesWithIdleSupply();
        shares = bound(shares, 1, b.lender.position.supplyShares);
        uint256 assets = down(shares, b.market.supplyAssets + VIRTUAL_ASSETS, b.market.supplyShares + VIRTUAL_SHARES);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.Withdraw(id, LENDER, LENDER, STRANGER, assets, shares);
        vm.prank(LENDER);
        (uint256 gotAssets, uint256 gotShares) = plimsoll.withdraw(params, 0, shares, LENDER, STRANGER);

        assertEq(gotAssets, assets);
        assertEq(gotShares, shares);
        assertBalances(withdrawn(b, assets, shares));
    }

    /// @dev Somebody else's supply makes all of the lender's liquid; then time passes again.
    function balancesWithIdleSupply() internal returns (Balances memory) {
        supply(OWNER, 1e29);
        skip(1 hours);
        return balances();
    }

    function withdrawn(Balances memory b, uint256 assets, uint256 shares) internal pure returns (Balances memory) {
        b.market.supplyAssets -= assets;
        b.market.supplyShares -= shares;
        b.lender.position.supplyShares -= shares;
        b.stranger.loanTokens += assets;
        b.core.loanTokens -= assets;
        return b;
    }

    /// @dev The last share goes, too; a share worth less than a unit is given away for nothing.
    function test_withdrawsTheLastShare() public {
        uint256 shares = supply(LENDER, 100e6);
        vm.startPrank(LENDER);
        (uint256 nothing,) = plimsoll.withdraw(params, 0, 1, LENDER, LENDER);
        assertEq(nothing, 0);
        (uint256 assets,) = plimsoll.withdraw(params, 0, shares - 1, LENDER, LENDER);
        assertEq(assets, 100e6 - 1);
        assertEq(plimsoll.position(id, LENDER).supplyShares, 0);
        assertEq(plimsoll.market(id).supplyShares, 0);
    }

    /// @dev A2: what is not lent out may leave, and not a unit more.
    function testFuzz_onlyUpToTheLiquidity(MarketHistory memory history, uint256 excess) public {
        createHistory(history);
        Balances memory b = balances();
        uint256 idle = b.market.supplyAssets - b.market.borrowAssets;
        excess = bound(
            excess,
            1,
            down(
                b.lender.position.supplyShares,
                b.market.supplyAssets + VIRTUAL_ASSETS,
                b.market.supplyShares + VIRTUAL_SHARES
            ) - idle
        );

        vm.startPrank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientLiquidity.selector, idle + excess, idle));
        plimsoll.withdraw(params, idle + excess, 0, LENDER, LENDER);
        if (idle != 0) plimsoll.withdraw(params, idle, 0, LENDER, LENDER);
        assertEq(plimsoll.market(id).supplyAssets, plimsoll.market(id).borrowAssets);
    }

    function testFuzz_notMoreThanOneHas(MarketHistory memory history, uint256 excess) public {
        createHistory(history);
        supply(OWNER, 1e29);
        uint256 held = plimsoll.position(id, LENDER).supplyShares;
        excess = bound(excess, 1, MAX_AMOUNT - held);
        vm.prank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientSupplyShares.selector, held + excess, held));
        plimsoll.withdraw(params, 0, held + excess, LENDER, LENDER);
    }

    /// @dev L1
    function test_doesNotNeedTheOracle() public {
        createHistory();
        oracle.setBroken(true);
        vm.prank(LENDER);
        plimsoll.withdraw(params, 1e6, 0, LENDER, LENDER);
        assertEq(loanToken.balanceOf(LENDER), 1e6);
    }

    /* RIGHTS */

    /// @dev I2
    function test_byAnAuthorisedAccount() public {
        createHistory();
        vm.prank(LENDER);
        plimsoll.setAuthorization(STRANGER, vm.getBlockTimestamp());
        Balances memory b = balances();
        uint256 shares = up(1e6, b.market.supplyShares + VIRTUAL_SHARES, b.market.supplyAssets + VIRTUAL_ASSETS);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.Withdraw(id, STRANGER, LENDER, STRANGER, 1e6, shares);
        vm.prank(STRANGER);
        plimsoll.withdraw(params, 1e6, 0, LENDER, STRANGER);
        assertBalances(withdrawn(b, 1e6, shares));
    }

    /// @dev I2
    function test_notByAStranger() public {
        createHistory();
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, STRANGER, LENDER));
        plimsoll.withdraw(params, 1, 0, LENDER, STRANGER);
    }

    /* REFUSED */

    function testFuzz_refusesNoneOrBothAmounts(uint256 assets, uint256 shares) public {
        assets = bound(assets, 1, type(uint256).max);
        shares = bound(shares, 1, type(uint256).max);
        vm.startPrank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InconsistentInput.selector, 0, 0));
        plimsoll.withdraw(params, 0, 0, LENDER, LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InconsistentInput.selector, assets, shares));
        plimsoll.withdraw(params, assets, shares, LENDER, LENDER);
    }

    function testFuzz_refusesAmountsOver128Bits(uint256 amount) public {
        amount = bound(amount, MAX_AMOUNT + 1, type(uint256).max);
        vm.startPrank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, amount));
        plimsoll.withdraw(params, amount, 0, LENDER, LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, amount));
        plimsoll.withdraw(params, 0, amount, LENDER, LENDER);
    }

    function test_refusesTheZeroAddress() public {
        supply(LENDER, 1e6);
        vm.prank(LENDER);
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        plimsoll.withdraw(params, 1, 0, LENDER, address(0));
    }

    function test_refusesAMarketThatIsNotThere() public {
        params.oracle = address(this);
        vm.prank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, keccak256(abi.encode(params))));
        plimsoll.withdraw(params, 1, 0, LENDER, LENDER);
    }
}
