// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {ExecutorTest} from "./ExecutorTest.sol";

/// @notice After any job nothing is left in the executor, and it has approved nobody but the protocols.
contract ExecutorInvariantsTest is ExecutorTest {
    address[] private _borrowers;
    uint8[] private _targets;
    uint256 private _price = 2_000;
    uint256 private _done;

    function setUp() public override {
        super.setUp();
        targetContract(address(this));
        bytes4[] memory selectors = new bytes4[](3);
        selectors[0] = this.open.selector;
        selectors[1] = this.move.selector;
        selectors[2] = this.execute.selector;
        targetSelector(FuzzSelector({addr: address(this), selectors: selectors}));
    }

    /* ACTIONS */

    function open(uint8 target, uint256 debt) public {
        if (_borrowers.length == 12) return;
        address who = makeAddr(string.concat("account", vm.toString(_borrowers.length)));
        (target, debt) = (uint8(bound(target, PLIMSOLL, AAVE)), bound(debt, usd(1_000), 5 * usd(_price) * 78 / 100));
        openOn(target, who, eth(5), debt);
        _borrowers.push(who);
        _targets.push(target);
    }

    /// @notice The price moves, and one of the pools with it.
    function move(uint256 price) public {
        price = bound(price, _price * 85 / 100, _price * 110 / 100);
        if (price < 500 || price > 5_000 || price == _price) return;
        _price = price;
        oracle.set(priceOf(price));
        swapTo(pool, sqrtPriceOf(address(coin), eth(1), address(loanToken), usd(price)));
        skip(1 hours);
    }

    /// @notice A job of up to three accounts by any routes, into any of the two tokens. It may fail.
    function execute(uint256 seed) public {
        if (_borrowers.length == 0) return;
        IExecutor.Item[] memory items = new IExecutor.Item[](1 + seed % 3);
        address profitToken = seed >> 8 & 1 == 0 ? address(coin) : address(loanToken);
        for (uint256 i; i < items.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            items[i] = _itemOf(seed, profitToken);
        }
        IExecutor.Job memory job = jobOf(items, profitToken);
        if (profitToken == address(coin)) job.builderShareBps = uint16(seed % (BPS + 1));
        vm.prank(KEEPER);
        try executor.execute(job) returns (IExecutor.Outcome memory outcome) {
            _done += outcome.done == 0 ? 0 : 1;
        } catch {}
    }

    function _itemOf(uint256 seed, address profitToken) private view returns (IExecutor.Item memory item) {
        uint256 index = seed % _borrowers.length;
        item = itemOf(_targets[index], _borrowers[index]);
        item.exactOut = seed >> 8 & 1 == 0;
        item.gasCap = seed >> 9 & 7 == 0 ? 100_000 : 1_500_000;
        if (seed >> 16 & 3 == 0) item.route = hop(V2, PAIR_FEE, address(loanToken));
        if (seed >> 16 & 3 == 1) {
            item.route = abi.encodePacked(hop(V2, PAIR_FEE, address(dai)), hop(V3, FEE, address(loanToken)));
        }
        address left = item.exactOut || item.target == AAVE ? address(coin) : address(loanToken);
        if (left != profitToken && seed >> 24 & 3 != 0) item.conversion = hop(V3, FEE, profitToken);
    }

    /* WHAT HOLDS */

    function invariant_E1_nothingIsLeft() public view {
        assertNothingLeft();
    }

    function invariant_E1_onlyProtocolsAreApproved() public view {
        address[6] memory others = [address(pool), address(pair), KEEPER, TREASURY, STRANGER, address(coin)];
        for (uint256 i; i < others.length; ++i) {
            assertEq(coin.allowance(address(executor), others[i]), 0);
            assertEq(loanToken.allowance(address(executor), others[i]), 0);
        }
    }

    /// @dev The actions liquidate: otherwise the invariants would say nothing.
    function test_theActionsLiquidate() public {
        for (uint8 target = PLIMSOLL; target <= AAVE; ++target) {
            open(target, type(uint256).max);
        }
        move(1);
        for (uint256 seed; seed < 16; ++seed) {
            execute(seed);
        }
        assertGt(_done, 2);
        assertNothingLeft();
    }
}
