// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {ITokenHook, OddToken} from "./OddToken.sol";
import {RewardsTest} from "./RewardsTest.sol";

/// @notice Tries the calls that it was given whenever a token calls it, and notes the views at that moment.
contract Intruder is ITokenHook {
    IRewards internal immutable REWARDS;
    bytes32 internal immutable POOL;
    address internal immutable REWARD;
    bytes[] internal _attempts;

    uint256 public calls;
    uint256 public refused;
    uint256 public stakedSeen;
    uint256 public totalSeen;
    uint256 public claimableSeen;

    constructor(IRewards rewards, bytes32 pool, address reward) {
        (REWARDS, POOL, REWARD) = (rewards, pool, reward);
    }

    function attempt(bytes calldata call) external {
        _attempts.push(call);
    }

    function approve(OddToken token) external {
        token.approve(address(REWARDS), type(uint256).max);
    }

    function run(bytes calldata call) external {
        (bool done, bytes memory answer) = address(REWARDS).call(call);
        if (!done) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    function onToken(address) external {
        calls++;
        stakedSeen = REWARDS.staked(POOL, address(this));
        totalSeen = REWARDS.poolState(POOL).totalStaked;
        claimableSeen = REWARDS.claimable(POOL, REWARD, address(this));
        for (uint256 i; i < _attempts.length; i++) {
            (bool done, bytes memory answer) = address(REWARDS).call(_attempts[i]);
            if (!done && bytes4(answer) == IRewards.Reentered.selector) refused++;
        }
    }
}

/// @notice Attacks 8 and 9: a token that calls back, and views read inside such a call.
contract ReentrancyTest is RewardsTest {
    Intruder internal intruder;
    address internal who;
    uint256 internal constant ATTEMPTS = 9;

    function setUp() public override {
        super.setUp();
        intruder = new Intruder(rewards, pool, address(reward));
        who = address(intruder);
        stakeToken.mint(who, 1e30);
        reward.mint(who, 1e30);
        intruder.approve(stakeToken);
        intruder.approve(reward);
        _stake(bob, 300);
        intruder.run(abi.encodeCall(IRewards.stake, (pool, 100, who)));
        intruder.run(
            abi.encodeCall(
                IRewards.setHarvestConsent, (pool, address(reward), IRewards.HarvestConsent(true, false, 1000, 0))
            )
        );
        _fund(4000, 1);
        skip(2 * WEEK);

        stakeToken.setHook(who, true);
        reward.setHook(who, true);
        bytes[ATTEMPTS] memory every = [
            abi.encodeCall(IRewards.stake, (pool, 1, who)),
            abi.encodeCall(IRewards.unstake, (pool, 1, who, who)),
            abi.encodeCall(IRewards.claim, (pool, address(reward), who, who)),
            abi.encodeCall(IRewards.harvest, (pool, address(reward), _list(who, bob))),
            abi.encodeCall(IRewards.fund, (pool, address(reward), 1, _epoch() + 1, 1)),
            abi.encodeCall(
                IRewards.setHarvestConsent, (pool, address(reward), IRewards.HarvestConsent(true, false, 0, 0))
            ),
            abi.encodeCall(IRewards.setAuthorization, (bob, 1)),
            abi.encodeCall(IRewards.createPool, (address(stakeToken), _list(address(reward)), bytes32(uint256(1)))),
            abi.encodeCall(IRewards.multicall, (_calls(abi.encodeCall(IRewards.unstake, (pool, 1, who, who)))))
        ];
        for (uint256 i; i < ATTEMPTS; i++) {
            intruder.attempt(every[i]);
        }
    }

    function _calls(bytes memory call) private pure returns (bytes[] memory list) {
        list = new bytes[](1);
        list[0] = call;
    }

    function _assertRefused(uint256 calls) private view {
        assertEq(intruder.calls(), calls);
        assertEq(intruder.refused(), calls * ATTEMPTS);
    }

    function test_attack08_aStakeTokenCannotReEnterAStake() public {
        intruder.run(abi.encodeCall(IRewards.stake, (pool, 50, who)));
        _assertRefused(1);
        assertEq(rewards.staked(pool, who), 150);
        // Attack 9: during an incoming transfer the tokens are not credited yet.
        assertEq(intruder.stakedSeen(), 100);
        assertEq(intruder.totalSeen(), 400);
    }

    function test_attack08_aStakeTokenCannotReEnterAnUnstake() public {
        intruder.run(abi.encodeCall(IRewards.unstake, (pool, 40, who, who)));
        _assertRefused(1);
        // Attack 9: during an outgoing transfer the tokens are no longer credited.
        assertEq(intruder.stakedSeen(), 60);
        assertEq(intruder.totalSeen(), 360);
    }

    function test_attack08_aRewardTokenCannotReEnterAClaim() public {
        uint256 earned = _claimable(who);
        assertApproxEqAbs(earned, 1000, 1);
        uint256 before = reward.balanceOf(who);
        intruder.run(abi.encodeCall(IRewards.claim, (pool, address(reward), who, who)));
        _assertRefused(1);
        assertEq(intruder.claimableSeen(), 0);
        assertEq(reward.balanceOf(who), before + earned);
    }

    function test_attack08_aRewardTokenCannotReEnterAHarvest() public {
        uint256 earned = _claimable(who);
        _harvest(_list(who, bob, who));
        _assertRefused(1);
        assertEq(intruder.claimableSeen(), 0);
        assertEq(reward.balanceOf(keeper), earned / 10);
        assertApproxEqAbs(_claimable(bob), 3000, 1);
    }

    /// The tokens that one deposit brings are not counted for two.
    function test_attack08_aFunderIsNotCreditedTwice() public {
        intruder.run(abi.encodeCall(IRewards.fund, (pool, address(reward), 500, _epoch() + 1, 1)));
        _assertRefused(1);
        assertEq(rewards.streamState(pool, address(reward)).funded, 4500);
    }

    /// Two verbs of one transaction are not one in the other.
    function test_theGuardEndsWithTheCall() public {
        _stake(alice, 1);
        _stake(alice, 1);
        assertEq(rewards.staked(pool, alice), 2);
    }
}
