// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {InterestMath} from "plimsoll/libraries/InterestMath.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {Risk, toRisk} from "plimsoll/types/Risk.sol";
import {StandardVaultFixture} from "../support/StandardVaultFixture.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice Fixture of the vault's tests: the real core and three markets of one loan token, a vault over them, its
/// roles and depositors. Markets 0 and 2 share their collateral token, 1 and 2 their oracle.
abstract contract VaultFixture is StandardVaultFixture {
    uint256 internal constant RAISE_DELAY = 3 days;
    uint256 internal constant PENALTY_BPS = 10;
    uint256 internal constant FEE_BPS = 1_000;
    /// @dev 30 % a year.
    uint256 internal constant MAX_RATE = 0.3e18 / uint256(365 days);
    uint256 internal constant NO_CAP = type(uint128).max;
    uint256 internal constant NONE = 3;

    address internal immutable CURATOR = makeAddr("curator");
    address internal immutable GUARDIAN = makeAddr("guardian");
    address internal immutable ALLOCATOR = makeAddr("allocator");
    address internal immutable FEE_RECIPIENT = makeAddr("fee recipient");

    /// @dev One contract, by its own interface and by the standard's.
    IVault internal vault;
    IERC4626 internal shares;
    MarketParams[3] internal markets;
    MarketId[3] internal ids;
    TestOracle[2] internal oracles;
    TestToken internal otherCollateral;
    uint256 private _loans;

    function setUp() public virtual override {
        super.setUp();
        otherCollateral = new TestToken("BTC", 18);
        oracles = [oracle, new TestOracle(PRICE)];
        markets[0] = params;
        markets[1] = params;
        (markets[1].collateralToken, markets[1].oracle) = (address(otherCollateral), address(oracles[1]));
        markets[2] = params;
        markets[2].oracle = address(oracles[1]);
        ids[0] = id;
        for (uint256 i = 1; i < 3; ++i) {
            ids[i] = plimsoll.createMarket(markets[i]);
        }
        vault = newVault(defaultSetup());
        shares = IERC4626(address(vault));
    }

    /// @dev Overridden where a setting is the point.
    function defaultSetup() internal virtual returns (IVault.Setup memory setup) {
        setup.plimsoll = address(plimsoll);
        setup.asset = address(loanToken);
        (setup.name, setup.symbol) = ("Plimsoll Vault USD", "pvUSD");
        (setup.owner, setup.curator, setup.guardian) = (OWNER, CURATOR, GUARDIAN);
        setup.allocators = new address[](1);
        setup.allocators[0] = ALLOCATOR;
        setup.feeRecipient = FEE_RECIPIENT;
        (setup.feeBps, setup.maxRatePerSecond, setup.penaltyBps) = (FEE_BPS, MAX_RATE, PENALTY_BPS);
        (setup.raiseDelaySecs, setup.nudgeBps, setup.nudgeSecs) = (RAISE_DELAY, 1_000, 1 days);
        setup.markets = new MarketId[](3);
        setup.caps = new IVault.CapSetup[](7);
        for (uint256 i; i < 3; ++i) {
            setup.markets[i] = ids[i];
            setup.caps[i] = noCap(MarketId.unwrap(ids[i]));
        }
        setup.caps[3] = noCap(collateralCapId(address(collateralToken)));
        setup.caps[4] = noCap(collateralCapId(address(otherCollateral)));
        setup.caps[5] = noCap(oracleCapId(address(oracles[0])));
        setup.caps[6] = noCap(oracleCapId(address(oracles[1])));
        setup.depositMarket = ids[0];
    }

    function noCap(bytes32 capId) internal pure returns (IVault.CapSetup memory) {
        return IVault.CapSetup({capId: capId, absolute: NO_CAP, relativeBps: BPS});
    }

    function collateralCapId(address token) internal pure returns (bytes32) {
        return keccak256(abi.encode(uint256(0), token));
    }

    function oracleCapId(address oracle_) internal pure returns (bytes32) {
        return keccak256(abi.encode(uint256(1), oracle_));
    }

    function newVault(IVault.Setup memory setup) internal returns (IVault) {
        return IVault(deployCode("Vault.sol:Vault", abi.encode(setup)));
    }

    /// @notice Creates a vault and passes on why its constructor failed, which `deployCode` does not.
    function construct(IVault.Setup calldata setup) external returns (address made) {
        bytes memory code = abi.encodePacked(vm.getCode("Vault.sol:Vault"), abi.encode(setup));
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(0x00, 0x00, returndatasize())
                revert(0x00, returndatasize())
            }
        }
    }

    /* DEPOSITORS */

    function standard() internal view virtual override returns (IERC4626) {
        return shares;
    }

    function redeemInKind(address who, uint256 amount) internal returns (uint256) {
        vm.prank(who);
        return vault.redeemInKind(amount, who, who, false);
    }

    /* ROLES */

    /// @notice Submits a change, waits, executes it.
    function change(address who, bytes memory call) internal {
        vm.prank(who);
        vault.submit(call);
        skip(RAISE_DELAY);
        vault.execute(call);
    }

    function setCap(bytes32 capId, uint256 absolute, uint256 relativeBps) internal {
        change(CURATOR, abi.encodeCall(IVault.setCap, (capId, absolute, relativeBps)));
    }

    /// @notice Moves assets from one market to another; `NONE` is idle. Without any bound of the allocator.
    function move(uint256 from, uint256 to, uint256 assets) internal {
        IVault.Source[] memory sources = new IVault.Source[](from == NONE ? 0 : 1);
        if (from != NONE) sources[0] = IVault.Source({id: ids[from], assets: assets});
        IVault.Target[] memory targets = new IVault.Target[](to == NONE ? 0 : 1);
        if (to != NONE) {
            targets[0] =
                IVault.Target({id: ids[to], assets: assets, maxUtilisationBps: type(uint256).max, minRatePerSecond: 0});
        }
        vm.prank(ALLOCATOR);
        vault.reallocate(sources, targets, 0, vm.getBlockTimestamp());
    }

    function setDepositMarket(MarketId id_) internal {
        vm.prank(ALLOCATOR);
        vault.setDepositMarket(id_);
    }

    /* MARKETS */

    /// @notice Points the fixture's verbs at a market.
    function useMarket(uint256 i) internal {
        (params, id) = (markets[i], ids[i]);
        oracle = TestOracle(params.oracle);
        collateralToken = TestToken(params.collateralToken);
    }

    /// @notice Opens a loan of a new account that takes this much from a market's liquidity.
    function takeLoan(uint256 i, uint256 debt) internal returns (address borrower) {
        useMarket(i);
        borrower = makeAddr(string.concat("borrower ", vm.toString(++_loans)));
        openLoan(borrower, debt * WAD / 1_500e6 + 1, debt);
    }

    /// @notice Borrows all of a market's liquidity, if it is enough for a loan.
    function exhaust(uint256 i) internal returns (address) {
        useMarket(i);
        Market memory m = accrued();
        uint256 liquidity = m.supplyAssets - m.borrowAssets;
        return liquidity < MIN_DEBT ? address(0) : takeLoan(i, liquidity);
    }

    /// @notice Has a market lose most of a loan, in a transaction before the next one.
    function realiseLoss(uint256 i, address borrower) internal {
        useMarket(i);
        oracle.set(PRICE / 1_000);
        liquidate(borrower, type(uint128).max);
        oracle.set(PRICE);
        skip(1);
    }

    /// @notice Adds a supplier that is not the vault.
    function supplyTo(uint256 i, uint256 assets) internal {
        useMarket(i);
        supply(LENDER, assets);
    }

    /* WHAT IS SEEN */

    function counted(uint256 i) internal view returns (uint256) {
        return vault.holdings()[i].shares;
    }

    function valueIn(uint256 i) internal view returns (uint256) {
        return vault.holdings()[i].assets;
    }

    function idle() internal view returns (uint256) {
        return vault.state().idle;
    }

    /// @notice The value of an account's own supply in a market.
    function supplyOf(uint256 i, address who) internal view returns (uint256) {
        Market memory m = plimsoll.market(ids[i]);
        InterestMath.accrue(m, markets[i].curve, vm.getBlockTimestamp());
        return SharesMath.toAssetsDown(plimsoll.position(ids[i], who).supplyShares, m.supplyAssets, m.supplyShares);
    }

    /// @notice The value of everything that an account has outside the vault: tokens and supply.
    function wealth(address who) internal view returns (uint256 sum) {
        sum = loanToken.balanceOf(who);
        for (uint256 i; i < 3; ++i) {
            sum += supplyOf(i, who);
        }
    }

    /// @notice V1, V2: what counts is there, for the next transaction. (In the same one the total is behind by the units
    /// that rounding cost.)
    function assertBacked() internal {
        skip(1);
        IVault.Holding[] memory all = vault.holdings();
        uint256 sum = idle();
        assertLe(sum, loanToken.balanceOf(address(vault)), "V2: idle tokens are there");
        for (uint256 i; i < all.length; ++i) {
            assertLe(all[i].shares, plimsoll.position(all[i].id, address(vault)).supplyShares, "V1: shares are there");
            sum += all[i].assets;
        }
        assertLe(shares.totalAssets(), sum, "V2: the total is backed");
    }
}
