// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILever} from "plimsoll/interfaces/ILever.sol";
import {Authorization} from "plimsoll/types/Authorization.sol";
import {ExchangeTest} from "./ExchangeTest.sol";

/// @notice Fixture of the lever's tests: the real lever over core and pool, and a user with 10 ETH, a key, and no loan
/// tokens.
abstract contract LeverTest is ExchangeTest {
    uint256 internal constant USER_KEY = 0xB0B;
    address internal immutable USER = vm.addr(USER_KEY);

    ILever internal lever;

    function setUp() public virtual override {
        super.setUp();
        lever = ILever(deployCode("Lever.sol:Lever", abi.encode(plimsoll, swappers())));
        collateralToken.mint(USER, eth(10));
    }

    /* CONSENT */

    /// @notice Approves the token and authorises the lever, as most users do once.
    function consent() internal {
        vm.startPrank(USER);
        collateralToken.approve(address(lever), type(uint256).max);
        plimsoll.setAuthorization(address(lever), type(uint256).max);
        vm.stopPrank();
    }

    /// @notice The user's signature for this block alone.
    function signedAuthorization() internal view returns (ILever.SignedAuthorization memory signed) {
        uint256 nonce = plimsoll.nonce(USER);
        uint256 untilNow = vm.getBlockTimestamp();
        signed.authorization = Authorization(USER, address(lever), untilNow, nonce, untilNow);
        bytes32 typeHash = keccak256(
            "Authorization(address authorizer,address authorized,uint256 expiry,uint256 nonce,uint256 deadline)"
        );
        signed.signature = _sign(plimsoll.DOMAIN_SEPARATOR(), keccak256(abi.encode(typeHash, signed.authorization)));
    }

    function signedPermit(uint256 amount) internal view returns (ILever.Permit memory permit) {
        permit.deadline = vm.getBlockTimestamp();
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes memory signature = _sign(
            collateralToken.DOMAIN_SEPARATOR(),
            keccak256(abi.encode(typeHash, USER, address(lever), amount, collateralToken.nonces(USER), permit.deadline))
        );
        (permit.r, permit.s, permit.v) = _split(signature);
    }

    function noAuthorization() internal pure returns (ILever.SignedAuthorization memory none) {}

    function noPermit() internal pure returns (ILever.Permit memory none) {}

    function _sign(bytes32 domain, bytes32 structHash) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(USER_KEY, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
        return abi.encodePacked(r, s, v);
    }

    function _split(bytes memory signature) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
            v := byte(0, mload(add(signature, 0x60)))
        }
    }

    /* WISHES */

    /// @notice 10 ETH of one's own and 20,000 borrowed: about 20 ETH with a debt of half their value.
    function raiseWish() internal view returns (ILever.Raise memory) {
        return ILever.Raise({
            params: params,
            deposit: eth(10),
            borrowAssets: usd(20_000),
            minBought: eth(995) / 100,
            maxLtvBps: 5_100,
            swapper: address(swapper),
            route: routeToCollateral(),
            deadline: vm.getBlockTimestamp()
        });
    }

    /// @notice Half of that debt back, for at most 5.1 ETH.
    function lowerWish() internal view returns (ILever.Lower memory) {
        return ILever.Lower({
            params: params,
            repayAssets: usd(10_000),
            maxSold: eth(51) / 10,
            swapper: address(swapper),
            route: routeToLoan(),
            deadline: vm.getBlockTimestamp()
        });
    }

    /// @notice All of it back, for whatever it takes.
    function closeWish() internal view returns (ILever.Close memory) {
        return ILever.Close({
            params: params,
            maxSold: type(uint256).max,
            swapper: address(swapper),
            route: routeToLoan(),
            deadline: vm.getBlockTimestamp()
        });
    }

    function raise(ILever.Raise memory wish) internal returns (uint256 bought) {
        vm.prank(USER);
        return lever.raise(wish, noPermit(), noAuthorization());
    }

    function lower(ILever.Lower memory wish) internal returns (uint256 repaid, uint256 sold) {
        vm.prank(USER);
        return lever.lower(wish, noAuthorization());
    }

    function close(ILever.Close memory wish) internal returns (uint256 repaid, uint256 sold, uint256 returned) {
        vm.prank(USER);
        return lever.close(wish, noAuthorization());
    }

    function collateralOf(address account) internal view returns (uint256) {
        return plimsoll.position(id, account).collateral;
    }
}
