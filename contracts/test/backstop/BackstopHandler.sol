// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {CommonBase} from "forge-std/Base.sol";
import {StdCheats} from "forge-std/StdCheats.sol";
import {StdUtils} from "forge-std/StdUtils.sol";
import {IBackstop} from "plimsoll/interfaces/IBackstop.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IFeeSplitter} from "plimsoll/interfaces/IFeeSplitter.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice Actions of four depositors, a curator, borrowers with bad debt, a donor and a payer of income, bounded so
/// that each must succeed, with a record of the values that the invariants need.
contract BackstopHandler is CommonBase, StdCheats, StdUtils {
    uint256 private constant MOST = 1e13;
    uint256 private constant PRICE = 2_000e6 * 1e36 / 1e18;

    IPlimsoll private immutable PLIMSOLL;
    IBackstop private immutable BACKSTOP;
    IERC4626 private immutable VAULT;
    IFeeSplitter private immutable SPLITTER;
    TestToken private immutable LOAN_TOKEN;
    TestToken private immutable COLLATERAL_TOKEN;
    TestOracle private immutable ORACLE;
    MarketParams private params;
    MarketId private immutable ID;

    address[4] public actors = [address(0xA1), address(0xA2), address(0xA3), address(0xA4)];

    /// @notice Σ of what came in, and of what went out or was lost.
    uint256 public deposited;
    uint256 public income;
    uint256 public withdrawn;
    uint256 public slashed;
    /// @notice By how much the worst loss so far went below the floor that stood before it.
    uint256 public takenBelowFloor;
    /// @notice By how much the price fell in a call that realised no loss.
    uint256 public priceLostWithoutLoss;
    /// @notice The shares that an account may still redeem in its current cooldown, tracked independently of the vault.
    mapping(address => uint256) public mayLeave;
    mapping(address => uint256) public opensAt;
    /// @notice Shares that left beyond that.
    uint256 public leftBeyondCooldown;
    uint256 private loans;

    constructor(
        IPlimsoll plimsoll,
        IBackstop backstop,
        IFeeSplitter splitter,
        MarketParams memory params_,
        MarketId id
    ) {
        (PLIMSOLL, BACKSTOP, VAULT, SPLITTER) = (plimsoll, backstop, IERC4626(address(backstop)), splitter);
        LOAN_TOKEN = TestToken(params_.loanToken);
        COLLATERAL_TOKEN = TestToken(params_.collateralToken);
        ORACLE = TestOracle(params_.oracle);
        (params, ID) = (params_, id);
        LOAN_TOKEN.approve(address(plimsoll), type(uint256).max);
        LOAN_TOKEN.approve(address(backstop), type(uint256).max);
        COLLATERAL_TOKEN.approve(address(plimsoll), type(uint256).max);
        for (uint256 i; i < actors.length; ++i) {
            vm.prank(actors[i]);
            LOAN_TOKEN.approve(address(backstop), type(uint256).max);
        }
    }

    /// @dev The price of a share in parts of 1e-36 of a unit; what rounds must round it up.
    modifier priceOnlyRises() {
        uint256 before = _price();
        _;
        uint256 afterwards = _price();
        if (afterwards < before && before - afterwards > priceLostWithoutLoss) {
            priceLostWithoutLoss = before - afterwards;
        }
    }

    function _price() private view returns (uint256) {
        return (VAULT.totalAssets() + 1) * 1e36 / (VAULT.totalSupply() + 1e6);
    }

    function _actor(uint256 seed) private view returns (address) {
        return actors[seed % actors.length];
    }

    /* DEPOSITORS */

    function deposit(uint256 who, uint256 assets, uint256 to) external priceOnlyRises {
        assets = bound(assets, 1, MOST);
        if (VAULT.previewDeposit(assets) == 0) return;
        LOAN_TOKEN.mint(_actor(who), assets);
        vm.prank(_actor(who));
        VAULT.deposit(assets, _actor(to));
        deposited += assets;
    }

    function mint(uint256 who, uint256 shares, uint256 to) external priceOnlyRises {
        shares = bound(shares, 1, VAULT.previewDeposit(MOST) + 1);
        uint256 assets = VAULT.previewMint(shares);
        LOAN_TOKEN.mint(_actor(who), assets);
        vm.prank(_actor(who));
        VAULT.mint(shares, _actor(to));
        deposited += assets;
    }

    function startCooldown(uint256 who, uint256 shares) external priceOnlyRises {
        address actor = _actor(who);
        shares = bound(shares, 0, VAULT.balanceOf(actor));
        vm.prank(actor);
        BACKSTOP.startCooldown(shares);
        mayLeave[actor] = shares;
        opensAt[actor] = vm.getBlockTimestamp() + BACKSTOP.cooldownSecs();
    }

    function withdraw(uint256 who, uint256 assets, uint256 to) external priceOnlyRises {
        address actor = _actor(who);
        assets = bound(assets, 0, VAULT.maxWithdraw(actor));
        vm.prank(actor);
        uint256 shares = VAULT.withdraw(assets, _actor(to), actor);
        _left(actor, assets, shares);
    }

    function redeem(uint256 who, uint256 shares, uint256 to) external priceOnlyRises {
        address actor = _actor(who);
        shares = bound(shares, 0, VAULT.maxRedeem(actor));
        vm.prank(actor);
        _left(actor, VAULT.redeem(shares, _actor(to), actor), shares);
    }

    /// @dev By the rule, not by the vault's word: nothing outside the window, no more than cooled, less what was sent.
    function _left(address actor, uint256 assets, uint256 shares) private {
        withdrawn += assets;
        uint256 time = vm.getBlockTimestamp();
        bool open = time >= opensAt[actor] && time <= opensAt[actor] + BACKSTOP.windowSecs();
        uint256 allowed = open ? mayLeave[actor] : 0;
        if (shares > allowed) leftBeyondCooldown += shares - allowed;
        mayLeave[actor] -= shares < mayLeave[actor] ? shares : mayLeave[actor];
    }

    function transfer(uint256 from, uint256 to, uint256 shares) external priceOnlyRises {
        address actor = _actor(from);
        shares = bound(shares, 0, VAULT.balanceOf(actor));
        vm.prank(actor);
        VAULT.transfer(_actor(to), shares);
        mayLeave[actor] -= shares < mayLeave[actor] ? shares : mayLeave[actor];
    }

    /* THE REST OF THE WORLD */

    function wait(uint256 time) external priceOnlyRises {
        skip(bound(time, 1, BACKSTOP.cooldownSecs()));
    }

    function waitForAWindow(uint256 who) external priceOnlyRises {
        if (opensAt[_actor(who)] > vm.getBlockTimestamp()) vm.warp(opensAt[_actor(who)]);
    }

    function donate(uint256 assets) external priceOnlyRises {
        LOAN_TOKEN.mint(address(VAULT), bound(assets, 1, MOST));
        LOAN_TOKEN.mint(address(PLIMSOLL), bound(assets, 1, MOST));
    }

    function addIncome(uint256 assets) external priceOnlyRises {
        if (VAULT.totalSupply() == 0) return;
        assets = bound(assets, 1, MOST);
        LOAN_TOKEN.mint(address(this), assets);
        BACKSTOP.addIncome(assets);
        income += assets;
    }

    function collect() external priceOnlyRises {
        if (VAULT.totalSupply() == 0) return;
        (uint256 toBackstop,) = SPLITTER.collect(params);
        income += toBackstop;
    }

    function announceLimit(uint256 limit) external priceOnlyRises {
        vm.prank(BACKSTOP.curator());
        BACKSTOP.announceLimit(ID, limit);
    }

    function applyLimit() external priceOnlyRises {
        IBackstop.Announcement memory a = BACKSTOP.announcedLimit(ID);
        if (a.opensAt == 0 || vm.getBlockTimestamp() > a.closesAt) return;
        if (vm.getBlockTimestamp() < a.opensAt) vm.warp(a.opensAt);
        BACKSTOP.applyLimit(ID);
    }

    /// @notice A new loan goes bad and is liquidated, whole or by half.
    function lose(uint256 debt, uint256 crash, bool half) external {
        debt = bound(debt, 2 * params.risk.minDebt(), 2 * MOST);
        address borrower = address(uint160(0xB0000 + ++loans));
        uint256 collateral = debt * 1e18 / 1_500e6;
        ORACLE.set(PRICE);
        LOAN_TOKEN.mint(address(this), 2 * debt);
        COLLATERAL_TOKEN.mint(address(this), collateral);
        PLIMSOLL.supply(params, debt, 0, address(this), "");
        PLIMSOLL.supplyCollateral(params, collateral, borrower, "");
        vm.prank(borrower);
        PLIMSOLL.borrow(params, debt, 0, borrower, borrower);

        ORACLE.set(PRICE / bound(crash, 2, 1e6));
        _liquidate(borrower, half ? debt / 8 : type(uint128).max);
    }

    function _liquidate(address borrower, uint256 maxRepay) private {
        uint256 coverBefore = VAULT.totalAssets();
        uint256 limitBefore = BACKSTOP.limit(ID);
        uint256 floor = PLIMSOLL.coverFloor(address(VAULT), address(LOAN_TOKEN));
        address[] memory borrowers = new address[](1);
        borrowers[0] = borrower;
        PLIMSOLL.liquidate(params, borrowers, maxRepay, 0, address(this), "");
        uint256 taken = coverBefore - VAULT.totalAssets();
        slashed += taken;
        require(taken == limitBefore - BACKSTOP.limit(ID), "what was taken counts against the limit");
        if (taken != 0 && VAULT.totalAssets() < floor && floor - VAULT.totalAssets() > takenBelowFloor) {
            takenBelowFloor = floor - VAULT.totalAssets();
        }
    }
}
