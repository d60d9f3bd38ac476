// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {
    PreLiquidationParams,
    StandInPreLiquidation,
    StandInPreLiquidationFactory
} from "../support/StandInPreLiquidation.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {Creator} from "../support/Creator.sol";

interface IMorpho {
    function enableIrm(address irm) external;
    function enableLltv(uint256 lltv) external;
    function createMarket(IExecutor.MorphoMarket calldata market) external;
    function supply(
        IExecutor.MorphoMarket calldata market,
        uint256 assets,
        uint256 shares,
        address onBehalf,
        bytes calldata data
    ) external returns (uint256, uint256);
    function supplyCollateral(
        IExecutor.MorphoMarket calldata market,
        uint256 assets,
        address onBehalf,
        bytes calldata data
    ) external;
    function borrow(
        IExecutor.MorphoMarket calldata market,
        uint256 assets,
        uint256 shares,
        address onBehalf,
        address receiver
    ) external returns (uint256, uint256);
    function liquidate(
        IExecutor.MorphoMarket calldata market,
        address borrower,
        uint256 seizedAssets,
        uint256 repaidShares,
        bytes calldata data
    ) external returns (uint256, uint256);
    function flashLoan(address token, uint256 assets, bytes calldata data) external;
    function setAuthorization(address authorized, bool newIsAuthorized) external;
    function position(bytes32 id, address account) external view returns (uint256, uint128, uint128);
}

/// @notice The price of a core's oracle under the name that Morpho asks for.
contract MorphoOracle {
    TestOracle private immutable ORACLE;

    constructor(TestOracle oracle) {
        ORACLE = oracle;
    }

    function price() external view returns (uint256) {
        return ORACLE.liquidationPrice();
    }
}

/// @title Real Morpho Blue with its adaptive rate model, from the bytecode that its authors published, and a stand-in for its
/// pre-liquidation contracts.
abstract contract MorphoBlue is Creator {
    string private constant FACTORIES = "node_modules/@morpho-org/morpho-blue-bundlers/types/factories/lib/";
    /// @dev 86 %, as in the core's market.
    uint256 internal constant MORPHO_LLTV = 0.86e18;

    IMorpho internal morpho;
    IExecutor.MorphoMarket internal morphoMarket;
    StandInPreLiquidationFactory internal preLiquidations;
    /// @dev From 80 % on.
    StandInPreLiquidation internal preLiquidation;

    function deployMorpho(address loanToken, address collateralToken, TestOracle oracle) internal {
        bytes memory code = _embeddedCode("morpho-blue/src/Morpho__factory.js");
        morpho = IMorpho(this.create(abi.encodePacked(code, abi.encode(address(this)))));
        code = _embeddedCode("morpho-blue-irm/src/adaptive-curve-irm/AdaptiveCurveIrm__factory.js");
        address irm = this.create(abi.encodePacked(code, abi.encode(morpho)));
        morpho.enableIrm(irm);
        morpho.enableLltv(MORPHO_LLTV);
        morphoMarket = newMorphoMarket(loanToken, collateralToken, oracle, irm);
        preLiquidations = new StandInPreLiquidationFactory(address(morpho));
        preLiquidation = newPreLiquidation(preLiquidations, 0.8e18, morphoMarket.oracle);
    }

    /// @dev A contract that takes a tenth of the debt at its line and half of it at the market's, with 2 % and 5 %.
    function newPreLiquidation(StandInPreLiquidationFactory factory, uint256 lltv, address oracle)
        internal
        returns (StandInPreLiquidation)
    {
        PreLiquidationParams memory params = PreLiquidationParams(lltv, 0.1e18, 0.5e18, 1.02e18, 1.05e18, oracle);
        return StandInPreLiquidation(factory.createPreLiquidation(morphoMarketId(), params));
    }

    function newMorphoMarket(address loanToken, address collateralToken, TestOracle oracle, address irm)
        internal
        returns (IExecutor.MorphoMarket memory market)
    {
        address price = address(new MorphoOracle(oracle));
        market = IExecutor.MorphoMarket(loanToken, collateralToken, price, irm, MORPHO_LLTV);
        morpho.createMarket(market);
    }

    function authorise(address account, address contract_, bool isAuthorised) internal {
        vm.prank(account);
        morpho.setAuthorization(contract_, isAuthorised);
    }

    function morphoMarketId() internal view returns (bytes32) {
        return keccak256(abi.encode(morphoMarket));
    }

    function morphoShares(address account) internal view returns (uint256 shares) {
        (, shares,) = morpho.position(morphoMarketId(), account);
    }

    /// @dev The code stands in JavaScript, as the only string of hexadecimal digits.
    function _embeddedCode(string memory factory) private view returns (bytes memory) {
        string[] memory parts = vm.split(vm.readFile(string.concat(FACTORIES, factory)), "\"0x");
        return vm.parseBytes(string.concat("0x", vm.split(parts[1], "\"")[0]));
    }
}
