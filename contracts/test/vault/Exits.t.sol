// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {BlocklistToken, HookToken, HookedAccount, SilentToken} from "../support/OddTokens.sol";
import {Step} from "../support/Actor.sol";
import {TestToken} from "../support/TestToken.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title Exits whatever happens: no liquidity, dead oracles, hostile roles.
contract VaultExitsTest is VaultFixture {
    /// @notice Everything against the holder at once (V7): all markets used up, all oracles dead, every role hostile.
    function test_V7_inKindAtFullUtilisationWithDeadOraclesAndHostileRoles() public {
        deposit(ALICE, 600_000e6);
        deposit(BOB, 400_000e6);
        move(0, 1, 300_000e6);
        move(0, 2, 200_000e6);
        for (uint256 i; i < 3; ++i) {
            exhaust(i);
        }
        skip(30 days);
        oracles[0].setBroken(true);
        oracles[1].setBroken(true);
        _beHostile();

        assertEq(shares.maxWithdraw(ALICE), 0, "nothing is liquid");
        // The core holds no loan token at all.
        assertEq(loanToken.balanceOf(address(plimsoll)), 0);
        uint256 mine = worth(ALICE);
        redeemInKind(ALICE, shares.balanceOf(ALICE));
        assertApproxEqRel(wealth(ALICE), mine * (BPS - PENALTY_BPS) / BPS, 1e12);
        assertLe(wealth(ALICE), mine);
        assertEq(shares.balanceOf(ALICE), 0);
        uint256 his = worth(BOB);
        redeemInKind(BOB, shares.balanceOf(BOB));
        assertApproxEqRel(wealth(BOB), his * (BPS - PENALTY_BPS) / BPS, 1e12);
        assertBacked();
    }

    /// @notice What is liquid can be withdrawn, whatever the order that the allocator sets.
    function test_V7_noOrderOfTheAllocatorBlocksWhatIsLiquid() public {
        deposit(ALICE, 900e6);
        move(0, 1, 300e6);
        move(0, 2, 300e6);
        exhaust(0);
        exhaust(2);
        _beHostile();
        assertEq(shares.maxWithdraw(ALICE), 300e6);
        vm.prank(ALICE);
        shares.withdraw(300e6, ALICE, ALICE);
        assertEq(valueIn(1), 0);
    }

    /// @dev Whatever the roles can do at once, and what the owner and the curator submitted long ago.
    function _beHostile() private {
        change(OWNER, abi.encodeCall(IVault.setFeeRecipient, (address(vault))));
        change(OWNER, abi.encodeCall(IVault.setFee, (2_500)));
        vm.startPrank(OWNER);
        vault.transferOwnership(address(vault));
        vm.stopPrank();
        MarketId[] memory order = new MarketId[](2);
        (order[0], order[1]) = (ids[2], ids[2]);
        vm.startPrank(ALLOCATOR);
        vault.setDepositMarket(ids[0]);
        vault.setWithdrawOrder(order);
        vm.stopPrank();
        vm.startPrank(GUARDIAN);
        for (uint256 i; i < 3; ++i) {
            vault.setCap(MarketId.unwrap(ids[i]), 0, 0);
        }
        vault.setAllocator(ALLOCATOR, false);
        vm.stopPrank();
        vm.prank(CURATOR);
        vault.setMaxRate(0);
    }

    function test_V9_theLastHolderPaysNoPenalty() public {
        uint256 got = deposit(ALICE, 1_000e6);
        exhaust(0);
        assertEq(redeemInKind(ALICE, got), 1_000e6);
        assertApproxEqAbs(wealth(ALICE), 1_000e6, 1);
        assertEq(shares.totalSupply(), 0);
    }

    /// @notice Each position and the idle tokens fall by at most the holder's part, and what he gets is worth at most
    /// the assets (V9).
    function testFuzz_V9_inKindGivesAtMostThePart(uint256 seed, uint256 amount, bool leaveIdle) public {
        deposit(ALICE, 1e6 + seed % 1e12);
        deposit(BOB, 1e6 + (seed >> 40) % 1e12);
        move(0, 1, (seed >> 80) % 1e12);
        move(0, NONE, (seed >> 120) % 1e12);
        supplyTo(0, 1_000e6);
        takeLoan(0, 500e6 + valueIn(0) / 2);
        skip((seed >> 160) % 300 days);
        vault.accrue();
        uint256 supply = shares.totalSupply();
        amount = bound(amount, 0, shares.balanceOf(ALICE));
        uint256[4] memory before = [counted(0), counted(1), counted(2), idle()];
        uint256 most = shares.convertToAssets(amount);
        vm.prank(ALICE);
        uint256 assets = vault.redeemInKind(amount, CAROL, ALICE, leaveIdle);
        assertLe(assets, most);
        assertLe(wealth(CAROL), assets, "V9: no more than the assets");
        uint256[4] memory later = [counted(0), counted(1), counted(2), idle()];
        for (uint256 i; i < 4; ++i) {
            assertLe((before[i] - later[i]) * supply, before[i] * amount, "V9: no more than the part");
        }
        if (leaveIdle) assertEq(loanToken.balanceOf(CAROL), 0);
        assertBacked();
    }

    /// @notice Where a supply share is worth several units, an amount below the whole value can burn all shares.
    function test_V7_allButAUnitIsPaidWhereAShareIsWorthUnits() public {
        supplyTo(1, MIN_DEBT);
        address borrower = exhaust(1);
        Market memory m = accrued();
        while (m.supplyAssets < 8 * m.supplyShares) {
            skip(30 days);
            m = accrued();
        }
        give(loanToken, borrower, type(uint128).max);
        uint256 debtShares = plimsoll.position(id, borrower).borrowShares;
        vm.prank(borrower);
        plimsoll.repay(params, 0, debtShares, borrower, "");
        deposit(ALICE, 1_000e6);
        move(0, 1, 1_000e6);
        uint256 value = valueIn(1);
        assertGt(value, 0);
        uint256 assets = idle() + valueIn(0) + value - 1;
        vm.prank(ALICE);
        shares.withdraw(assets, ALICE, ALICE);
        assertEq(loanToken.balanceOf(ALICE), assets);
        assertEq(counted(1), 0);
        assertBacked();
    }

    function test_withdrawalsTakeIdleThenTheDepositMarketThenTheOrderThenTheRest() public {
        deposit(ALICE, 1_000e6);
        move(0, 1, 300e6);
        move(0, 2, 300e6);
        move(0, NONE, 100e6);
        MarketId[] memory order = new MarketId[](1);
        order[0] = ids[2];
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(order);
        vm.startPrank(ALICE);
        shares.withdraw(50e6, ALICE, ALICE);
        assertEq(idle(), 50e6);
        shares.withdraw(100e6, ALICE, ALICE);
        assertEq(valueIn(0), 250e6);
        shares.withdraw(300e6, ALICE, ALICE);
        assertEq(valueIn(2), 250e6);
        shares.withdraw(300e6, ALICE, ALICE);
        assertEq(valueIn(1), 250e6);
        vm.stopPrank();
        assertEq(loanToken.balanceOf(ALICE), 750e6);
    }
}

