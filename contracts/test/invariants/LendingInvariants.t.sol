// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {TestToken} from "../support/TestToken.sol";
import {LendingHandler} from "./LendingHandler.sol";

/// @notice Invariants after any history. The handler checks those across each single call (`CallInvariants`,
/// `LiquidationRules` and the actions).
contract LendingInvariantsTest is Test {
    uint256 private constant MARKETS = 3;
    uint256 private constant TOKENS = 3;
    uint256 private constant ACTORS = 4;

    LendingHandler private handler;
    IPlimsoll private plimsoll;

    function setUp() public {
        handler = new LendingHandler();
        plimsoll = handler.plimsoll();
        targetContract(address(handler));
    }

    /// @dev All of them on one history: a campaign for each would look at as many fewer.
    function invariant_A1_A2_A3() public {
        vm.warp(handler.clock());
        uint256[TOKENS] memory owed;
        for (uint256 k; k < MARKETS; ++k) {
            Market memory m = plimsoll.market(handler.id(k));
            _sharesAddUp(k, m);
            _nothingIsOwedByNobody(k, m);
            _addWhatIsOwed(k, m, owed);
        }
        for (uint256 t; t < TOKENS; ++t) {
            address token = address(handler.token(t));
            owed[t] += plimsoll.cover(handler.backstop(), token);
            uint256 held = TestToken(token).balanceOf(address(plimsoll));
            assertGe(held, owed[t], "A2: tokens are missing");
            assertLe(held, owed[t] + handler.gifts(t) + handler.strayUnits(t), "A2: tokens belong to nobody");
        }
    }

    /// A8 and I3 over everything: what a single call touched was compared after it, what it should not have touched
    /// shows here.
    function afterInvariant() public view {
        for (uint256 k; k < MARKETS; ++k) {
            Market memory m = plimsoll.market(handler.id(k));
            _stateMatchesEvents(k, m);
            _parametersStay(k, m);
        }
    }

    /// A1
    function _sharesAddUp(uint256 k, Market memory m) private view {
        uint256 supplyShares = m.reserveShares;
        uint256 borrowShares;
        for (uint256 a; a < ACTORS; ++a) {
            Position memory p = plimsoll.position(handler.id(k), handler.actor(a));
            supplyShares += p.supplyShares;
            borrowShares += p.borrowShares;
        }
        assertEq(m.supplyShares, supplyShares, "A1: supply shares");
        assertEq(m.borrowShares, borrowShares, "A1: borrow shares");
    }

    /// A3, and what follows from the lowest price of a debt share.
    function _nothingIsOwedByNobody(uint256 k, Market memory m) private view {
        assertLe(m.borrowAssets, m.supplyAssets, "A2: more is lent than was supplied");
        assertEq(m.borrowAssets == 0, m.borrowShares == 0, "A3: debt without shares, or shares without debt");
        assertLe(m.borrowShares, m.borrowAssets * 1e6, "A3: a debt share below its lowest price");
        if (m.supplyAssets == 0 && m.supplyShares != 0) {
            assertGt(handler.hits("a loss paid by suppliers"), 0, "A3: worthless supply without a loss");
        }
        uint256 most;
        for (uint256 a; a < ACTORS; ++a) {
            Position memory p = plimsoll.position(handler.id(k), handler.actor(a));
            if (p.borrowShares == 0) continue;
            uint256 debt = (p.borrowShares * m.borrowAssets + m.borrowShares - 1) / m.borrowShares;
            assertGt(debt, 0, "A3: a debt of nothing");
            most += debt;
        }
        assertGe(most, m.borrowAssets, "A3: debt that nobody owes");
        assertLe(most, m.borrowAssets + ACTORS, "A3: debt that was not lent");
    }

    /// A8: word for word.
    function _stateMatchesEvents(uint256 k, Market memory m) private view {
        MarketId id = handler.id(k);
        bytes32 rawId = MarketId.unwrap(id);
        assertEq(abi.encode(handler.rebuilt().market(id)), abi.encode(m), "A8: market");
        for (uint256 a; a < ACTORS; ++a) {
            address who = handler.actor(a);
            assertEq(
                abi.encode(handler.rebuilt().position(id, who)), abi.encode(plimsoll.position(id, who)), "A8: position"
            );
            for (uint256 other; other < ACTORS; ++other) {
                address friend = handler.actor(other);
                assertEq(handler.rebuilt().authorizationExpiry(who, friend), plimsoll.authorizationExpiry(who, friend));
            }
        }
        address vault = handler.backstop();
        address token = handler.paramsOf(k).loanToken;
        assertEq(handler.rebuilt().cover(vault, token), plimsoll.cover(vault, token), "A8: cover");
        assertEq(handler.rebuilt().coverFloor(vault, token), plimsoll.coverFloor(vault, token), "A8: cover floor");
        assertEq(handler.rebuilt().coverLimit(vault, rawId), plimsoll.coverLimit(vault, id), "A8: cover limit");
        assertEq(handler.rebuilt().backstop(rawId), plimsoll.backstop(id), "A8: backstop");
        assertEq(handler.rebuilt().feeRecipient(rawId), plimsoll.feeRecipient(id), "A8: fee recipient");
    }

    /// I3
    function _parametersStay(uint256 k, Market memory m) private view {
        bytes memory params = abi.encode(handler.paramsOf(k));
        assertEq(abi.encode(plimsoll.marketParams(handler.id(k))), params, "I3: parameters changed");
        assertEq(keccak256(params), MarketId.unwrap(handler.id(k)), "I3: the id is another");
        assertLe(m.feeBps, 2_500, "I3: fee beyond its bound");
    }

    /// A2
    function _addWhatIsOwed(uint256 k, Market memory m, uint256[TOKENS] memory owed) private view {
        for (uint256 t; t < TOKENS; ++t) {
            address token = address(handler.token(t));
            if (token == handler.paramsOf(k).loanToken) owed[t] += m.supplyAssets - m.borrowAssets;
            if (token != handler.paramsOf(k).collateralToken) continue;
            for (uint256 a; a < ACTORS; ++a) {
                owed[t] += plimsoll.position(handler.id(k), handler.actor(a)).collateral;
            }
        }
    }
}
