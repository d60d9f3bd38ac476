// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IVault} from "plimsoll/interfaces/IVault.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {TestToken} from "../support/TestToken.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @notice Answers every call, and every read, by burning all gas or by a megabyte of data.
contract Bomb {
    bool private immutable BURNS;

    constructor(bool burns) {
        BURNS = burns;
    }

    fallback() external payable {
        if (BURNS) {
            assembly {
                invalid()
            }
        }
        assembly {
            revert(0, 1000000)
        }
    }
}

/// @title A vault whose market has a hostile collateral token and oracle: nothing of the vault calls them.
contract VaultOddMarketsTest is VaultFixture {
    function test_V7_aMarketThatBurnsGasCostsTheVaultNoMoreThanAnother() public {
        _requireContained(true);
    }

    function test_V7_aMarketThatRevertsWithAMegabyteCostsTheVaultNoMoreThanAnother() public {
        _requireContained(false);
    }

    /// @dev Every verb, with the bomb as oracle and collateral token of a market, costs the gas that it costs without.
    function _requireContained(bool burns) private {
        deposit(ALICE, 500_000e6);
        move(0, 1, 200_000e6);
        takeLoan(1, 100_000e6);
        skip(1 hours);
        uint256 snapshot = vm.snapshotState();
        uint256 expected = _gasOfEverything();
        vm.revertToState(snapshot);
        bytes memory code = address(new Bomb(burns)).code;
        vm.etch(markets[1].oracle, code);
        vm.etch(markets[1].collateralToken, code);
        assertApproxEqAbs(_gasOfEverything(), expected, 1_000, "but for the memory of the test");
        assertBacked();
    }

    function _gasOfEverything() private returns (uint256 used) {
        fund(BOB, 1_000e6);
        used = gasleft();
        vm.prank(BOB);
        shares.deposit(1_000e6, BOB);
        vault.holdings();
        shares.maxWithdraw(ALICE);
        move(1, 0, 10_000e6);
        move(0, 1, 10_000e6);
        vm.prank(ALICE);
        shares.withdraw(1_000e6, ALICE, ALICE);
        redeemInKind(BOB, shares.balanceOf(BOB));
        vm.prank(GUARDIAN);
        vault.deallocate(ids[1]);
        used -= gasleft();
    }

    function test_aMarketThatDoesNotExistIsRefused() public {
        MarketId none = MarketId.wrap(keccak256("none"));
        bytes memory call = abi.encodeCall(IVault.enableMarket, (none));
        vm.prank(CURATOR);
        vault.submit(call);
        skip(RAISE_DELAY);
        vm.expectRevert(abi.encodeWithSelector(IVault.WrongLoanToken.selector, none, address(0), address(loanToken)));
        vault.execute(call);
    }
}

/// @title A vault of a token with other decimals than 6: the same history, in units.
abstract contract VaultDecimalsTest is VaultFixture {
    function decimals() internal pure virtual returns (uint8);

    function newTokens() internal override returns (TestToken loan, TestToken collateral) {
        return (new TestToken("LOAN", decimals()), new TestToken("ETH", 18));
    }

    function test_amountsAreUnitsWhateverTheDecimals() public {
        assertEq(shares.decimals(), decimals() + 6);
        uint256 bought = deposit(ALICE, 1_000_000);
        assertEq(bought, 1_000_000e6, "a million shares for the first unit");
        deposit(BOB, 3_000_000e6);
        move(0, 1, 1_000_000e6);
        takeLoan(1, 900_000e6);
        skip(30 days);
        vault.accrue();
        assertGt(worth(BOB), 3_000_000e6);
        uint256 held = shares.balanceOf(BOB);
        assertEq(shares.previewRedeem(held), worth(BOB));
        vm.startPrank(BOB);
        uint256 out = shares.redeem(shares.maxRedeem(BOB), BOB, BOB);
        out += vault.redeemInKind(shares.balanceOf(BOB), BOB, BOB, false);
        vm.stopPrank();
        // What is left in kind pays the penalty.
        assertGt(out, 3_000_000e6);
        assertGe(redeemInKind(ALICE, bought), 1_000_000);
        assertBacked();
    }
}

contract VaultOfNoDecimalsTest is VaultDecimalsTest {
    function decimals() internal pure override returns (uint8) {
        return 0;
    }
}

contract VaultOf18DecimalsTest is VaultDecimalsTest {
    function decimals() internal pure override returns (uint8) {
        return 18;
    }
}

contract VaultOf27DecimalsTest is VaultDecimalsTest {
    function decimals() internal pure override returns (uint8) {
        return 27;
    }
}
