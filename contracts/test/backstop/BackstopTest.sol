// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IBackstop} from "plimsoll/interfaces/IBackstop.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {StandardVaultFixture} from "../support/StandardVaultFixture.sol";

/// @notice Fixture of the backstop's tests: the real core with a market that a real backstop covers without a limit,
/// depositors, and losses of real loans.
abstract contract BackstopTest is StandardVaultFixture {
    uint256 internal constant COOLDOWN = 14 days;
    uint256 internal constant WINDOW = 2 days;
    uint256 internal constant RAISE_DELAY = COOLDOWN + WINDOW + 1 days;
    uint256 internal constant SHARES_PER_UNIT = 1e6;
    uint256 internal constant NO_LIMIT = type(uint256).max;

    address internal immutable CURATOR = makeAddr("curator");

    /// @dev One contract, by its own interface and by the standard's.
    IBackstop internal backstop;
    IERC4626 internal vault;
    uint256 private _losses;

    function setUp() public virtual override {
        super.setUp();
        backstop = newBackstop(address(loanToken));
        vault = IERC4626(address(backstop));
        setLimit(id, NO_LIMIT);
        vm.prank(OWNER);
        plimsoll.setBackstop(id, address(backstop));
    }

    function newBackstop(address asset) internal returns (IBackstop) {
        bytes memory args = abi.encode(plimsoll, asset, CURATOR, COOLDOWN, WINDOW, "Plimsoll Backstop USD", "pbUSD");
        return IBackstop(deployCode("Backstop.sol:Backstop", args));
    }

    /// @notice Creates a contract and passes on why its constructor failed, which `deployCode` does not.
    function construct(string calldata what, bytes calldata args) external returns (address made) {
        bytes memory code = abi.encodePacked(vm.getCode(what), args);
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(0x00, 0x00, returndatasize())
                revert(0x00, returndatasize())
            }
        }
    }

    /// @notice Announces a limit, waits, applies it.
    function setLimit(MarketId market, uint256 limit) internal {
        vm.prank(CURATOR);
        backstop.announceLimit(market, limit);
        vm.warp(backstop.announcedLimit(market).opensAt);
        backstop.applyLimit(market);
    }

    /* WHAT PEOPLE DO */

    function standard() internal view virtual override returns (IERC4626) {
        return vault;
    }

    function startCooldown(address who, uint256 shares) internal {
        vm.prank(who);
        backstop.startCooldown(shares);
    }

    /// @notice Starts a cooldown and waits until its window is open.
    function openWindow(address who, uint256 shares) internal {
        startCooldown(who, shares);
        skip(COOLDOWN);
    }

    function transfer(address from, address to, uint256 shares) internal {
        vm.prank(from);
        vault.transfer(to, shares);
    }

    function addIncome(uint256 assets) internal {
        fund(STRANGER, assets);
        vm.prank(STRANGER);
        backstop.addIncome(assets);
    }

    /// @notice Has the market lose a little less than `debt`: a new loan, a crash, a liquidation of all of it.
    function realiseLoss(uint256 debt) internal {
        address borrower = makeAddr(string.concat("loss ", vm.toString(++_losses)));
        supply(LENDER, debt);
        openLoan(borrower, debt * WAD / 1_500e6, debt);
        oracle.set(PRICE / 1_000);
        liquidate(borrower, type(uint128).max);
        oracle.set(PRICE);
    }

    /* WHAT IS SEEN */

    function cover() internal view returns (uint256) {
        return plimsoll.cover(address(backstop), address(loanToken));
    }

    function coverFloor() internal view returns (uint256) {
        return plimsoll.coverFloor(address(backstop), address(loanToken));
    }
}