/// @title Exits with a token whose issuer blocked the vault.
contract VaultBlockedTest is VaultFixture {
    function newTokens() internal override returns (TestToken, TestToken) {
        return (TestToken(address(new BlocklistToken())), new TestToken("ETH", 18));
    }

    /// @notice Idle tokens are stuck then, and positions are not: they leave the core without the vault.
    function test_V7_aBlockedVaultStillGivesUpItsPositions() public {
        deposit(ALICE, 1_000e6);
        move(0, NONE, 100e6);
        BlocklistToken(address(loanToken)).setBlocked(address(vault), true);
        uint256 held = shares.balanceOf(ALICE);
        vm.startPrank(ALICE);
        vm.expectRevert();
        vault.redeemInKind(held, ALICE, ALICE, false);
        vault.redeemInKind(held, ALICE, ALICE, true);
        vm.stopPrank();
        assertApproxEqAbs(supplyOf(0, ALICE), 900e6, 1);
        assertEq(idle(), 100e6);
        vm.prank(ALICE);
        plimsoll.withdraw(markets[0], 800e6, 0, ALICE, ALICE);
        assertEq(loanToken.balanceOf(ALICE), 800e6);
    }
}

/// @title A token that answers nothing.
contract VaultSilentTokenTest is VaultFixture {
    function newTokens() internal override returns (TestToken, TestToken) {
        return (TestToken(address(new SilentToken())), new TestToken("ETH", 18));
    }

    function test_aTokenThatAnswersNothingWorks() public {
        deposit(ALICE, 1_000e6);
        move(0, NONE, 300e6);
        vm.prank(ALICE);
        shares.withdraw(500e6, ALICE, ALICE);
        redeemInKind(ALICE, shares.balanceOf(ALICE));
        assertApproxEqAbs(wealth(ALICE), 1_000e6, 1);
    }
}

