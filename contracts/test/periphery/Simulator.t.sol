// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {ISimulator} from "plimsoll/interfaces/ISimulator.sol";

/// @notice What calls can do to whoever tries them.
contract Target {
    uint256 public count;
    mapping(uint256 => uint256) public slots;

    error Sender(address);

    function increment() external returns (uint256) {
        return ++count;
    }

    function sender() external view returns (address) {
        return msg.sender;
    }

    function fail() external view {
        revert Sender(msg.sender);
    }

    function burn() external pure {
        assembly {
            invalid()
        }
    }

    function bomb(uint256 size) external pure {
        assembly {
            return(0, size)
        }
    }

    function revertBomb(uint256 size) external pure {
        assembly {
            revert(0, size)
        }
    }

    /// @dev Uses about 22,000 gas for each slot.
    function fill(uint256 slots_) external {
        for (uint256 i; i < slots_; ++i) {
            slots[i] = 1;
        }
    }

    function pay(address payable to) external payable {
        (bool accepted,) = to.call{value: address(this).balance}("");
        require(accepted, "refused");
    }

    function gasGiven() external view returns (uint256) {
        return gasleft();
    }
}

/// @notice Answers with what it is sent, and reverts with it where the first byte is odd.
contract Echo {
    fallback() external {
        assembly {
            calldatacopy(0, 0, calldatasize())
            if and(byte(0, calldataload(0)), 1) { revert(0, calldatasize()) }
            return(0, calldatasize())
        }
    }
}

