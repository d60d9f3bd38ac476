// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {toRisk} from "plimsoll/types/Risk.sol";

/// @notice The cheatcodes of halmos that are used here.
interface ISymbolic {
    /// @notice Gives every storage slot of an account an unknown value.
    function enableSymbolicStorage(address account) external;
}

/// @title A token that does what it is asked and answers true.
contract ObedientToken {
    fallback() external {
        assembly ("memory-safe") {
            mstore(0x00, 1)
            return(0x00, 0x20)
        }
    }
}

/// @title An oracle of any price.
contract UnknownPrice {
    uint256 public borrowPrice;
    uint256 public liquidationPrice;
}

/// @title The fixture of the checks: the core as it is deployed, in an unknown state.
abstract contract RightsFixture is Test {
    ISymbolic internal constant SYMBOLIC = ISymbolic(0xF3993A62377BCd56AE39D773740A5390411E8BC9);

    IPlimsoll internal plimsoll;
    address internal loanToken;
    address internal collateralToken;
    address internal oracle;

    function setUp() public {
        plimsoll = IPlimsoll(deployCode("target/proofs/out/Plimsoll.sol/Plimsoll.json", abi.encode(address(this))));
        SYMBOLIC.enableSymbolicStorage(address(plimsoll));
        loanToken = address(new ObedientToken());
        collateralToken = address(new ObedientToken());
        oracle = address(new UnknownPrice());
        SYMBOLIC.enableSymbolicStorage(oracle);
    }

    /* SHARED */

    /// @dev The caller is neither the account nor authorised by it now.
    function _assumeStranger(address caller, address account) internal view {
        vm.assume(caller != account && plimsoll.authorizationExpiry(account, caller) < block.timestamp);
    }

    /// @dev A market with the obedient tokens that was accrued in this block: interest is the lemmas' subject, and changes
    /// no position.
    function _accruedMarket(MarketParams memory params) internal view returns (MarketId id) {
        params.loanToken = loanToken;
        params.collateralToken = collateralToken;
        params.oracle = oracle;
        id = _id(params);
        vm.assume(plimsoll.market(id).lastUpdate == block.timestamp);
    }

    /// @dev Such a market without a surge limit, whose arithmetic doubles the paths: the limit changes no position.
    function _marketWithoutLimit(MarketParams memory params) internal view returns (MarketId id) {
        params.risk = toRisk(8_000, 8_600, 10_000);
        id = _accruedMarket(params);
        vm.assume(plimsoll.market(id).surgeLevel == 0);
    }

    function _id(MarketParams memory params) internal pure returns (MarketId) {
        return MarketId.wrap(keccak256(abi.encode(params)));
    }

    /// @dev Whatever becomes of a call about one account, another's position is as it was.
    function _assertOthersUntouched(MarketId id, address named, address account, address caller, bytes memory data)
        internal
    {
        vm.assume(account != named);
        Position memory before = plimsoll.position(id, account);
        _call(caller, data);
        Position memory afterwards = plimsoll.position(id, account);
        assert(afterwards.supplyShares == before.supplyShares);
        assert(afterwards.borrowShares == before.borrowShares);
        assert(afterwards.collateral == before.collateral);
    }

    /// @dev Whatever becomes of the call, the account has no less supply and collateral and no more debt afterwards.
    function _assertNotLowered(MarketId id, address account, address caller, bytes memory data) internal {
        Position memory before = plimsoll.position(id, account);
        vm.assume(before.supplyShares < 1 << 128);
        _call(caller, data);
        Position memory afterwards = plimsoll.position(id, account);
        assert(afterwards.supplyShares >= before.supplyShares);
        assert(afterwards.borrowShares <= before.borrowShares);
        assert(afterwards.collateral >= before.collateral);
    }

    function _call(address caller, bytes memory data) internal returns (bool done) {
        vm.prank(caller);
        (done,) = address(plimsoll).call(data);
    }
}

