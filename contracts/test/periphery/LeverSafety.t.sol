// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILever} from "plimsoll/interfaces/ILever.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {IRepayCallback, ISupplyCollateralCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {ISwapperClient} from "plimsoll/interfaces/ISwapperClient.sol";
import {HookedToken, ITransferHook} from "../support/HookedToken.sol";
import {SilentToken} from "../support/OddTokens.sol";
import {TestToken} from "../support/TestToken.sol";
import {LeverTest} from "./LeverTest.sol";

/// @notice Attacks 15 and 18, signatures, and odd tokens: many trust this contract with their positions and deposits.
contract LeverSafetyTest is LeverTest {
    /* SIGNATURES */

    /// @dev From nothing but tokens and a key: approval and authorization come with the call and end with its block.
    function test_everythingInOneTransactionBySignatures() public {
        ILever.Permit memory permit = signedPermit(eth(10));
        ILever.SignedAuthorization memory signed = signedAuthorization();
        vm.prank(USER);
        lever.raise(raiseWish(), permit, signed);
        assertEq(debtOf(USER), usd(20_000));
        assertEq(collateralToken.allowance(USER, address(lever)), 0);

        skip(1);
        ILever.Lower memory wish = lowerWish();
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, address(lever), USER));
        lower(wish);
        signed = signedAuthorization();
        vm.prank(USER);
        lever.lower(wish, signed);
        assertApproxEqAbs(debtOf(USER), usd(10_000), usd(1));
        skip(1);
        signed = signedAuthorization();
        vm.prank(USER);
        lever.close(closeWish(), signed);
        assertEq(collateralOf(USER), 0);
    }

    /// @dev I4: front-running the signatures has no effect but their submission.
    function test_signaturesThatWereBroughtBeforeDoNotMakeItFail() public {
        ILever.Permit memory permit = signedPermit(eth(10));
        ILever.SignedAuthorization memory signed = signedAuthorization();
        vm.startPrank(STRANGER);
        collateralToken.permit(USER, address(lever), eth(10), permit.deadline, permit.v, permit.r, permit.s);
        plimsoll.setAuthorizationWithSig(signed.authorization, signed.signature);
        vm.stopPrank();
        vm.prank(USER);
        lever.raise(raiseWish(), permit, signed);
        assertEq(debtOf(USER), usd(20_000));
    }

    function test_aBadPermitIsFoundWhenTheDepositIsTaken() public {
        ILever.Permit memory permit = signedPermit(eth(9));
        ILever.SignedAuthorization memory signed = signedAuthorization();
        vm.prank(USER);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISwapperClient.TransferFailed.selector, address(collateralToken), USER, address(lever), eth(10)
            )
        );
        lever.raise(raiseWish(), permit, signed);
    }

    function test_aBadAuthorizationIsRefusedByTheCore() public {
        consent();
        ILever.SignedAuthorization memory signed = signedAuthorization();
        signed.authorization.expiry = type(uint256).max;
        vm.prank(USER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InvalidSignature.selector, USER));
        lever.raise(raiseWish(), noPermit(), signed);
    }

    /* ATTACK 18: debt on behalf */

    /// @dev The user has authorised and approved the lever without limits; a stranger's call moves none of the user's
    /// assets.
    function test_aStrangerActsForHimselfAlone() public {
        consent();
        raise(raiseWish());
        collateralToken.mint(USER, eth(10));
        bytes32 before = _holdingsOf(USER);

        vm.startPrank(STRANGER);
        ILever.Raise memory wish = raiseWish();
        vm.expectRevert(
            abi.encodeWithSelector(
                ISwapperClient.TransferFailed.selector, address(collateralToken), STRANGER, address(lever), eth(10)
            )
        );
        lever.raise(wish, noPermit(), noAuthorization());
        wish.deposit = 0;
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, address(lever), STRANGER));
        lever.raise(wish, noPermit(), noAuthorization());
        (uint256 repaid, uint256 sold) = lever.lower(lowerWish(), noAuthorization());
        assertEq(repaid + sold, 0);
        uint256 returned;
        (repaid, sold, returned) = lever.close(closeWish(), noAuthorization());
        assertEq(repaid + sold + returned, 0);
        vm.stopPrank();
        assertEq(_holdingsOf(USER), before);
    }

    /// @dev Another's signed authorization, brought along, lets nobody act for that other.
    function test_aStrangerWithTheUsersSignatureActsForHimselfAlone() public {
        ILever.SignedAuthorization memory signed = signedAuthorization();
        ILever.Permit memory permit = signedPermit(eth(10));
        vm.prank(STRANGER);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISwapperClient.TransferFailed.selector, address(collateralToken), STRANGER, address(lever), eth(10)
            )
        );
        lever.raise(raiseWish(), permit, signed);
    }

    /// @dev Callbacks that name the user are answered to nobody, the core outside of a call included.
    function test_nobodyButTheCoreIsAnswered() public {
        consent();
        raise(raiseWish());
        collateralToken.mint(USER, eth(10));
        bytes memory raising = abi.encode(USER, raiseWish(), noPermit());
        bytes memory selling = abi.encode(params, USER, eth(5), address(swapper), routeToLoan());
        address[3] memory callers = [STRANGER, USER, address(plimsoll)];
        for (uint256 i; i < callers.length; ++i) {
            bytes memory refusal = abi.encodeWithSelector(ISwapperClient.UnexpectedCallback.selector, callers[i]);
            vm.startPrank(callers[i]);
            vm.expectRevert(refusal);
            ISupplyCollateralCallback(address(lever)).onPlimsollSupplyCollateral(1, raising);
            vm.expectRevert(refusal);
            IRepayCallback(address(lever)).onPlimsollRepay(usd(1_000), selling);
            vm.stopPrank();
        }
    }

    /* ATTACK 15: directed allowances */

    function test_onlyListedAdaptersAreCalled() public {
        consent();
        (ILever.Raise memory raising, ILever.Lower memory lowering, ILever.Close memory closing) =
            (raiseWish(), lowerWish(), closeWish());
        address[3] memory others = [address(collateralToken), address(plimsoll), STRANGER];
        for (uint256 i; i < others.length; ++i) {
            (raising.swapper, lowering.swapper, closing.swapper) = (others[i], others[i], others[i]);
            bytes memory refusal = abi.encodeWithSelector(ISwapperClient.SwapperNotListed.selector, others[i]);
            vm.expectRevert(refusal);
            raise(raising);
            vm.expectRevert(refusal);
            lower(lowering);
            vm.expectRevert(refusal);
            close(closing);
            assertFalse(ISwapperClient(address(lever)).isSwapper(others[i]));
        }
        assertTrue(ISwapperClient(address(lever)).isSwapper(address(swapper)));
        assertEq(lever.plimsoll(), address(plimsoll));
    }

    /// @dev A contract that calls itself a token, in no market: it is not called at all.
    function test_tokensOfNoMarketAreNotCalled() public {
        UncallableContract snoop = new UncallableContract();
        ILever.Raise memory wish = raiseWish();
        wish.params.collateralToken = address(snoop);
        ILever.Permit memory permit = signedPermit(eth(10));
        vm.prank(STRANGER);
        vm.expectPartialRevert(IPlimsoll.MarketNotCreated.selector);
        lever.raise(wish, permit, noAuthorization());
    }

    function test_flashLoansAreNotAnswered() public {
        consent();
        vm.prank(STRANGER);
        vm.expectRevert(bytes(""));
        plimsoll.flashLoan(address(lever), address(loanToken), usd(1), "");
    }

    function test_anAddressWithoutCodeIsRefusedAtConstruction() public {
        address[] memory list = swappers();
        bytes memory code = vm.getCode("Lever.sol:Lever");
        bytes memory refusal = abi.encodeWithSelector(ISwapperClient.NoCode.selector, STRANGER);
        expectCreationRefused(abi.encodePacked(code, abi.encode(STRANGER, list)), refusal);
        list[0] = STRANGER;
        expectCreationRefused(abi.encodePacked(code, abi.encode(plimsoll, list)), refusal);
    }

    /// @dev A6: tokens that somebody sends to lever or adapter ahead of a call stop nobody.
    function test_strayTokensStopNobody(uint256 stray) public {
        stray = bound(stray, 1, eth(100));
        consent();
        _leaveDust(stray);
        raise(raiseWish());
        assertEq(debtOf(USER), usd(20_000));
        _leaveDust(stray);
        (uint256 repaid,) = lower(lowerWish());
        assertEq(repaid, usd(10_000));
        _leaveDust(stray);
        close(closeWish());
        assertEq(collateralOf(USER), 0);
        assertEq(collateralToken.balanceOf(address(lever)), 0);
    }

    function test_aSingleStrayUnitIsSupplied() public {
        consent();
        supplyCollateral(USER, eth(3));
        collateralToken.mint(address(lever), 1);
        lower(lowerWish());
        assertEq(collateralOf(USER), eth(3) + 1);
    }

    /* ODD TOKENS */

    /// @dev Both tokens answer nothing, as some old ones do.
    function test_tokensThatReturnNothing() public {
        _marketOf(TestToken(address(new SilentToken())), TestToken(address(new SilentToken())));
        raise(raiseWish());
        lower(lowerWish());
        (,, uint256 returned) = close(closeWish());
        assertEq(collateralToken.balanceOf(USER), returned);
        assertNothingLeftIn(address(lever));
    }

    /// @dev Without a permit function a token that was approved is as good as any.
    function test_aPermitForATokenThatHasNone() public {
        _marketOf(TestToken(address(new SilentToken())), TestToken(address(new SilentToken())));
        ILever.Permit memory permit =
            ILever.Permit(vm.getBlockTimestamp(), 27, bytes32(uint256(1)), bytes32(uint256(1)));
        vm.prank(USER);
        lever.raise(raiseWish(), permit, noAuthorization());
        assertEq(debtOf(USER), usd(20_000));
    }

    /// @dev Attack 8: a token's hook cannot start any call, and changes nothing.
    function test_aHookFindsEverythingClosed() public {
        (HookedToken loan, HookedToken collateral) =
            (new HookedToken("USD", loanDecimals()), new HookedToken("ETH", collateralDecimals()));
        _marketOf(loan, collateral);
        uint256 snapshot = vm.snapshotState();
        bytes memory undisturbed = _roundTrip();
        vm.revertToState(snapshot);

        Intruder intruder = new Intruder(lever, raiseWish(), lowerWish(), closeWish());
        loan.setHook(intruder);
        collateral.setHook(intruder);
        assertEq(_roundTrip(), undisturbed);
        assertGt(intruder.attempts(), 15);
    }

    /* HELPERS */

    function _roundTrip() private returns (bytes memory) {
        uint256 bought = raise(raiseWish());
        (uint256 repaid, uint256 sold) = lower(lowerWish());
        (uint256 closed, uint256 soldInTheEnd, uint256 returned) = close(closeWish());
        return abi.encode(bought, repaid, sold, closed, soldInTheEnd, returned, collateralToken.balanceOf(USER));
    }

    function _leaveDust(uint256 amount) private {
        collateralToken.mint(address(swapper), amount);
        collateralToken.mint(address(lever), amount);
        loanToken.mint(address(swapper), amount);
        loanToken.mint(address(lever), amount);
    }

    function _holdingsOf(address account) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                plimsoll.position(id, account),
                collateralToken.balanceOf(account),
                loanToken.balanceOf(account),
                collateralToken.allowance(account, address(lever))
            )
        );
    }

    function _marketOf(TestToken loan, TestToken collateral) private {
        (loanToken, collateralToken) = (loan, collateral);
        (params.loanToken, params.collateralToken) = (address(loan), address(collateral));
        id = plimsoll.createMarket(params);
        pool = newPool(address(collateral), eth(POOL_ETH), address(loan), usd(POOL_USD));
        supply(LENDER, usd(1_000_000));
        collateral.mint(USER, eth(10));
        consent();
    }
}

