// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import {IOracle} from "../src/interfaces/IOracle.sol";
import {IPlimsoll} from "../src/interfaces/IPlimsoll.sol";
import {MarketId, MarketParams} from "../src/types/MarketParams.sol";
import {toRateCurve} from "../src/types/RateCurve.sol";
import {toRisk} from "../src/types/Risk.sol";

/// @title Base contract for Foundry tests against the real Plimsoll.
/// @author Plimsoll
/// @notice Deploys the very bytecode that the project tests and deploys, so a project needs neither Plimsoll's compiler
/// version nor its settings. It inherits nothing: `contract MyTest is Test, PlimsollTest`, with any version of forge-std
/// or none. foundry.toml must allow `fs_permissions = [{ access = "read", path = "node_modules" }]`.
abstract contract PlimsollTest {
    /// @dev Foundry's cheatcodes.
    PlimsollVm private constant CHEATS = PlimsollVm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @notice The folder with the package's artifacts, seen from the project's root.
    function plimsollArtifacts() internal view virtual returns (string memory) {
        return "node_modules/plimsoll-contracts/artifacts";
    }

    /// @notice Deploys a contract of the package by its name, such as "Lens".
    /// @param arguments the constructor's arguments, ABI-encoded
    function deployPlimsollContract(string memory name, bytes memory arguments) internal returns (address deployed) {
        bytes memory code = CHEATS.getCode(string.concat(plimsollArtifacts(), "/", name, ".json"));
        bytes memory creation = bytes.concat(code, arguments);
        assembly ("memory-safe") {
            deployed := create(0, add(creation, 0x20), mload(creation))
        }
        require(deployed != address(0), string.concat(name, ": the constructor reverted"));
    }

    /// @notice Deploys the lending core.
    function deployPlimsoll(address owner) internal returns (IPlimsoll) {
        return IPlimsoll(deployPlimsollContract("Plimsoll", abi.encode(owner)));
    }

    /// @notice Deploys a token that anybody can mint.
    function deployTestToken(string memory symbol, uint8 decimals) internal returns (ITestToken) {
        return ITestToken(deployPlimsollContract("TestToken", abi.encode(symbol, decimals)));
    }

    /// @notice Creates a market with usual rates: 4 % a year at 90 % utilisation, four times as much at 100 %.
    /// @param borrowLtvBps the loan-to-value ratio up to which one may borrow, in basis points
    /// @param liquidationLtvBps the one above which a loan is liquidatable, in basis points
    /// @param minDebt the smallest debt, in units of the loan token
    function createTestMarket(
        IPlimsoll plimsoll,
        ITestToken loanToken,
        ITestToken collateralToken,
        IOracle oracle,
        uint16 borrowLtvBps,
        uint16 liquidationLtvBps,
        uint128 minDebt
    ) internal returns (MarketParams memory params, MarketId id) {
        params = MarketParams({
            loanToken: address(loanToken),
            collateralToken: address(collateralToken),
            oracle: address(oracle),
            risk: toRisk(borrowLtvBps, liquidationLtvBps, minDebt),
            curve: toRateCurve(uint40(0.04e18 / uint256(365 days)), 9_000, 40_000, 500_000)
        });
        id = plimsoll.createMarket(params);
    }

    /// @notice Mints loan tokens to a lender and supplies them.
    function supplyAs(IPlimsoll plimsoll, MarketParams memory params, address lender, uint256 assets) internal {
        _mintAndApprove(params.loanToken, lender, address(plimsoll), assets);
        CHEATS.prank(lender);
        plimsoll.supply(params, assets, 0, lender, "");
    }

    /// @notice Mints collateral to a borrower, supplies it and borrows against it.
    function openLoanAs(IPlimsoll plimsoll, MarketParams memory params, address borrower, uint256 collateral, uint256 debt)
        internal
    {
        _mintAndApprove(params.collateralToken, borrower, address(plimsoll), collateral);
        CHEATS.prank(borrower);
        plimsoll.supplyCollateral(params, collateral, borrower, "");
        CHEATS.prank(borrower);
        plimsoll.borrow(params, debt, 0, borrower, borrower);
    }

    /// @notice Liquidates one loan as somebody who has all the tokens that it takes.
    function liquidateAs(IPlimsoll plimsoll, MarketParams memory params, address liquidator, address borrower)
        internal
        returns (uint256 repaid, uint256 seized)
    {
        _mintAndApprove(params.loanToken, liquidator, address(plimsoll), type(uint128).max);
        address[] memory borrowers = new address[](1);
        borrowers[0] = borrower;
        CHEATS.prank(liquidator);
        return plimsoll.liquidate(params, borrowers, type(uint256).max, 0, liquidator, "");
    }

    function _mintAndApprove(address token, address account, address spender, uint256 amount) private {
        ITestToken(token).mint(account, amount);
        CHEATS.prank(account);
        ITestToken(token).approve(spender, amount);
    }
}

/// @title An oracle whose price a test sets.
/// @author Plimsoll
contract TestOracle is IOracle {
    /// @notice The value of one unit of collateral in units of the loan token, 1e36-scaled.
    uint256 public price;

    constructor(uint256 price_) {
        price = price_;
    }

    function setPrice(uint256 price_) external {
        price = price_;
    }

    function liquidationPrice() external view returns (uint256) {
        return price;
    }

    function borrowPrice() external view returns (uint256) {
        return price;
    }
}

/// @title The package's token for tests.
/// @author Plimsoll
interface ITestToken {
    function mint(address to, uint256 amount) external;
    function approve(address spender, uint256 amount) external returns (bool);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
    function decimals() external view returns (uint8);
}

/// @title The cheatcodes that `PlimsollTest` uses.
/// @author Plimsoll
interface PlimsollVm {
    function getCode(string calldata path) external view returns (bytes memory);
    function prank(address sender) external;
}
