// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IBackstop} from "plimsoll/interfaces/IBackstop.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IFeeSplitter} from "plimsoll/interfaces/IFeeSplitter.sol";
import {TestToken} from "../support/TestToken.sol";
import {BackstopTest} from "./BackstopTest.sol";

/// @notice A token that calls a listener before and after each transfer, as ERC-777 and some native tokens do.
contract HookedToken is TestToken {
    address private listener;

    constructor() TestToken("HOOK", 6) {}

    function setListener(address listener_) external {
        listener = listener_;
    }

    function _beforeTokenTransfer(address, address, uint256) internal override {
        _call();
    }

    function _afterTokenTransfer(address, address, uint256) internal override {
        _call();
    }

    function _call() private {
        if (listener != address(0)) CallbackProber(listener).onTransfer();
    }
}

/// @notice Holds shares with an open window, and in every callback reads the price and tries everything it might profit
/// from.
contract CallbackProber {
    IERC4626 private immutable VAULT;
    IFeeSplitter private immutable SPLITTER;
    uint256[] private prices;
    uint256 public allowed;
    bytes4 public refusedWith;

    constructor(address vault, IFeeSplitter splitter) {
        (VAULT, SPLITTER) = (IERC4626(vault), splitter);
        TestToken(VAULT.asset()).approve(vault, type(uint256).max);
    }

    function pricesSeen() external view returns (uint256[] memory) {
        return prices;
    }

    function onTransfer() external {
        prices.push(VAULT.convertToAssets(1e18));
        address me = address(this);
        _try(address(VAULT), abi.encodeCall(IERC4626.deposit, (1e6, me)));
        _try(address(VAULT), abi.encodeCall(IERC4626.mint, (1e12, me)));
        _try(address(VAULT), abi.encodeCall(IERC4626.withdraw, (1e6, me, me)));
        _try(address(VAULT), abi.encodeCall(IERC4626.redeem, (1e12, me, me)));
        _try(address(VAULT), abi.encodeCall(IBackstop.addIncome, (1e6)));
        _tryToDistribute();
    }

    /// @dev The splitter may pay the treasury at any time, but not the vault while that is locked.
    function _tryToDistribute() private {
        uint256 assets = VAULT.totalAssets();
        try SPLITTER.distribute(VAULT.asset()) returns (uint256 toBackstop, uint256) {
            if (toBackstop != 0 || VAULT.totalAssets() != assets) ++allowed;
        } catch (bytes memory why) {
            refusedWith = bytes4(why);
        }
    }

    function _try(address target, bytes memory call) private {
        (bool done, bytes memory result) = target.call(call);
        if (done) ++allowed;
        else refusedWith = bytes4(result);
    }

    function deposit(uint256 assets) external {
        VAULT.deposit(assets, address(this));
    }

    function redeem(uint256 shares) external {
        VAULT.redeem(shares, address(this), address(this));
    }

    function startCooldown(uint256 shares) external {
        IBackstop(address(VAULT)).startCooldown(shares);
    }
}