/// @title Reads the vault's price in callbacks of its token, and calls the vault.
contract VaultHookTokenTest is VaultFixture {
    HookedAccount private hooked;
    Observer private observer;

    function newTokens() internal override returns (TestToken, TestToken) {
        return (TestToken(address(new HookToken())), new TestToken("ETH", 18));
    }

    function setUp() public override {
        super.setUp();
        hooked = new HookedAccount();
        observer = new Observer();
        HookToken(address(loanToken)).setHooked(address(hooked), true);
        deposit(BOB, 700e6);
        move(0, 1, 200e6);
        takeLoan(0, 333e6);
        skip(100 days);
        fund(address(hooked), 1_000e6);
    }

    function _observe() private {
        hooked.setOnHook(Step({target: address(observer), data: abi.encodeCall(Observer.observe, (shares, BOB))}));
    }

    /// @notice V13: before, during and after a verb, a holder who is not part of it sees one price, to the unit.
    function test_V13_theSamePriceIsSeenInEveryCallback() public {
        vault.accrue();
        uint256 before = worth(BOB);
        _observe();
        hooked.run(address(vault), abi.encodeCall(IERC4626.deposit, (500e6, address(hooked))));
        assertApproxEqAbs(observer.seen(), before, 1, "deposit");
        _observe();
        hooked.run(address(vault), abi.encodeCall(IERC4626.withdraw, (250e6, address(hooked), address(hooked))));
        assertApproxEqAbs(observer.seen(), before, 1, "withdrawal");
        _observe();
        uint256 held = shares.balanceOf(address(hooked)) / 2;
        hooked.run(address(vault), abi.encodeCall(IERC4626.redeem, (held, address(hooked), address(hooked))));
        assertApproxEqAbs(observer.seen(), before, 1, "redemption");
        move(0, NONE, 50e6);
        _observe();
        held = shares.balanceOf(address(hooked));
        hooked.run(address(vault), abi.encodeCall(IVault.redeemInKind, (held, address(hooked), address(hooked), false)));
        assertGe(observer.seen(), before, "in kind");
        assertLe(observer.seen(), before + 1e6);
        assertBacked();
    }

    /// @notice attack08: every verb that changes value is refused in a callback.
    function test_attack08_theVaultIsNotReentered() public {
        hooked.run(address(vault), abi.encodeCall(IERC4626.deposit, (500e6, address(hooked))));
        address me = address(hooked);
        bytes[7] memory calls = [
            abi.encodeCall(IERC4626.deposit, (1e6, me)),
            abi.encodeCall(IERC4626.mint, (1e12, me)),
            abi.encodeCall(IERC4626.withdraw, (1e6, me, me)),
            abi.encodeCall(IERC4626.redeem, (1e12, me, me)),
            abi.encodeCall(IVault.redeemInKind, (1e12, me, me, false)),
            abi.encodeCall(IVault.accrue, ()),
            abi.encodeCall(IVault.deallocate, (ids[0]))
        ];
        change(OWNER, abi.encodeCall(IVault.setAllocator, (me, true)));
        for (uint256 i; i < calls.length; ++i) {
            hooked.setOnHook(Step({target: address(vault), data: calls[i]}));
            vm.expectRevert();
            hooked.run(address(vault), abi.encodeCall(IERC4626.withdraw, (10e6, me, me)));
            hooked.setOnHook(Step({target: address(vault), data: calls[i]}));
            vm.expectRevert();
            hooked.run(address(vault), abi.encodeCall(IERC4626.deposit, (10e6, me)));
        }
    }

    /// @notice A callback that changes a market that the withdrawal is about to use ends the withdrawal: shares that the
    /// vault does not have would be counted otherwise (V1).
    function test_V1_aCallbackThatChangesAMarketEndsTheWithdrawal() public {
        hooked.run(address(vault), abi.encodeCall(IERC4626.deposit, (500e6, address(hooked))));
        move(0, NONE, 10e6);
        address borrower = takeLoan(1, 150e6);
        exhaust(0);
        useMarket(1);
        oracle.set(PRICE / 1_000);
        give(loanToken, address(observer), type(uint64).max);
        bytes memory crash = abi.encodeCall(Observer.liquidate, (plimsoll, markets[1], borrower));
        hooked.setOnHook(Step({target: address(observer), data: crash}));
        uint256 most = shares.maxWithdraw(address(hooked));
        vm.expectRevert(abi.encodeWithSelector(IVault.MarketChanged.selector, ids[1]));
        hooked.run(address(vault), abi.encodeCall(IERC4626.withdraw, (most, address(hooked), address(hooked))));
        assertBacked();
    }
}

/// @notice What a callback calls.
contract Observer {
    uint256 public seen;

    function observe(IERC4626 vault, address holder) external {
        seen = vault.convertToAssets(vault.balanceOf(holder));
    }

    function liquidate(IPlimsoll plimsoll, MarketParams calldata params, address borrower) external {
        address[] memory borrowers = new address[](1);
        borrowers[0] = borrower;
        plimsoll.liquidate(params, borrowers, type(uint128).max, 0, address(this), "");
    }
}