/// @title Who can do what to whose position: checked by halmos on the core's bytecode, for every state and every argument.
/// @notice Every slot of the core's storage, every argument, the caller and the time are unknown; halmos follows all paths
/// through the bytecode, and asks a solver whether one of them ends in a failed assertion. `check_planted_` functions assert
/// what is false, and must fail: they show that the others are not true for want of a path that ends.
///
/// `forge test` does not run these. `cargo lab prove` does (docs/reference/proofs.md).
contract RightsProof is RightsFixture {
    /* ONLY THE ACCOUNT AND THOSE IT AUTHORISED */

    /// @notice Nobody else withdraws an account's supply.
    function check_onlyTheAuthorisedWithdraw(
        MarketParams calldata params,
        uint256 assets,
        uint256 shares,
        address account,
        address receiver,
        address caller
    ) external {
        _assumeStranger(caller, account);
        assert(!_call(caller, abi.encodeCall(IPlimsoll.withdraw, (params, assets, shares, account, receiver))));
    }

    /// @notice Nobody else moves an account's supply to another account.
    function check_onlyTheAuthorisedTransferSupply(
        MarketId id,
        uint256 shares,
        address account,
        address receiver,
        address caller
    ) external {
        _assumeStranger(caller, account);
        assert(!_call(caller, abi.encodeCall(IPlimsoll.transferSupply, (id, shares, account, receiver))));
    }

    /// @notice Nobody else takes an account's collateral.
    function check_onlyTheAuthorisedWithdrawCollateral(
        MarketParams calldata params,
        uint256 assets,
        address account,
        address receiver,
        address caller
    ) external {
        _assumeStranger(caller, account);
        assert(!_call(caller, abi.encodeCall(IPlimsoll.withdrawCollateral, (params, assets, account, receiver))));
    }

    /// @notice Nobody else takes an account's collateral for a repayment.
    function check_onlyTheAuthorisedDeleverage(
        MarketParams calldata params,
        uint256 repayAssets,
        uint256 collateralOut,
        address account,
        address receiver,
        address caller
    ) external {
        _assumeStranger(caller, account);
        assert(
            !_call(
                caller,
                abi.encodeCall(IPlimsoll.deleverage, (params, repayAssets, collateralOut, account, receiver, ""))
            )
        );
    }

    /// @notice Nobody else brings an account into debt.
    function check_onlyTheAuthorisedBorrow(
        MarketParams calldata params,
        uint256 assets,
        uint256 shares,
        address account,
        address receiver,
        address caller
    ) external {
        _assumeStranger(caller, account);
        assert(!_call(caller, abi.encodeCall(IPlimsoll.borrow, (params, assets, shares, account, receiver))));
    }

    /// @notice False: an authorised account can transfer supply.
    function check_planted_nobodyTransfersSupply(
        MarketId id,
        uint256 shares,
        address account,
        address receiver,
        address caller
    ) external {
        vm.assume(caller != account);
        assert(!_call(caller, abi.encodeCall(IPlimsoll.transferSupply, (id, shares, account, receiver))));
    }

    /// @notice False: an authorised account can withdraw collateral.
    function check_planted_nobodyWithdrawsCollateral(
        MarketParams memory params,
        uint256 assets,
        address account,
        address receiver,
        address caller
    ) external {
        MarketId id = _accruedMarket(params);
        vm.assume(caller != account && plimsoll.position(id, account).borrowShares == 0);
        assert(!_call(caller, abi.encodeCall(IPlimsoll.withdrawCollateral, (params, assets, account, receiver))));
    }

    /// @notice False: an authorised account can withdraw supply.
    function check_planted_nobodyWithdraws(
        MarketParams memory params,
        address account,
        address receiver,
        address caller
    ) external {
        MarketId id = _accruedMarket(params);
        // Of a market where a share is worth a unit: a quotient of unknown numbers is hard to find.
        Market memory m = plimsoll.market(id);
        vm.assume(m.supplyAssets == 2e6 - 1 && m.supplyShares == 1e6 && m.borrowAssets == 0);
        vm.assume(caller != account && plimsoll.position(id, account).supplyShares == 1e6);
        assert(!_call(caller, abi.encodeCall(IPlimsoll.withdraw, (params, 0, 1, account, receiver))));
    }

    /// @notice False: an authorised account can borrow.
    function check_planted_nobodyBorrows(
        MarketParams memory params,
        uint256 assets,
        address account,
        address receiver,
        address caller
    ) external {
        params.risk = toRisk(8_000, 8_600, 10_000);
        MarketId id = _accruedMarket(params);
        vm.assume(caller != account && plimsoll.market(id).borrowShares == 0 && assets == 10_000);
        assert(!_call(caller, abi.encodeCall(IPlimsoll.borrow, (params, assets, 0, account, receiver))));
    }

    /// @notice False: an authorised account can deleverage.
    function check_planted_nobodyDeleverages(
        MarketParams memory params,
        uint256 collateralOut,
        address account,
        address receiver,
        address caller
    ) external {
        _accruedMarket(params);
        vm.assume(caller != account);
        assert(
            !_call(
                caller,
                abi.encodeCall(IPlimsoll.deleverage, (params, type(uint256).max, collateralOut, account, receiver, ""))
            )
        );
    }

    /* NO VERB TOUCHES ANYBODY BUT THE ACCOUNT THAT IS NAMED */

    /// @notice Supplying for an account changes no other account's position.
    function check_supplyTouchesNobodyElse(
        MarketParams memory params,
        uint256 assets,
        uint256 shares,
        address onBehalf,
        address account,
        address caller
    ) external {
        MarketId id = _accruedMarket(params);
        bytes memory data = abi.encodeCall(IPlimsoll.supply, (params, assets, shares, onBehalf, ""));
        _assertOthersUntouched(id, onBehalf, account, caller, data);
    }

    /// @notice Supplying collateral for an account changes no other account's position.
    function check_supplyCollateralTouchesNobodyElse(
        MarketParams memory params,
        uint256 assets,
        address onBehalf,
        address account,
        address caller
    ) external {
        MarketId id = _accruedMarket(params);
        bytes memory data = abi.encodeCall(IPlimsoll.supplyCollateral, (params, assets, onBehalf, ""));
        _assertOthersUntouched(id, onBehalf, account, caller, data);
    }

    /// @notice A withdrawal changes no other account's position.
    function check_withdrawTouchesNobodyElse(
        MarketParams memory params,
        uint256 assets,
        uint256 shares,
        address onBehalf,
        address account,
        address caller
    ) external {
        MarketId id = _accruedMarket(params);
        bytes memory data = abi.encodeCall(IPlimsoll.withdraw, (params, assets, shares, onBehalf, caller));
        _assertOthersUntouched(id, onBehalf, account, caller, data);
    }

    /// @notice A withdrawal of collateral changes no other account's position.
    function check_withdrawCollateralTouchesNobodyElse(
        MarketParams memory params,
        uint256 assets,
        address onBehalf,
        address account,
        address caller
    ) external {
        MarketId id = _accruedMarket(params);
        bytes memory data = abi.encodeCall(IPlimsoll.withdrawCollateral, (params, assets, onBehalf, caller));
        _assertOthersUntouched(id, onBehalf, account, caller, data);
    }

    /// @notice A borrowing changes no other account's position.
    function check_borrowTouchesNobodyElse(
        MarketParams memory params,
        uint256 assets,
        uint256 shares,
        address onBehalf,
        address account,
        address caller
    ) external {
        MarketId id = _marketWithoutLimit(params);
        bytes memory data = abi.encodeCall(IPlimsoll.borrow, (params, assets, shares, onBehalf, caller));
        _assertOthersUntouched(id, onBehalf, account, caller, data);
    }

    /// @notice A deleveraging changes no other account's position.
    function check_deleverageTouchesNobodyElse(
        MarketParams memory params,
        uint256 repayAssets,
        uint256 collateralOut,
        address onBehalf,
        address account,
        address caller
    ) external {
        MarketId id = _marketWithoutLimit(params);
        bytes memory data =
            abi.encodeCall(IPlimsoll.deleverage, (params, repayAssets, collateralOut, onBehalf, caller, ""));
        _assertOthersUntouched(id, onBehalf, account, caller, data);
    }

    /// @notice Repaying a number of shares for an account changes no other account's position.
    function check_repayBySharesTouchesNobodyElse(
        MarketParams memory params,
        uint256 shares,
        address onBehalf,
        address account,
        address caller
    ) external {
        MarketId id = _marketWithoutLimit(params);
        bytes memory data = abi.encodeCall(IPlimsoll.repay, (params, 0, shares, onBehalf, ""));
        _assertOthersUntouched(id, onBehalf, account, caller, data);
    }

    /* WHAT ANYBODY MAY DO FOR AN ACCOUNT DOES IT NO HARM */

    /// @notice Supplying a number of shares for an account takes nothing from it.
    function check_supplyTakesNothing(MarketParams memory params, uint256 shares, address account, address caller)
        external
    {
        MarketId id = _accruedMarket(params);
        _assertNotLowered(id, account, caller, abi.encodeCall(IPlimsoll.supply, (params, 0, shares, account, "")));
    }

    /// @notice Supplying collateral for an account takes nothing from it.
    function check_supplyCollateralTakesNothing(
        MarketParams memory params,
        uint256 assets,
        address account,
        address caller
    ) external {
        MarketId id = _accruedMarket(params);
        _assertNotLowered(
            id, account, caller, abi.encodeCall(IPlimsoll.supplyCollateral, (params, assets, account, ""))
        );
    }

    /// @notice Repaying a number of shares for an account takes nothing from it but debt.
    function check_repayTakesNothingButDebt(MarketParams memory params, uint256 shares, address account, address caller)
        external
    {
        MarketId id = _accruedMarket(params);
        _assertNotLowered(id, account, caller, abi.encodeCall(IPlimsoll.repay, (params, 0, shares, account, "")));
    }

    /// @notice A transfer of supply takes nothing from the receiver, nor from a third account.
    function check_transferSupplyTakesFromNobodyElse(
        MarketId id,
        uint256 shares,
        address onBehalf,
        address receiver,
        address account,
        address caller
    ) external {
        vm.assume(account != onBehalf && plimsoll.position(id, onBehalf).supplyShares < 1 << 128);
        bytes memory data = abi.encodeCall(IPlimsoll.transferSupply, (id, shares, onBehalf, receiver));
        _assertNotLowered(id, account, caller, data);
    }

    /// @notice False: a transfer of supply does take from the account that is named.
    function check_planted_transferSupplyTakesFromNobody(
        MarketId id,
        uint256 shares,
        address onBehalf,
        address receiver,
        address caller
    ) external {
        _assertNotLowered(
            id, onBehalf, caller, abi.encodeCall(IPlimsoll.transferSupply, (id, shares, onBehalf, receiver))
        );
    }

    /* TRANSFERS OF SUPPLY */

    /// @notice A transfer of supply makes and destroys no shares, not even one to oneself.
    function check_transferSupplyKeepsTheSum(
        MarketId id,
        uint256 shares,
        address onBehalf,
        address receiver,
        address caller
    ) external {
        uint256 mine = plimsoll.position(id, onBehalf).supplyShares;
        uint256 theirs = plimsoll.position(id, receiver).supplyShares;
        vm.assume(mine < 1 << 128 && theirs < 1 << 128);
        if (!_call(caller, abi.encodeCall(IPlimsoll.transferSupply, (id, shares, onBehalf, receiver)))) return;
        uint256 mineAfter = plimsoll.position(id, onBehalf).supplyShares;
        uint256 theirsAfter = plimsoll.position(id, receiver).supplyShares;
        if (onBehalf == receiver) {
            assert(mineAfter == mine);
        } else {
            assert(mineAfter == mine - shares && theirsAfter == theirs + shares);
        }
    }

    /* AUTHORISATION, OWNER, COVER */

    /// @notice Nobody sets another's authorisation but by signature.
    function check_setAuthorizationIsOnesOwn(
        address authorized,
        uint256 expiry,
        address account,
        address other,
        address caller
    ) external {
        vm.assume(caller != account);
        uint256 before = plimsoll.authorizationExpiry(account, other);
        _call(caller, abi.encodeCall(IPlimsoll.setAuthorization, (authorized, expiry)));
        assert(plimsoll.authorizationExpiry(account, other) == before);
    }

    /// @notice Nobody but the owner sets fees, recipients and backstops, or begins to transfer the ownership.
    function check_onlyTheOwner(
        MarketParams calldata params,
        MarketId id,
        uint256 feeBps,
        address other,
        address caller
    ) external {
        vm.assume(caller != plimsoll.owner());
        assert(!_call(caller, abi.encodeCall(IPlimsoll.setFee, (params, feeBps))));
        assert(!_call(caller, abi.encodeCall(IPlimsoll.setFeeRecipient, (id, other))));
        assert(!_call(caller, abi.encodeCall(IPlimsoll.setBackstop, (id, other))));
        assert(!_call(caller, abi.encodeCall(IPlimsoll.transferOwnership, (other))));
    }

    /// @notice Nobody but the pending owner becomes the owner.
    function check_onlyThePendingOwnerAccepts(address caller) external {
        vm.assume(caller != plimsoll.pendingOwner());
        assert(!_call(caller, abi.encodeCall(IPlimsoll.acceptOwnership, ())));
    }

    /// @notice Nobody withdraws another's cover.
    function check_coverIsWithdrawnByItsDepositor(
        address token,
        uint256 assets,
        address receiver,
        address account,
        address caller
    ) external {
        vm.assume(caller != account && (token == loanToken || token == collateralToken));
        uint256 before = plimsoll.cover(account, token);
        _call(caller, abi.encodeCall(IPlimsoll.withdrawCover, (token, assets, receiver)));
        assert(plimsoll.cover(account, token) == before);
    }

    /// @notice False: a depositor does withdraw cover.
    function check_planted_coverIsNeverWithdrawn(address token, uint256 assets, address receiver, address account)
        external
    {
        vm.assume(token == loanToken || token == collateralToken);
        uint256 before = plimsoll.cover(account, token);
        _call(account, abi.encodeCall(IPlimsoll.withdrawCover, (token, assets, receiver)));
        assert(plimsoll.cover(account, token) == before);
    }
}
