// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";

/// @notice The cheatcodes of halmos that are used here.
interface ISymbolic {
    function enableSymbolicStorage(address account) external;
    function createAddress(string calldata name) external view returns (address);
    function createUint256(string calldata name) external view returns (uint256);
}

contract RightsProof is Test {
    ISymbolic internal constant SYMBOLIC = ISymbolic(0xF3993A62377BCd56AE39D773740A5390411E8BC9);

    IPlimsoll internal plimsoll;

    function setUp() public {
        plimsoll = IPlimsoll(deployCode("Plimsoll.sol:Plimsoll", abi.encode(address(this))));
        SYMBOLIC.enableSymbolicStorage(address(plimsoll));
    }

    function check_withdraw(MarketParams calldata params, uint256 assets, uint256 shares, address caller, address account, address receiver) external {
        vm.assume(caller != account);
        vm.assume(plimsoll.authorizationExpiry(account, caller) < block.timestamp);
        vm.prank(caller);
        (bool done,) = address(plimsoll).call(abi.encodeCall(IPlimsoll.withdraw, (params, assets, shares, account, receiver)));
        assert(!done);
    }
}
