// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IBackstop} from "plimsoll/interfaces/IBackstop.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestToken} from "../support/TestToken.sol";
import {BackstopTest} from "./BackstopTest.sol";

/// @title Tests of a backstop's limits: covered markets change only with notice, in either direction (I3, H7).
contract LimitsTest is BackstopTest {
    uint256 private constant LIMIT = 1_000e6;

    function setUp() public override {
        super.setUp();
        setLimit(id, LIMIT);
    }

    function _announce(uint256 limit) private returns (uint256 announcedAt) {
        vm.expectEmit(address(backstop));
        emit IBackstop.AnnounceLimit(id, limit);
        vm.prank(CURATOR);
        backstop.announceLimit(id, limit);
        return vm.getBlockTimestamp();
    }

    function _expectNotApplicable(uint256 opensAt) private {
        vm.expectRevert(abi.encodeWithSelector(IBackstop.LimitNotApplicable.selector, id, opensAt, opensAt + WINDOW));
    }

    /* RAISING */

    /// @notice A depositor who reacts to the announcement within a day can use the whole window before it takes effect.
    function test_I3_raisingTakesLongerThanCooldownAndWindow() public {
        assertGt(backstop.raiseDelaySecs(), backstop.cooldownSecs() + backstop.windowSecs());
        deposit(ALICE, LIMIT);
        uint256 announcedAt = _announce(LIMIT + 1);
        skip(1 days);
        startCooldown(ALICE, vault.balanceOf(ALICE));
        vm.warp(announcedAt + RAISE_DELAY - 1);
        _expectNotApplicable(announcedAt + RAISE_DELAY);
        backstop.applyLimit(id);
        redeem(ALICE, vault.balanceOf(ALICE));
        skip(1);
        backstop.applyLimit(id);
        assertEq(backstop.limit(id), LIMIT + 1);
    }

    function test_I3_coveringAnotherMarketTakesAsLong() public {
        MarketParams memory other = params;
        other.collateralToken = address(new TestToken("BTC", 8));
        MarketId otherId = plimsoll.createMarket(other);
        vm.startPrank(CURATOR);
        backstop.announceLimit(otherId, 1);
        uint256 opensAt = vm.getBlockTimestamp() + RAISE_DELAY;
        assertEq(abi.encode(backstop.announcedLimit(otherId)), abi.encode(1, opensAt, opensAt + WINDOW));
    }

    /* LOWERING */

    /// @notice The curator cannot remove cover faster than a depositor, so it cannot be removed ahead of an expected
    /// loss.
    function test_H7_loweringTakesACooldown() public {
        deposit(ALICE, 2 * LIMIT);
        uint256 announcedAt = _announce(0);
        skip(COOLDOWN - 1);
        _expectNotApplicable(announcedAt + COOLDOWN);
        vm.prank(CURATOR);
        backstop.applyLimit(id);
        realiseLoss(600e6);
        assertLt(cover(), 2 * LIMIT);

        skip(1);
        backstop.applyLimit(id);
        assertEq(backstop.limit(id), 0);
        uint256 left = cover();
        realiseLoss(600e6);
        assertEq(cover(), left);
    }

    /// @notice An announcement does not lie ready to be used just ahead of a loss.
    function test_H7_anAnnouncementLapsesAfterAWindow() public {
        uint256 announcedAt = _announce(0);
        skip(COOLDOWN + WINDOW + 1);
        _expectNotApplicable(announcedAt + COOLDOWN);
        backstop.applyLimit(id);
        _announce(0);
        skip(COOLDOWN + WINDOW);
        backstop.applyLimit(id);
        assertEq(backstop.limit(id), 0);
    }

    /// @notice A lower limit that losses have overtaken would be a raise, and waits like one.
    function test_I3_aLossTurnsALoweringIntoARaise() public {
        deposit(ALICE, 2 * LIMIT);
        uint256 announcedAt = _announce(LIMIT / 2);
        assertEq(backstop.announcedLimit(id).opensAt, announcedAt + COOLDOWN);
        realiseLoss(800e6);
        assertLt(backstop.limit(id), LIMIT / 2);
        skip(COOLDOWN);
        _expectNotApplicable(announcedAt + RAISE_DELAY);
        backstop.applyLimit(id);
        skip(RAISE_DELAY - COOLDOWN);
        backstop.applyLimit(id);
        assertEq(backstop.limit(id), LIMIT / 2);
    }

    function testFuzz_I3_theTimeToWaitFollowsTheDirection(uint256 limit) public {
        uint256 announcedAt = _announce(limit);
        uint256 opensAt = announcedAt + (limit > LIMIT ? RAISE_DELAY : COOLDOWN);
        assertEq(backstop.announcedLimit(id).opensAt, opensAt);
        vm.warp(opensAt);
        vm.expectEmit(address(backstop));
        emit IBackstop.ApplyLimit(id, limit);
        vm.prank(STRANGER);
        backstop.applyLimit(id);
        assertEq(plimsoll.coverLimit(address(backstop), id), limit);
        assertEq(abi.encode(backstop.announcedLimit(id)), abi.encode(0, 0, 0));
    }

    function test_I3_theSameLimitAgainIsNoRaise() public {
        testFuzz_I3_theTimeToWaitFollowsTheDirection(LIMIT);
    }

    /* ANNOUNCEMENTS */

    function test_aNewAnnouncementTakesThePlaceOfTheOld() public {
        _announce(0);
        skip(COOLDOWN);
        uint256 announcedAt = _announce(LIMIT / 2);
        _expectNotApplicable(announcedAt + COOLDOWN);
        backstop.applyLimit(id);
    }

    function test_aCancelledAnnouncementIsGone() public {
        _announce(0);
        vm.expectEmit(address(backstop));
        emit IBackstop.CancelLimit(id);
        vm.prank(CURATOR);
        backstop.cancelLimit(id);
        skip(COOLDOWN);
        vm.expectRevert(abi.encodeWithSelector(IBackstop.LimitNotAnnounced.selector, id));
        backstop.applyLimit(id);
        vm.expectRevert(abi.encodeWithSelector(IBackstop.LimitNotAnnounced.selector, id));
        vm.prank(CURATOR);
        backstop.cancelLimit(id);
    }

    function test_anAnnouncementIsAppliedOnce() public {
        _announce(0);
        skip(COOLDOWN);
        backstop.applyLimit(id);
        vm.expectRevert(abi.encodeWithSelector(IBackstop.LimitNotAnnounced.selector, id));
        backstop.applyLimit(id);
    }

    function test_I3_onlyMarketsThatLendItsAsset() public {
        MarketParams memory other = params;
        other.loanToken = address(new TestToken("EUR", 6));
        MarketId otherId = plimsoll.createMarket(other);
        vm.startPrank(CURATOR);
        vm.expectRevert(
            abi.encodeWithSelector(IBackstop.WrongLoanToken.selector, otherId, other.loanToken, address(loanToken))
        );
        backstop.announceLimit(otherId, 1);

        MarketId nowhere = MarketId.wrap(bytes32(uint256(1)));
        vm.expectRevert(
            abi.encodeWithSelector(IBackstop.WrongLoanToken.selector, nowhere, address(0), address(loanToken))
        );
        backstop.announceLimit(nowhere, 1);
    }

    /* CURATOR */

    function test_onlyTheCuratorAnnouncesAndCancels() public {
        vm.startPrank(STRANGER);
        bytes memory refused = abi.encodeWithSelector(IBackstop.NotCurator.selector, STRANGER);
        vm.expectRevert(refused);
        backstop.announceLimit(id, 0);
        vm.expectRevert(refused);
        backstop.cancelLimit(id);
        vm.expectRevert(refused);
        backstop.transferCuratorship(STRANGER);
    }

    function test_theFirstCuratorIsAnnounced() public {
        vm.expectEmit();
        emit IBackstop.CuratorshipTransferred(address(0), CURATOR);
        assertEq(newBackstop(address(loanToken)).curator(), CURATOR);
    }

    function test_curatorshipMovesInTwoSteps() public {
        vm.expectEmit(address(backstop));
        emit IBackstop.CuratorshipTransferStarted(CURATOR, BOB);
        vm.prank(CURATOR);
        backstop.transferCuratorship(BOB);
        assertEq(backstop.curator(), CURATOR);
        assertEq(backstop.pendingCurator(), BOB);

        vm.expectRevert(abi.encodeWithSelector(IBackstop.NotPendingCurator.selector, STRANGER));
        vm.prank(STRANGER);
        backstop.acceptCuratorship();

        vm.expectEmit(address(backstop));
        emit IBackstop.CuratorshipTransferred(CURATOR, BOB);
        vm.prank(BOB);
        backstop.acceptCuratorship();
        assertEq(backstop.curator(), BOB);
        assertEq(backstop.pendingCurator(), address(0));
    }

    /* CONSTRUCTION */

    function _construct(address core, address asset, address curator, uint256 cooldownSecs, uint256 windowSecs)
        private
        returns (IBackstop)
    {
        return IBackstop(
            this.construct(
                "Backstop.sol:Backstop", abi.encode(core, asset, curator, cooldownSecs, windowSecs, "N", "S")
            )
        );
    }

    function test_gettersReturnTheConstructorArguments() public {
        IBackstop made = _construct(address(plimsoll), address(loanToken), BOB, 3 days, 1 days);
        assertEq(made.plimsoll(), address(plimsoll));
        assertEq(made.curator(), BOB);
        assertEq(made.cooldownSecs(), 3 days);
        assertEq(made.windowSecs(), 1 days);
        assertEq(made.raiseDelaySecs(), 5 days);
        assertEq(vault.asset(), address(loanToken));
        assertEq(vault.name(), "Plimsoll Backstop USD");
        assertEq(vault.symbol(), "pbUSD");
        assertEq(vault.decimals(), 12);
    }

    function test_addressesMayNotBeMissing() public {
        vm.expectRevert(IBackstop.ZeroAddress.selector);
        _construct(address(0), address(loanToken), CURATOR, 1 days, 1 days);
        vm.expectRevert(IBackstop.ZeroAddress.selector);
        _construct(address(plimsoll), address(0), CURATOR, 1 days, 1 days);
        vm.expectRevert(IBackstop.ZeroAddress.selector);
        _construct(address(plimsoll), address(loanToken), address(0), 1 days, 1 days);
    }

    /// @notice A window longer than the cooldown would let depositors keep a window open most of the time.
    function test_timesLieBetweenADayAndSixtyAndTheWindowWithinTheCooldown() public {
        uint256[2][4] memory refused = [
            [uint256(1 days), 1 days - 1],
            [uint256(1 days - 1), 1 days],
            [uint256(3 days), 3 days + 1],
            [uint256(60 days + 1), 1 days]
        ];
        for (uint256 i; i < refused.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IBackstop.InvalidTimes.selector, refused[i][0], refused[i][1]));
            _construct(address(plimsoll), address(loanToken), CURATOR, refused[i][0], refused[i][1]);
        }
        _construct(address(plimsoll), address(loanToken), CURATOR, 1 days, 1 days);
        _construct(address(plimsoll), address(loanToken), CURATOR, 60 days, 60 days);
    }
}
