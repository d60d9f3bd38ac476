// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {CommonBase} from "forge-std/Base.sol";
import {StdCheats} from "forge-std/StdCheats.sol";
import {StdUtils} from "forge-std/StdUtils.sol";
import {IBrake} from "plimsoll/interfaces/IBrake.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {GovernanceFixture} from "./GovernanceFixture.sol";

/// @notice Holders who lock, oppose, unlock and pass shares on, and a governor who schedules, cancels and executes, each so
/// that it succeeds or is skipped.
contract BrakeHandler is CommonBase, StdCheats, StdUtils {
    IAccessManager private immutable MANAGER;
    IBrake private immutable BRAKE;
    IERC4626 private immutable SHARES;
    address private immutable GOVERNOR;
    address private immutable TARGET;
    bytes[2] private calls;

    address[3] public holders;
    uint256 public locked;
    /// @dev When an operation was cancelled by less than half of the shares.
    mapping(uint256 call => uint256[]) private cancelledAt;
    mapping(string => uint256) public hits;

    constructor(IBrake brake, address governor, address target, bytes[2] memory calls_, address[3] memory holders_) {
        (MANAGER, BRAKE) = (IAccessManager(brake.manager()), brake);
        (SHARES, GOVERNOR, TARGET) = (IERC4626(brake.sharesToken()), governor, target);
        (calls, holders) = (calls_, holders_);
    }

    function lock(uint256 who, uint256 amount) external {
        address holder = holders[who % 3];
        uint256 most = SHARES.balanceOf(holder);
        if (most == 0) return;
        // Of every size: most must not suffice to cancel alone.
        amount = bound(most >> (amount % 8), 1, most);
        vm.startPrank(holder);
        SHARES.approve(address(BRAKE), amount);
        BRAKE.lock(amount);
        vm.stopPrank();
        locked += amount;
    }

    function unlock(uint256 who, uint256 to, uint256 amount) external {
        address holder = holders[who % 3];
        IBrake.Lock memory held = BRAKE.locked(holder);
        if (held.shares == 0 || block.timestamp < held.freeAt) return;
        amount = bound(amount, 1, held.shares);
        vm.prank(holder);
        BRAKE.unlock(amount, holders[to % 3]);
        locked -= amount;
        ++hits["unlock"];
    }

    function oppose(uint256 who, uint256 what) public {
        address holder = holders[who % 3];
        if (BRAKE.locked(holder).shares == 0 || !isScheduled(what)) return;
        IBrake.Operation[] memory list = new IBrake.Operation[](1);
        list[0] = operation(what);
        uint256 against = BRAKE.opposition(list[0]).needed;
        vm.prank(holder);
        if (BRAKE.oppose(list) == 0) return;
        ++hits["cancel"];
        if (against * 2 < BRAKE.referenceSupply()) cancelledAt[what % 2].push(block.timestamp);
    }

    function schedule(uint256 what, uint256 delay) public {
        if (isScheduled(what)) return;
        uint48 when = uint48(block.timestamp + bound(delay, 3 days, 40 days));
        vm.prank(GOVERNOR);
        MANAGER.schedule(TARGET, calls[what % 2], when);
    }

    function scheduleAndOppose(uint256 who, uint256 what, uint256 delay) external {
        schedule(what, delay);
        oppose(who, what);
    }

    function withdraw(uint256 what) external {
        if (!isScheduled(what)) return;
        vm.prank(GOVERNOR);
        MANAGER.cancel(GOVERNOR, TARGET, calls[what % 2]);
    }

    function wait(uint256 time) external {
        skip(bound(time, 1, 5 days));
    }

    /// @notice Waits until a holder's lock ends, and passes the shares on: when a share could count twice.
    function passOn(uint256 who, uint256 to, uint256 what) external {
        address holder = holders[who % 3];
        address other = holders[to % 3];
        IBrake.Lock memory held = BRAKE.locked(holder);
        if (held.shares == 0) return;
        if (block.timestamp < held.freeAt) vm.warp(held.freeAt);
        vm.prank(holder);
        BRAKE.unlock(held.shares, other);
        vm.startPrank(other);
        SHARES.approve(address(BRAKE), held.shares);
        BRAKE.lock(held.shares);
        vm.stopPrank();
        ++hits["pass on"];
        if (isScheduled(what)) oppose(to, what);
    }

    /// @notice The most cancellations by minorities that one operation met within half a year.
    function mostDelays() external view returns (uint256 most) {
        for (uint256 i; i < 2; ++i) {
            uint256[] storage times = cancelledAt[i];
            for (uint256 from; from < times.length; ++from) {
                uint256 count;
                for (uint256 k = from; k < times.length && times[k] <= times[from] + 180 days; ++k) {
                    ++count;
                }
                if (count > most) most = count;
            }
        }
    }

    function operation(uint256 what) public view returns (IBrake.Operation memory) {
        return IBrake.Operation(GOVERNOR, TARGET, calls[what % 2]);
    }

    function isScheduled(uint256 what) public view returns (bool) {
        return MANAGER.getSchedule(MANAGER.hashOperation(GOVERNOR, TARGET, calls[what % 2])) != 0;
    }
}

/// @notice What holds after any sequence of what holders and a governor do.
contract BrakeInvariantsTest is GovernanceFixture {
    BrakeHandler private handler;

    function setUp() public override {
        super.setUp();
        bytes[2] memory calls = [raise(), abi.encodeCall(plimsoll.setFeeRecipient, (id, STRANGER))];
        handler = new BrakeHandler(brake, GOVERNOR, address(plimsoll), calls, [ALICE, BOB, CAROL]);
        targetContract(address(handler));
    }

    /// @notice Every locked share is there, and belongs to one account.
    function invariant_D3_locksAreBacked() public view {
        uint256 sum;
        for (uint256 i; i < 3; ++i) {
            sum += brake.locked(handler.holders(i)).shares;
        }
        assertEq(sum, handler.locked());
        assertEq(shares.balanceOf(address(brake)), sum);
    }

    /// @notice D4: what counts against an operation is locked now, so nothing counts twice.
    function invariant_D4_weightIsLocked() public view {
        for (uint256 i; i < 2; ++i) {
            assertLe(brake.opposition(handler.operation(i)).weight, shares.balanceOf(address(brake)));
        }
    }

    /// @notice D5: against less than half of the shares an operation is delayed three times in half a year at most.
    function invariant_D5_minoritiesDelayThreeTimesAtMost() public view {
        assertLe(handler.mostDelays(), 3);
    }
}