/// @notice Returns nothing, refuses to change an allowance that is not 0, refuses transfers of 0.
contract StubbornToken {
    uint8 public constant decimals = 6;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        require(amount == 0 || allowance[msg.sender][spender] == 0);
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        require(amount != 0);
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice A token that returns false instead of reverting.
contract FalseReturningToken is TestToken {
    constructor() TestToken("NAY", 6) {}

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @title Tests of tokens that call back, return nothing or return false (attacks 8 and 9).
contract TokensTest is BackstopTest {
    uint256 private constant DEPOSIT = 1_000e6;
    address private immutable TREASURY = makeAddr("treasury");

    HookedToken private hooked;
    IFeeSplitter private splitter;
    CallbackProber private prober;

    function setUp() public override {
        super.setUp();
        hooked = new HookedToken();
        _use(address(hooked));
        prober = new CallbackProber(address(vault), splitter);
        _deposit(ALICE, 3 * DEPOSIT);
        hooked.mint(address(prober), 1_000 * DEPOSIT);
        prober.deposit(DEPOSIT);
        // A price that is not 1, so that a wrong one shows.
        hooked.mint(address(splitter), DEPOSIT);
        splitter.distribute(address(hooked));
        prober.startCooldown(vault.balanceOf(address(prober)));
        skip(COOLDOWN);
    }

    /// @dev The backstop is from here on one for this token.
    function _use(address token) private {
        backstop = newBackstop(token);
        vault = IERC4626(address(backstop));
        bytes memory args = abi.encode(backstop, TREASURY, 5_000);
        splitter = IFeeSplitter(deployCode("FeeSplitter.sol:FeeSplitter", args));
    }

    function _deposit(address who, uint256 assets) private {
        hooked.mint(who, assets);
        vm.startPrank(who);
        hooked.approve(address(vault), assets);
        vault.deposit(assets, who);
        vm.stopPrank();
    }

    /// @dev Every price seen on the way lies between the first and the last, and those differ by rounding alone unless
    /// income came in.
    function _assertPricesTrueSince(uint256 before) private view {
        uint256[] memory prices = prober.pricesSeen();
        assertGt(prices.length, 0);
        uint256 afterwards = vault.convertToAssets(1e18);
        assertGe(afterwards, before);
        for (uint256 i; i < prices.length; ++i) {
            assertGe(prices[i], before);
            assertLe(prices[i], afterwards);
        }
    }

    function _assertNothingWasAllowed() private view {
        assertEq(prober.allowed(), 0);
        assertEq(prober.refusedWith(), IERC4626.ReentrancyGuardReentrantCall.selector);
    }

    function test_attack08_attack09_callbacksOfADepositSeeTheTruePriceAndMayNotReenter() public {
        uint256 before = vault.convertToAssets(1e18);
        hooked.mint(address(splitter), 2);
        hooked.setListener(address(prober));
        prober.deposit(500 * DEPOSIT);
        _assertPricesTrueSince(before);
        assertApproxEqAbs(vault.convertToAssets(1e18), before, 1);
        _assertNothingWasAllowed();
    }

    function test_attack08_attack09_callbacksOfARedemptionSeeTheTruePriceAndMayNotReenter() public {
        uint256 before = vault.convertToAssets(1e18);
        hooked.mint(address(splitter), 2);
        hooked.setListener(address(prober));
        prober.redeem(vault.maxRedeem(address(prober)));
        _assertPricesTrueSince(before);
        _assertNothingWasAllowed();
    }

    function test_attack08_attack09_callbacksOfADistributionSeeTheTruePriceAndDivideNothingTwice() public {
        uint256 before = vault.convertToAssets(1e18);
        uint256 coverBefore = vault.totalAssets();
        uint256 treasuryBefore = hooked.balanceOf(TREASURY);
        hooked.mint(address(splitter), DEPOSIT);
        hooked.setListener(address(prober));
        splitter.distribute(address(hooked));
        _assertPricesTrueSince(before);
        assertEq(hooked.balanceOf(TREASURY), treasuryBefore + DEPOSIT / 2);
        // The vault is unlocked again while the treasury's part is transferred, so more than the income may have been
        // added.
        assertGe(vault.totalAssets(), coverBefore + DEPOSIT / 2);
        assertEq(hooked.balanceOf(address(splitter)), 0);
    }

    function test_aTokenThatReturnsNothingWorks() public {
        StubbornToken token = new StubbornToken();
        _use(address(token));
        token.mint(ALICE, DEPOSIT);
        vm.startPrank(ALICE);
        token.approve(address(vault), DEPOSIT);
        uint256 shares = vault.deposit(DEPOSIT, ALICE);
        backstop.startCooldown(shares);
        vm.stopPrank();
        token.mint(address(splitter), DEPOSIT);
        splitter.distribute(address(token));
        assertEq(token.balanceOf(TREASURY), DEPOSIT / 2);
        skip(COOLDOWN);
        redeem(ALICE, shares);
        assertApproxEqAbs(token.balanceOf(ALICE), DEPOSIT + DEPOSIT / 2, 2);
    }

    function test_aTokenThatReturnsFalseIsRefused() public {
        FalseReturningToken token = new FalseReturningToken();
        _use(address(token));
        vm.expectRevert(abi.encodeWithSelector(IERC4626.SafeERC20FailedOperation.selector, token));
        vault.deposit(1, ALICE);
    }
}
