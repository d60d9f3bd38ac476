// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {CommonBase} from "forge-std/Base.sol";
import {StdCheats} from "forge-std/StdCheats.sol";
import {StdUtils} from "forge-std/StdUtils.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice Actions of four depositors, an allocator, a guardian, borrowers and strangers, bounded so that each must
/// succeed, with a record of what the invariants need.
contract VaultHandler is CommonBase, StdCheats, StdUtils {
    uint256 private constant MOST = 1e13;
    uint256 private constant MIN_DEBT = 100e6;
    uint256 private constant PRICE = 2_000e6 * 1e36 / 1e18;
    /// @dev Prices are assets for this many shares, which are a trillion units at first.
    uint256 private constant PRICE_SHARES = 1e24;

    IPlimsoll private immutable PLIMSOLL;
    IVault private immutable VAULT;
    IERC4626 private immutable SHARES;
    TestToken private immutable LOAN_TOKEN;
    address private immutable ALLOCATOR;
    address private immutable GUARDIAN;
    MarketParams[3] private markets;

    address[4] public actors = [address(0xA1), address(0xA2), address(0xA3), address(0xA4)];
    /// @notice By how much the price fell in an action that realised no loss, beyond rounding.
    uint256 public priceLost;
    /// @notice By how much it rose beyond the maximum rate, penalties apart.
    uint256 public priceJumped;
    /// @notice How often actions did what the invariants are about.
    mapping(string => uint256) public hits;
    address[] private borrowers;
    mapping(address => uint256) private marketOf;

    constructor(IPlimsoll plimsoll, IVault vault, address allocator, address guardian) {
        (PLIMSOLL, VAULT, SHARES) = (plimsoll, vault, IERC4626(address(vault)));
        (ALLOCATOR, GUARDIAN) = (allocator, guardian);
        MarketParams[] memory params = vault.markets();
        for (uint256 i; i < 3; ++i) {
            markets[i] = params[i];
        }
        LOAN_TOKEN = TestToken(params[0].loanToken);
        LOAN_TOKEN.approve(address(plimsoll), type(uint256).max);
        for (uint256 i; i < 3; ++i) {
            TestToken(params[i].collateralToken).approve(address(plimsoll), type(uint256).max);
        }
        for (uint256 n; n < 4; ++n) {
            vm.prank(actors[n]);
            LOAN_TOKEN.approve(address(vault), type(uint256).max);
        }
    }

    /// @dev V3 and V4, from one update of the value to the view of the next, each in a transaction of its own, a second
    /// later. An action may round once for each market and verb, and one unit weighs more the fewer shares there are. Whoever
    /// deposits or withdraws loses less than a share by rounding to the others, which may be many units.
    modifier priceHolds(bool mayJump) {
        VAULT.accrue();
        uint256 before = _price();
        uint256 start = vm.getBlockTimestamp();
        skip(1);
        _;
        skip(1);
        uint256 later = _price();
        uint256 allShares = SHARES.totalSupply() + 1e6;
        uint256 units = 12 * PRICE_SHARES / allShares + 2;
        if (later + units < before && before - later - units > priceLost) priceLost = before - later - units;
        uint256 elapsed = vm.getBlockTimestamp() - start;
        uint256 most = before + before * VAULT.state().maxRatePerSecond * elapsed / 1e18 + units + before / allShares;
        if (!mayJump && later > most && later - most > priceJumped) priceJumped = later - most;
    }

    function _price() private view returns (uint256) {
        return SHARES.convertToAssets(PRICE_SHARES);
    }

    function _actor(uint256 who) private view returns (address) {
        return actors[who % 4];
    }

    function _id(uint256 i) private view returns (MarketId) {
        return MarketId.wrap(keccak256(abi.encode(markets[i])));
    }

    /* DEPOSITORS */

    function deposit(uint256 who, uint256 assets) external priceHolds(false) {
        assets = bound(assets, 1e6, MOST);
        if (SHARES.previewDeposit(assets) == 0) return;
        LOAN_TOKEN.mint(_actor(who), assets);
        vm.prank(_actor(who));
        SHARES.deposit(assets, _actor(who));
        ++hits["deposit"];
    }

    function mint(uint256 who, uint256 amount) external priceHolds(false) {
        amount = bound(amount, 1, SHARES.previewDeposit(MOST));
        uint256 assets = SHARES.previewMint(amount);
        LOAN_TOKEN.mint(_actor(who), assets);
        vm.prank(_actor(who));
        SHARES.mint(amount, _actor(who));
    }

    function withdraw(uint256 who, uint256 assets) external priceHolds(false) {
        assets = bound(assets, 0, SHARES.maxWithdraw(_actor(who)));
        vm.prank(_actor(who));
        SHARES.withdraw(assets, _actor(who), _actor(who));
        if (assets > VAULT.state().idle) ++hits["withdraw"];
    }

    function redeemAllThatIsLiquid(uint256 who) external priceHolds(false) {
        uint256 amount = SHARES.maxRedeem(_actor(who));
        if (amount < SHARES.balanceOf(_actor(who))) ++hits["liquidity is short"];
        vm.prank(_actor(who));
        SHARES.redeem(amount, _actor(who), _actor(who));
    }

    function redeemInKind(uint256 who, uint256 amount, bool leaveIdle) external priceHolds(true) {
        amount = bound(amount, 0, SHARES.balanceOf(_actor(who)));
        vm.prank(_actor(who));
        VAULT.redeemInKind(amount, _actor(who), _actor(who), leaveIdle);
        if (amount != 0) ++hits["in kind"];
    }

    function transfer(uint256 from, uint256 to, uint256 amount) external priceHolds(false) {
        amount = bound(amount, 0, SHARES.balanceOf(_actor(from)));
        vm.prank(_actor(from));
        SHARES.transfer(_actor(to), amount);
    }

    /* ROLES */

    function reallocate(uint256 from, uint256 to, uint256 assets, uint256 minIdle) external priceHolds(false) {
        IVault.Source[] memory sources = new IVault.Source[](1);
        IVault.Target[] memory targets = new IVault.Target[](1);
        assets = bound(assets, 0, 2 * MOST);
        sources[0] = IVault.Source({id: _id(from % 3), assets: assets});
        targets[0] = IVault.Target({id: _id(to % 3), assets: assets, maxUtilisationBps: 9_900, minRatePerSecond: 0});
        vm.prank(ALLOCATOR);
        VAULT.reallocate(sources, targets, bound(minIdle, 0, MOST), vm.getBlockTimestamp());
        ++hits["reallocate"];
    }

    function deallocate(uint256 i) external priceHolds(false) {
        vm.prank(GUARDIAN);
        VAULT.deallocate(_id(i % 3));
    }

    function setOrder(uint256 first, uint256 second, uint256 depositMarket) external priceHolds(false) {
        MarketId[] memory order = new MarketId[](2);
        (order[0], order[1]) = (_id(first % 3), _id(second % 3));
        vm.startPrank(ALLOCATOR);
        VAULT.setWithdrawOrder(order);
        VAULT.setDepositMarket(depositMarket % 4 == 3 ? MarketId.wrap(0) : _id(depositMarket % 4));
        vm.stopPrank();
    }

    function accrue() external priceHolds(false) {
        VAULT.accrue();
    }

    /* THE REST OF THE WORLD */

    function wait(uint256 time) external priceHolds(false) {
        skip(bound(time, 1, 100 days));
    }

    function donate(uint256 i, uint256 assets) external priceHolds(false) {
        assets = bound(assets, 1e6, MOST);
        LOAN_TOKEN.mint(address(VAULT), assets);
        LOAN_TOKEN.mint(address(this), assets);
        PLIMSOLL.supply(markets[i % 3], assets, 0, address(VAULT), "");
        ++hits["donation"];
    }

    function borrow(uint256 i, uint256 part) external priceHolds(false) {
        if (_open(i % 3, bound(part, 1, 100)) != address(0)) ++hits["borrow"];
    }

    function repay(uint256 n) external priceHolds(false) {
        if (borrowers.length == 0) return;
        address borrower = borrowers[n % borrowers.length];
        uint256 i = marketOf[borrower];
        uint256 debtShares = PLIMSOLL.position(_id(i), borrower).borrowShares;
        if (debtShares == 0) return;
        LOAN_TOKEN.mint(address(this), type(uint96).max);
        PLIMSOLL.repay(markets[i], 0, debtShares, borrower, "");
    }

    /// @notice A new loan goes bad and is liquidated.
    function lose(uint256 i, uint256 part, uint256 crash) external {
        i = i % 3;
        address borrower = _open(i, bound(part, 1, 60));
        if (borrower == address(0)) return;
        TestOracle oracle = TestOracle(markets[i].oracle);
        oracle.set(PRICE / bound(crash, 2, 1e6));
        address[] memory list = new address[](1);
        list[0] = borrower;
        LOAN_TOKEN.mint(address(this), type(uint96).max);
        uint256 before = _price();
        PLIMSOLL.liquidate(markets[i], list, type(uint128).max, 0, address(this), "");
        oracle.set(PRICE);
        skip(1);
        if (_price() < before) ++hits["loss"];
    }

    /// @dev Opens a loan of a part of a market's liquidity, in percent.
    function _open(uint256 i, uint256 part) private returns (address borrower) {
        PLIMSOLL.accrue(markets[i]);
        Market memory m = PLIMSOLL.market(_id(i));
        uint256 debt = (m.supplyAssets - m.borrowAssets) * part / 100;
        if (debt < MIN_DEBT) return address(0);
        borrower = address(uint160(0xB0000 + borrowers.length));
        borrowers.push(borrower);
        marketOf[borrower] = i;
        uint256 collateral = debt * 1e18 / 1_500e6 + 1;
        TestToken(markets[i].collateralToken).mint(address(this), collateral);
        PLIMSOLL.supplyCollateral(markets[i], collateral, borrower, "");
        vm.prank(borrower);
        PLIMSOLL.borrow(markets[i], debt, 0, borrower, borrower);
    }
}