/// @notice Tries to get into the lever whenever it is called, and wants to be refused by name.
contract Intruder is ITransferHook {
    ILever private immutable LEVER;
    bytes[3] private calls;
    uint256 public attempts;

    constructor(ILever lever, ILever.Raise memory raising, ILever.Lower memory lowering, ILever.Close memory closing) {
        LEVER = lever;
        ILever.Permit memory permit;
        ILever.SignedAuthorization memory authorization;
        calls[0] = abi.encodeCall(ILever.raise, (raising, permit, authorization));
        calls[1] = abi.encodeCall(ILever.lower, (lowering, authorization));
        calls[2] = abi.encodeCall(ILever.close, (closing, authorization));
    }

    function onTransfer(address, address, uint256) external {
        for (uint256 i; i < calls.length; ++i) {
            _refused(calls[i], ISwapperClient.Reentered.selector);
        }
        bytes4 unexpected = ISwapperClient.UnexpectedCallback.selector;
        _refused(abi.encodeCall(ISupplyCollateralCallback.onPlimsollSupplyCollateral, (1, "")), unexpected);
        _refused(abi.encodeCall(IRepayCallback.onPlimsollRepay, (1, "")), unexpected);
        ++attempts;
    }

    function _refused(bytes memory call, bytes4 selector) private {
        (bool done, bytes memory answer) = address(LEVER).call(call);
        require(!done && bytes4(answer) == selector, "not refused as it should be");
    }
}

/// @notice Reverts on every call.
contract UncallableContract {
    error WasCalled(bytes data);

    fallback() external {
        revert WasCalled(msg.data);
    }
}
