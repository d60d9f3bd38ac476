// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {ILens} from "plimsoll/interfaces/ILens.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {IVaultLens} from "plimsoll/interfaces/IVaultLens.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestToken} from "../support/TestToken.sol";
import {VaultFixture} from "../vault/VaultFixture.sol";

/// @notice Answers every call with a megabyte of ones, or of zeros.
contract Flood {
    bool private immutable ONES;
    address private immutable CORE;

    constructor(bool ones, address core) {
        (ONES, CORE) = (ones, core);
    }

    function plimsoll() external view returns (address) {
        return CORE;
    }

    fallback() external {
        uint256 word = ONES ? type(uint256).max : 0x20;
        assembly {
            for { let at := 0 } lt(at, 100000) { at := add(at, 0x20) } { mstore(at, word) }
            return(0, 1000000)
        }
    }
}

/// @title The lens over vaults says what the vault does next.
contract VaultLensTest is VaultFixture {
    IVaultLens private lens;

    function setUp() public override {
        super.setUp();
        lens = IVaultLens(deployCode("VaultLens.sol:VaultLens", abi.encode(plimsoll)));
    }

    /* VALUE AND LIMITS */

    /// @dev Any deposits, moves, loans, ages, losses: the line is what the vault says and what its next update does.
    function testFuzz_aVaultIsSeenAsItIs(uint256[10] memory seeds) public {
        _anyState(seeds);
        IVaultLens.VaultLine memory line = _line();
        assertTrue(line.status == IVaultLens.LineStatus.Ok);
        assertEq(line.vault, address(vault));
        assertEq(line.asset, address(loanToken));
        assertEq(line.totalAssets, shares.totalAssets());
        assertEq(line.price, shares.convertToAssets(1e27));
        assertEq(line.maxDeposit, shares.maxDeposit(ALICE));
        assertEq(line.maxMint, shares.maxMint(ALICE));
        assertEq(abi.encode(line.state), abi.encode(vault.state()));
        assertEq(abi.encode(line.withdrawOrder), abi.encode(vault.withdrawOrder()));
        _requireHoldings(line);

        uint256 before = shares.totalSupply();
        uint256 real = line.totalAssets + line.unrecognised;
        vm.recordLogs();
        vault.accrue();
        assertEq(shares.totalSupply() - before, line.feeShares, "another fee");
        assertEq(shares.totalSupply(), line.totalSupply);
        assertEq(vault.state().lastTotal, line.totalAssets);
        uint256 sum = idle();
        for (uint256 i; i < 3; ++i) {
            sum += valueIn(i);
        }
        if (sum >= line.totalAssets) assertEq(sum, real);
        // In a transaction in which the value was updated the line is the same.
        IVaultLens.VaultLine memory again = _line();
        assertEq(again.totalSupply, line.totalSupply);
        assertEq(again.price, line.price);
        assertEq(again.feeShares, 0);
    }

    /// @dev What the line says can be withdrawn is withdrawn, and a unit more is refused.
    function testFuzz_aHolderCanWithdrawWhatTheLineSays(uint256[10] memory seeds) public {
        _anyState(seeds);
        IVaultLens.AccountLine memory line = _account(BOB);
        uint256 snapshot = vm.snapshotState();
        vm.startPrank(BOB);
        (bool done,) = address(vault).call(abi.encodeCall(IERC4626.withdraw, (line.maxWithdraw + 1, BOB, BOB)));
        assertFalse(done, "more than it said");
        shares.withdraw(line.maxWithdraw, BOB, BOB);
        assertEq(loanToken.balanceOf(BOB), line.maxWithdraw);
        vm.revertToState(snapshot);
        uint256 paid = shares.redeem(line.maxRedeem, BOB, BOB);
        vm.stopPrank();
        assertEq(loanToken.balanceOf(BOB), paid);
        assertLe(paid, line.maxWithdraw);
        if (line.maxRedeem == line.shares) assertEq(paid, line.assets);
    }

    /// @dev All holders together get the liquid assets, or all that their shares are worth.
    function testFuzz_togetherHoldersCanWithdrawWhatIsLiquid(uint256[10] memory seeds) public {
        _anyState(seeds);
        uint256 liquid = _line().liquid;
        address[3] memory holders = [ALICE, BOB, FEE_RECIPIENT];
        vault.accrue();
        uint256 paid;
        for (uint256 n; n < 3; ++n) {
            uint256 most = shares.maxWithdraw(holders[n]);
            vm.prank(holders[n]);
            shares.withdraw(most, holders[n], holders[n]);
            paid += most;
        }
        assertLe(paid, liquid);
        // Each withdrawal may round once in each market, and each holder's shares to a unit.
        if (shares.totalAssets() > 3) assertGe(paid + 12, liquid, "some was left");
    }

    function testFuzz_depositsUpToTheLimit(uint256[10] memory seeds) public {
        _anyState(seeds);
        uint256 most = _line().maxDeposit;
        fund(CAROL, most + 1);
        vm.startPrank(CAROL);
        vm.expectPartialRevert(IERC4626.ERC4626ExceededMaxDeposit.selector);
        shares.deposit(most + 1, CAROL);
        shares.deposit(most, CAROL);
    }

    /* IN KIND */

    /// @dev What a redemption of all shares gives is what the line says, to the share.
    function testFuzz_inKindAHolderGetsWhatTheLineSays(uint256[10] memory seeds) public {
        _anyState(seeds);
        IVaultLens.AccountLine memory line = _account(BOB);
        uint256 assets = redeemInKind(BOB, line.shares);
        assertEq(assets, line.inKindAssets);
        assertEq(loanToken.balanceOf(BOB), line.inKindIdle);
        for (uint256 i; i < 3; ++i) {
            assertEq(plimsoll.position(ids[i], BOB).supplyShares, line.inKindShares[i]);
        }
    }

    /// @dev The last holder pays no penalty; where a fee is due he is not the last.
    function test_theLastHolderLeavesWithoutPenalty() public {
        deposit(BOB, 1_000e6);
        assertEq(_account(BOB).inKindAssets, 1_000e6);
        takeLoan(0, 900e6);
        skip(1 days);
        IVaultLens.AccountLine memory line = _account(BOB);
        assertEq(line.inKindAssets, line.assets * 999 / 1_000);
        assertEq(redeemInKind(BOB, line.shares), line.inKindAssets);
    }

    /* CAPS */

    /// @dev The room is what an allocator can add, but for less than what a share costs.
    function testFuzz_theRoomIsWhatFits(uint256[10] memory seeds, uint256 absolute, uint256 relativeBps) public {
        _anyState(seeds);
        setCap(collateralCapId(address(collateralToken)), bound(absolute, 0, 2_000_000e6), BPS);
        setCap(oracleCapId(address(oracles[1])), NO_CAP, bound(relativeBps, 0, BPS));
        deposit(ALICE, 5_000_000e6);
        skip(1);
        for (uint256 i; i < 3; ++i) {
            IVaultLens.HoldingLine memory h = _line().holdings[i];
            uint256 fits = h.room < idle() ? h.room : idle();
            uint256 before = idle();
            move(NONE, i, type(uint128).max);
            assertLe(before - idle(), fits);
            assertGe(before - idle() + 2, fits);
            skip(1);
        }
    }

    function test_aCapIsShownWithWhatCountsTowardsIt() public {
        deposit(ALICE, 1_000_000e6);
        move(0, 1, 300_000e6);
        move(0, 2, 200_000e6);
        bytes32 capId = MarketId.unwrap(ids[1]);
        setCap(capId, 400_000e6, 5_000);
        vm.prank(CURATOR);
        vault.nudgeCap(capId, 420_000e6);
        IVaultLens.HoldingLine memory h = _line().holdings[1];
        assertEq(h.marketCap.capId, capId);
        assertEq(h.marketCap.absolute, 420_000e6);
        assertEq(h.marketCap.relativeBps, 5_000);
        assertEq(h.marketCap.lastNudge, vm.getBlockTimestamp());
        assertEq(h.marketCap.used, 300_000e6);
        assertEq(h.collateralCap.capId, collateralCapId(address(otherCollateral)));
        assertEq(h.collateralCap.used, 300_000e6);
        assertEq(h.oracleCap.capId, oracleCapId(address(oracles[1])));
        assertEq(h.oracleCap.used, 500_000e6);
        assertEq(_line().holdings[2].collateralCap.used, 700_000e6);
    }

    /* RATES */

    /// @dev The markets' rates are those of the lens over markets, and in a second the vault earns its rate.
    function testFuzz_theRateIsWhatTheVaultEarns(uint256[10] memory seeds) public {
        _anyState(seeds);
        ILens marketLens = ILens(deployCode("Lens.sol:Lens", abi.encode(plimsoll)));
        MarketId[] memory list = new MarketId[](3);
        for (uint256 i; i < 3; ++i) {
            list[i] = ids[i];
        }
        ILens.MarketLine[] memory expected = marketLens.markets(list);
        IVaultLens.VaultLine memory line = _line();
        uint256 income;
        for (uint256 i; i < 3; ++i) {
            assertEq(line.holdings[i].supplyRatePerSecond, expected[i].supplyRatePerSecond);
            assertEq(line.holdings[i].utilisation, expected[i].utilisation);
            income += line.holdings[i].assets * expected[i].supplyRatePerSecond;
        }
        assertEq(line.ratePerSecond, line.totalAssets == 0 ? 0 : income / line.totalAssets);
        uint256 net = line.ratePerSecond < MAX_RATE ? line.ratePerSecond : MAX_RATE;
        assertEq(line.netRatePerSecond, net * 9_000 / 10_000);

        // One step of many days is another sum than two, by the curve's approximation.
        for (uint256 i; i < 3; ++i) {
            plimsoll.accrue(markets[i]);
        }
        vault.accrue();
        uint256 real = _line().totalAssets + _line().unrecognised;
        // Long enough to show, short enough for the rate to be the same.
        skip(10 minutes);
        uint256 gain = _line().totalAssets + _line().unrecognised - real;
        assertApproxEqAbs(gain, line.ratePerSecond * line.totalAssets * 10 minutes / WAD, gain / 100 + 5);
    }

    function test_withoutARecipientThereIsNoFee() public {
        change(OWNER, abi.encodeCall(IVault.setFeeRecipient, (address(0))));
        deposit(ALICE, 1_000e6);
        takeLoan(0, 500e6);
        skip(1 days);
        IVaultLens.VaultLine memory line = _line();
        assertEq(line.feeShares, 0);
        assertGt(line.ratePerSecond, 0);
        assertEq(line.netRatePerSecond, line.ratePerSecond);
    }

    function test_aVaultsSettingsAreShown() public {
        IVaultLens.VaultLine memory line = _line();
        assertEq(line.owner, OWNER);
        assertEq(line.curator, CURATOR);
        assertEq(line.guardian, GUARDIAN);
        assertEq(line.feeRecipient, FEE_RECIPIENT);
        assertEq(line.penaltyBps, PENALTY_BPS);
        assertEq(line.raiseDelaySecs, RAISE_DELAY);
        assertEq(line.nudgeBps, 1_000);
        assertEq(line.nudgeSecs, 1 days);
        assertEq(lens.plimsoll(), address(plimsoll));
        bytes memory code = abi.encodePacked(vm.getCode("VaultLens.sol:VaultLens"), abi.encode(STRANGER));
        vm.expectRevert(abi.encodeWithSelector(IVaultLens.NoCode.selector, STRANGER));
        assembly {
            pop(create(0, add(code, 0x20), mload(code)))
        }
    }

    /* CHANGES */

    /// @dev At each second that matters the line is what `execute` does.
    function test_aChangeIsWhatTheVaultMakesOfIt() public {
        bytes memory call = abi.encodeCall(IVault.setFee, (2_000));
        _requireChange(call, IVaultLens.ChangeStatus.NotSubmitted, IVault.NotSubmitted.selector);
        vm.prank(OWNER);
        vault.submit(call);
        uint256 opensAt = vm.getBlockTimestamp() + RAISE_DELAY;
        IVaultLens.ChangeLine memory line = _change(call);
        assertEq(line.hash, keccak256(call));
        assertEq(line.selector, IVault.setFee.selector);
        assertEq(line.executableAt, opensAt);
        assertEq(line.expiresAt, opensAt + 7 days);
        _requireChange(call, IVaultLens.ChangeStatus.Waiting, IVault.NotExecutable.selector);
        vm.warp(opensAt - 1);
        _requireChange(call, IVaultLens.ChangeStatus.Waiting, IVault.NotExecutable.selector);
        vm.warp(opensAt);
        _requireChange(call, IVaultLens.ChangeStatus.Executable, 0);
        vm.warp(opensAt + 7 days);
        _requireChange(call, IVaultLens.ChangeStatus.Executable, 0);
        vm.warp(opensAt + 7 days + 1);
        _requireChange(call, IVaultLens.ChangeStatus.Expired, IVault.NotExecutable.selector);

        change(OWNER, abi.encodeCall(IVault.abdicate, (IVault.setFee.selector)));
        _requireChange(call, IVaultLens.ChangeStatus.Abdicated, IVault.Abdicated.selector);
        assertEq(_change("").hash, keccak256(""));
    }

    function _requireChange(bytes memory call, IVaultLens.ChangeStatus status, bytes4 reason) private {
        assertEq(uint256(_change(call).change), uint256(status));
        uint256 snapshot = vm.snapshotState();
        if (reason != 0) vm.expectPartialRevert(reason);
        vault.execute(call);
        vm.revertToState(snapshot);
    }

    /* HOSTILE ADDRESSES */

    /// @dev L3: an address that is no vault, burns gas or answers what no vault answers spoils its own line.
    function test_L3_aHostileVaultSpoilsOnlyItsLine() public {
        deposit(ALICE, 1_000e6);
        takeLoan(0, 500e6);
        skip(1 hours);
        address[] memory list = new address[](11);
        list[1] = STRANGER;
        list[3] = address(new Flood(true, address(plimsoll)));
        list[5] = address(new Flood(false, address(plimsoll)));
        list[7] = makeAddr("burns");
        vm.etch(list[7], hex"fe");
        list[9] = address(_vaultOfAnotherCore());
        for (uint256 n; n < 11; n += 2) {
            list[n] = address(vault);
        }
        bytes32 good = keccak256(abi.encode(_line()));
        IVaultLens.VaultLine[] memory lines = lens.vaults{gas: 12 * lens.lineGas()}(list);
        bytes[] memory calls = new bytes[](1);
        for (uint256 n; n < 11; ++n) {
            if (n % 2 == 0) {
                assertEq(keccak256(abi.encode(lines[n])), good);
                continue;
            }
            IVaultLens.LineStatus expected = n == 9 ? IVaultLens.LineStatus.OtherCore : IVaultLens.LineStatus.NoAnswer;
            assertEq(lines[n].vault, list[n]);
            assertTrue(lines[n].status == expected);
            assertEq(lines[n].totalAssets, 0);
            assertTrue(lens.accounts(list[n], list)[0].status == expected);
            // Two zeros are an answer to what a change needs.
            IVaultLens.LineStatus ofChange = lens.changes(list[n], calls)[0].status;
            assertTrue(ofChange == expected || n == 5);
        }
    }

    /// @dev No market's oracle or token is asked.
    function test_L3_aHostileMarketSpoilsNothing() public {
        deposit(ALICE, 1_000_000e6);
        move(0, 1, 300_000e6);
        takeLoan(1, 100_000e6);
        skip(1 hours);
        bytes32 good = keccak256(abi.encode(_line()));
        vm.etch(address(oracles[1]), hex"fe");
        vm.etch(address(otherCollateral), hex"fe");
        assertEq(keccak256(abi.encode(_line())), good);
    }

    /// @dev Whatever gas the call has, a line gets its whole share, which is enough for the largest vault, or is not read.
    function test_aLineGetsItsWholeShareOrIsNotRead() public {
        for (uint256 n; n < 9; ++n) {
            MarketParams memory other = params;
            other.collateralToken = address(new TestToken("NEW", 18));
            MarketId otherId = plimsoll.createMarket(other);
            change(CURATOR, abi.encodeCall(IVault.enableMarket, (otherId)));
            change(CURATOR, abi.encodeCall(IVault.setCap, (MarketId.unwrap(otherId), NO_CAP, BPS)));
            change(CURATOR, abi.encodeCall(IVault.setCap, (collateralCapId(other.collateralToken), NO_CAP, BPS)));
        }
        deposit(ALICE, 1_000_000e6);
        MarketParams[] memory all = vault.markets();
        for (uint256 n = 1; n < 12; ++n) {
            IVault.Target[] memory targets = new IVault.Target[](1);
            targets[0] = IVault.Target(MarketId.wrap(keccak256(abi.encode(all[n]))), 50_000e6, type(uint256).max, 0);
            IVault.Source[] memory sources = new IVault.Source[](1);
            sources[0] = IVault.Source(ids[0], 50_000e6);
            vm.prank(ALLOCATOR);
            vault.reallocate(sources, targets, 0, vm.getBlockTimestamp());
        }
        skip(1 hours);
        assertEq(_line().holdings.length, 12);
        address[] memory list = _listOf(address(vault));
        uint256 lineGas = lens.lineGas();
        bytes[] memory calls = new bytes[](1);
        bool[2] memory reached;
        for (uint256 gasLimit = lineGas; gasLimit < lineGas + 100_000; gasLimit += 5_000) {
            IVaultLens.LineStatus status = lens.vaults{gas: gasLimit}(list)[0].status;
            assertTrue(status == IVaultLens.LineStatus.Ok || status == IVaultLens.LineStatus.TooLittleGas, "starved");
            assertTrue(lens.accounts{gas: gasLimit}(address(vault), list)[0].status == status);
            assertTrue(lens.changes{gas: gasLimit}(address(vault), calls)[0].status == status);
            reached[status == IVaultLens.LineStatus.Ok ? 0 : 1] = true;
        }
        assertTrue(reached[0] && reached[1]);
    }

    /* HELPERS */

    function _line() private view returns (IVaultLens.VaultLine memory line) {
        line = lens.vaults(_listOf(address(vault)))[0];
        assertEq(abi.encode(lens.vaultLine(address(vault))), abi.encode(line));
    }

    function _account(address account) private view returns (IVaultLens.AccountLine memory line) {
        line = lens.accounts(address(vault), _listOf(account))[0];
        assertEq(abi.encode(lens.accountLine(address(vault), account)), abi.encode(line));
        assertEq(line.account, account);
        assertEq(line.shares, shares.balanceOf(account));
        assertEq(line.assets, shares.convertToAssets(line.shares));
        assertEq(line.maxWithdraw, shares.maxWithdraw(account));
        assertEq(line.maxRedeem, shares.maxRedeem(account));
    }

    function _change(bytes memory call) private view returns (IVaultLens.ChangeLine memory) {
        bytes[] memory calls = new bytes[](1);
        calls[0] = call;
        return lens.changes(address(vault), calls)[0];
    }

    function _requireHoldings(IVaultLens.VaultLine memory line) private view {
        IVault.Holding[] memory expected = vault.holdings();
        uint256 liquid = idle();
        for (uint256 i; i < 3; ++i) {
            IVaultLens.HoldingLine memory h = line.holdings[i];
            assertEq(
                abi.encode(h.id, h.shares, h.assets, h.withdrawable, h.room), abi.encode(expected[i]), "another holding"
            );
            assertEq(h.collateralToken, markets[i].collateralToken);
            assertEq(h.oracle, markets[i].oracle);
            liquid += h.withdrawable;
        }
        assertEq(line.liquid, liquid);
    }

    /// @dev Alice and Bob in the vault, its assets anywhere, loans, time, perhaps a loss.
    function _anyState(uint256[10] memory seeds) private {
        deposit(ALICE, bound(seeds[0], 1e6, 1_000_000e6));
        deposit(BOB, bound(seeds[1], 1e6, 1_000_000e6));
        move(0, 1, bound(seeds[2], 0, 1_000_000e6));
        move(0, 2, bound(seeds[3], 0, 1_000_000e6));
        move(0, NONE, bound(seeds[4], 0, 500_000e6));
        address borrower;
        for (uint256 i; i < 3; ++i) {
            uint256 liquidity = valueIn(i);
            uint256 debt = bound(seeds[5 + i], 0, liquidity);
            if (debt >= MIN_DEBT) borrower = takeLoan(i, debt);
        }
        skip(bound(seeds[8], 0, 100 days));
        if (borrower != address(0) && seeds[9] % 3 == 0) {
            // The last loan's market is the fixture's.
            oracle.set(PRICE / 1_000);
            liquidate(borrower, type(uint128).max);
            oracle.set(PRICE);
            skip(1);
        }
    }

    function _vaultOfAnotherCore() private returns (IVault) {
        IPlimsoll other = IPlimsoll(deployCode("Plimsoll.sol:Plimsoll", abi.encode(OWNER)));
        IVault.Setup memory setup = defaultSetup();
        setup.plimsoll = address(other);
        setup.markets = new MarketId[](0);
        setup.depositMarket = MarketId.wrap(0);
        return newVault(setup);
    }

    function _listOf(address one) private pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = one;
    }
}