/// @notice Calls are tried from the keeper's account, measured, undone, and cannot harm each other.
contract SimulatorTest is Test {
    uint256 private constant MAX_RETURN = 1024;
    address private constant KEEPER = address(0xbeef);
    ISimulator private simulator;
    Target private target;

    function setUp() public {
        vm.etch(KEEPER, deployCode("Simulator.sol:Simulator").code);
        simulator = ISimulator(KEEPER);
        target = new Target();
        vm.deal(address(target), 1 ether);
    }

    function _call(bytes memory data) private view returns (ISimulator.Call memory) {
        return ISimulator.Call({to: address(target), gas: 1_000_000, keep: false, isStatic: false, data: data});
    }

    function _pair(bytes memory first, bytes memory second) private view returns (ISimulator.Call[] memory calls) {
        calls = new ISimulator.Call[](2);
        (calls[0], calls[1]) = (_call(first), _call(second));
    }

    /// @dev Runs calls, all of which are undone before the next one unless they are kept.
    function _run(ISimulator.Call[] memory calls) private returns (ISimulator.Result[] memory results) {
        (, results) = simulator.run(calls, MAX_RETURN);
        assertEq(results.length, calls.length);
    }

    function _run(bytes memory data) private returns (ISimulator.Result memory) {
        ISimulator.Call[] memory calls = new ISimulator.Call[](1);
        calls[0] = _call(data);
        return _run(calls)[0];
    }

    function _assertDone(ISimulator.Result memory result, uint256 expected) private pure {
        assertEq(uint8(result.status), uint8(ISimulator.Status.Done));
        assertEq(abi.decode(result.data, (uint256)), expected);
    }

    /* SITE */

    function test_theBlockOfTheCallsIsSaid() public {
        vm.roll(70);
        vm.warp(1_800_000_000);
        vm.setBlockhash(69, keccak256("parent"));
        (ISimulator.Site memory site,) = simulator.run(new ISimulator.Call[](0), MAX_RETURN);
        assertEq(site.number, 70);
        assertEq(site.timestamp, 1_800_000_000);
        assertEq(site.parentHash, keccak256("parent"));
        vm.roll(0);
        (site,) = simulator.run(new ISimulator.Call[](0), MAX_RETURN);
        assertEq(site.parentHash, 0);
    }

    /* UNDOING */

    function test_aCallComesFromTheAccountAndIsUndone() public {
        ISimulator.Result[] memory results =
            _run(_pair(abi.encodeCall(Target.increment, ()), abi.encodeCall(Target.increment, ())));
        _assertDone(results[0], 1);
        _assertDone(results[1], 1);
        assertEq(target.count(), 0);
        _assertDone(_run(abi.encodeCall(Target.sender, ())), uint160(KEEPER));
    }

    function test_aSequenceBuildsOnItselfAndNotOnOthers() public {
        ISimulator.Call[] memory calls = new ISimulator.Call[](5);
        for (uint256 i; i < calls.length; ++i) {
            calls[i] = _call(abi.encodeCall(Target.increment, ()));
        }
        calls[2].data = abi.encodeCall(Target.fail, ());
        (calls[0].keep, calls[2].keep, calls[4].keep) = (true, true, true);
        ISimulator.Result[] memory results = _run(calls);
        _assertDone(results[0], 1);
        _assertDone(results[1], 2);
        assertEq(results[2].data, abi.encodeWithSelector(Target.Sender.selector, KEEPER));
        _assertDone(results[3], 1);
        _assertDone(results[4], 1);
        assertEq(target.count(), 0);
    }

    function test_aRunInsideARunIsUndoneWithIt() public {
        ISimulator.Call[] memory calls = _pair(abi.encodeCall(Target.increment, ()), hex"");
        calls[0].keep = true;
        calls[1].data = abi.encodeCall(Target.increment, ());
        bytes memory nested = abi.encodeCall(ISimulator.run, (calls, MAX_RETURN));
        calls = _pair(hex"", abi.encodeCall(Target.increment, ()));
        (calls[0].to, calls[0].gas, calls[0].data, calls[0].keep) = (KEEPER, 5_000_000, nested, true);
        ISimulator.Result[] memory results = _run(calls);
        assertEq(uint8(results[0].status), uint8(ISimulator.Status.Done));
        (, ISimulator.Result[] memory inner) = abi.decode(results[0].data, (ISimulator.Site, ISimulator.Result[]));
        _assertDone(inner[1], 2);
        _assertDone(results[1], 1);
    }

    function test_onlyTheAccountItselfIsolates() public {
        vm.expectRevert(ISimulator.OnlySelf.selector);
        simulator.isolated(0, 0, new ISimulator.Call[](0), MAX_RETURN);
    }

    /// @dev A keeper's own account has no code, and so accepts coins and unknown calls.
    function test_theAccountAcceptsCoins() public {
        ISimulator.Result memory result = _run(abi.encodeCall(Target.pay, (payable(KEEPER))));
        assertEq(uint8(result.status), uint8(ISimulator.Status.Done));
        assertEq(KEEPER.balance, 0);
    }

    /* STATIC CALLS */

    /// @dev So those that are kept together are as independent as if each were undone.
    function test_aStaticCallCanChangeNothing() public {
        ISimulator.Call[] memory calls = new ISimulator.Call[](3);
        for (uint256 i; i < calls.length; ++i) {
            calls[i] = _call(abi.encodeCall(Target.increment, ()));
            (calls[i].keep, calls[i].isStatic) = (true, true);
        }
        calls[1].data = abi.encodeCall(target.count, ());
        ISimulator.Result[] memory results = _run(calls);
        assertEq(uint8(results[0].status), uint8(ISimulator.Status.Reverted));
        assertEq(results[0].data.length, 0);
        _assertDone(results[1], 0);
        assertEq(uint8(results[2].status), uint8(ISimulator.Status.Reverted));
    }

    function test_aStaticCallThatIsNotRunKeepsNoOtherFromBeingRun() public {
        ISimulator.Call[] memory calls = _pair(abi.encodeCall(target.count, ()), abi.encodeCall(Target.sender, ()));
        (calls[0].keep, calls[0].isStatic, calls[0].gas) = (true, true, type(uint64).max);
        ISimulator.Result[] memory results = _run(calls);
        assertEq(uint8(results[0].status), uint8(ISimulator.Status.NotRun));
        _assertDone(results[1], uint160(KEEPER));
    }

    function test_aStaticCallComesFromTheAccountWithAllItsGas() public {
        ISimulator.Call[] memory calls = _pair(abi.encodeCall(Target.sender, ()), abi.encodeCall(Target.gasGiven, ()));
        (calls[0].keep, calls[0].isStatic, calls[1].isStatic) = (true, true, true);
        ISimulator.Result[] memory results = _run(calls);
        _assertDone(results[0], uint160(KEEPER));
        assertApproxEqAbs(abi.decode(results[1].data, (uint256)), 1_000_000, 1_000);
    }

    function test_whatStaticCallsHaveReadIsColdForTheNextSequence() public {
        ISimulator.Call[] memory calls = new ISimulator.Call[](1);
        calls[0] = _call(abi.encodeCall(Target.increment, ()));
        uint256 alone = _run(calls)[0].gasUsed;
        calls = new ISimulator.Call[](3);
        calls[0] = _call(abi.encodeCall(target.count, ()));
        calls[1] = _call(abi.encodeCall(target.count, ()));
        calls[2] = _call(abi.encodeCall(Target.increment, ()));
        (calls[0].keep, calls[0].isStatic, calls[1].isStatic) = (true, true, true);
        ISimulator.Result[] memory results = _run(calls);
        assertEq(results[2].gasUsed, alone);
        // The second one finds the slot warm.
        assertEq(results[0].gasUsed - results[1].gasUsed, 2_000);
    }

    /* GAS */

    function test_gasIsMeasuredColdEachTime() public {
        bytes memory fill = abi.encodeCall(Target.fill, (10));
        ISimulator.Result[] memory results = _run(_pair(fill, fill));
        // 22,100 gas write a slot that was zero and cold.
        assertApproxEqAbs(results[0].gasUsed, 10 * 22_100, 10_000);
        assertEq(results[0].gasUsed, results[1].gasUsed);
        assertApproxEqAbs(_run(abi.encodeCall(Target.fill, (20))).gasUsed, 20 * 22_100, 15_000);
    }

    function test_aCallGetsAllTheGasThatItMayUse() public {
        uint256 given = abi.decode(_run(abi.encodeCall(Target.gasGiven, ())).data, (uint256));
        assertApproxEqAbs(given, 1_000_000, 1_000);
    }

    function test_aCallThatBurnsItsGasLeavesTheOthersTheirs() public {
        ISimulator.Result[] memory results =
            _run(_pair(abi.encodeCall(Target.burn, ()), abi.encodeCall(Target.increment, ())));
        assertEq(uint8(results[0].status), uint8(ISimulator.Status.Reverted));
        assertApproxEqAbs(results[0].gasUsed, 1_000_000, 1_000);
        assertEq(results[0].data.length, 0);
        _assertDone(results[1], 1);
    }

    /// @dev With whatever gas: every call that is run gets its full gas, and the others are said not to have been run.
    function test_withTooLittleGasCallsAreNotRun(uint256 gasLimit, uint16 burning, uint16 kept) public {
        ISimulator.Call[] memory calls = new ISimulator.Call[](16);
        for (uint256 i; i < calls.length; ++i) {
            calls[i] =
                _call((burning >> i) & 1 == 1 ? abi.encodeCall(Target.burn, ()) : abi.encodeCall(Target.gasGiven, ()));
            calls[i].keep = (kept >> i) & 1 == 1;
        }
        gasLimit = bound(gasLimit, 2_000_000, 20_000_000);
        (, ISimulator.Result[] memory results) = simulator.run{gas: gasLimit}(calls, MAX_RETURN);
        for (uint256 i; i < results.length; ++i) {
            _assertFed(results[i]);
            if (calls[i].keep && i + 1 < results.length && results[i].status == ISimulator.Status.NotRun) {
                assertEq(uint8(results[i + 1].status), uint8(ISimulator.Status.NotRun), "it ran after one that did not");
            }
        }
    }

    function _assertFed(ISimulator.Result memory result) private pure {
        if (result.status == ISimulator.Status.Done) {
            assertGt(abi.decode(result.data, (uint256)), 999_000);
        } else if (result.status == ISimulator.Status.NotRun) {
            assertEq(result.gasUsed + result.data.length, 0);
        }
    }

    function test_withEnoughGasEveryCallIsRun() public {
        ISimulator.Result[] memory results =
            _run(_pair(abi.encodeCall(Target.gasGiven, ()), abi.encodeCall(Target.burn, ())));
        assertEq(uint8(results[0].status), uint8(ISimulator.Status.Done));
        assertEq(uint8(results[1].status), uint8(ISimulator.Status.Reverted));
    }

    /* RETURN DATA */

    function test_noMoreReturnDataIsCopiedThanWanted(uint256 size) public {
        size = bound(size, 0, 100_000);
        ISimulator.Result[] memory results =
            _run(_pair(abi.encodeCall(Target.bomb, (size)), abi.encodeCall(Target.revertBomb, (size))));
        uint256 copied = size < MAX_RETURN ? size : MAX_RETURN;
        assertEq(uint8(results[0].status), uint8(ISimulator.Status.Done));
        assertEq(uint8(results[1].status), uint8(ISimulator.Status.Reverted));
        assertEq(results[0].data.length, copied);
        assertEq(results[1].data.length, copied);
    }

    /// @dev Lists of any shape, which `run` takes apart and puts together without the compiler's help.
    function test_everyResultStandsWhereItsCallStands(bytes[] memory data, uint256 kept) public {
        ISimulator.Call[] memory calls = new ISimulator.Call[](data.length);
        address echo = address(new Echo());
        for (uint256 i; i < data.length; ++i) {
            calls[i] = ISimulator.Call({
                to: echo,
                gas: 100_000,
                keep: (kept >> i) & 1 == 1,
                isStatic: (kept >> (128 + i)) & 1 == 1,
                data: data[i]
            });
        }
        ISimulator.Result[] memory results = _run(calls);
        for (uint256 i; i < data.length; ++i) {
            bool isOdd = data[i].length > 0 && uint8(data[i][0]) & 1 == 1;
            assertEq(uint8(results[i].status), uint8(isOdd ? ISimulator.Status.Reverted : ISimulator.Status.Done));
            assertEq(results[i].data, data[i]);
        }
    }

    /// @dev As the compiler encodes it, to the last byte, where less is copied than a call returns, too.
    function test_theAnswerIsEncodedAsTheCompilerDoesIt(bytes[] memory data, uint8 maxReturn) public {
        ISimulator.Call[] memory calls = new ISimulator.Call[](data.length);
        address echo = address(new Echo());
        for (uint256 i; i < data.length; ++i) {
            calls[i] = ISimulator.Call({to: echo, gas: 100_000, keep: false, isStatic: i & 1 == 1, data: data[i]});
        }
        (, bytes memory answer) = KEEPER.call(abi.encodeCall(ISimulator.run, (calls, maxReturn)));
        (ISimulator.Site memory site, ISimulator.Result[] memory results) =
            abi.decode(answer, (ISimulator.Site, ISimulator.Result[]));
        assertEq(answer, abi.encode(site, results));
    }

    /// @dev A result is written where the data of the call before were.
    function test_aCallThatIsNotRunHasUsedNothing() public {
        bytes memory rest = new bytes(512);
        for (uint256 i; i < rest.length; ++i) {
            rest[i] = 0xff;
        }
        bytes memory data = abi.encodePacked(abi.encodeCall(Target.sender, ()), rest);
        ISimulator.Call[] memory calls = _pair(data, hex"");
        (calls[0].keep, calls[1].gas) = (true, type(uint64).max);
        ISimulator.Result[] memory results = _run(calls);
        _assertDone(results[0], uint160(KEEPER));
        assertEq(uint8(results[1].status), uint8(ISimulator.Status.NotRun));
        assertEq(results[1].gasUsed + results[1].data.length, 0);
    }

    function test_aReturnBombCostsTheRequestNothingBeyondItsGas() public {
        uint256 before = gasleft();
        _run(abi.encodeCall(Target.bomb, (500_000)));
        assertLt(before - gasleft(), 1_200_000);
    }

    function test_anAccountWithoutCodeReturnsNothing() public {
        ISimulator.Call[] memory calls = new ISimulator.Call[](1);
        calls[0] =
            ISimulator.Call({to: address(0xdead), gas: 100_000, keep: false, isStatic: false, data: hex"12345678"});
        ISimulator.Result memory result = _run(calls)[0];
        assertEq(uint8(result.status), uint8(ISimulator.Status.Done));
        assertEq(result.data.length, 0);
    }
}
