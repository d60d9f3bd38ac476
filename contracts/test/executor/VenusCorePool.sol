// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TestOracle} from "../support/TestOracle.sol";
import {IVToken, IVenusComptroller, VenusOracle, VenusPool, Yes} from "./VenusPool.sol";

/// @dev What the core pool's owner calls.
interface IVenusCore {
    function _setPendingImplementation(address implementation) external returns (uint256);
    function _become(address unitroller) external;
    function _setAccessControl(address accessControl) external returns (uint256);
    function _setComptrollerLens(address lens) external returns (uint256);
    function _setPriceOracle(address oracle) external returns (uint256);
    function setDeviationBoundedOracle(address oracle) external returns (uint256);
    function _setCloseFactor(uint256 mantissa) external returns (uint256);
    function _setVAIController(address controller) external returns (uint256);
    function _setLiquidatorContract(address liquidator) external;
    function liquidatorContract() external view returns (address);
    function setLiquidationIncentive(address vToken, uint256 mantissa) external returns (uint256);
    function setIsBorrowAllowed(uint96 pool, address vToken, bool isAllowed) external;
}

interface IVenusVai {
    function initialize() external;
    function _setComptroller(address comptroller) external returns (uint256);
    function setVAIToken(address vai) external;
    function setAccessControl(address accessControl) external;
}

interface IVenusMarket {
    function setAccessControlManager(address accessControl) external returns (uint256);
    function setProtocolShareReserve(address reserve) external;
    function setReduceReservesBlockDelta(uint256 delta) external;
    function _setReserveFactor(uint256 mantissa) external returns (uint256);
}

interface IVenusLiquidator {
    function initialize(uint256 treasuryPercent, address accessControl, address shareReserve) external;
    function liquidateBorrow(address vToken, address borrower, uint256 repay, address vTokenCollateral) external payable;
    function restrictLiquidation(address borrower) external;
    function addToAllowlist(address borrower, address liquidator) external;
    function setMinLiquidatableVAI(uint256 minimum) external;
    function resumeForceVAILiquidate() external;
    function setTreasuryPercent(uint256 mantissa) external;
}

/// @notice An oracle whose bounds of a price are the price.
contract VenusCoreOracle is VenusOracle {
    constructor(TestOracle oracle, address coinMarket) VenusOracle(oracle, coinMarket) {}

    fallback(bytes calldata data) external returns (bytes memory) {
        uint256 price = getUnderlyingPrice(abi.decode(data[4:], (address)));
        return abi.encode(price, price);
    }
}

/// @title A real core pool, with the Liquidator that alone may liquidate.
abstract contract VenusCorePool is VenusPool {
    IVenusLiquidator internal venusLiquidator;

    function venusPackage() internal pure override returns (string memory) {
        return "venus-protocol";
    }

    function deployVenus(address usd, address coin, TestOracle oracle) internal override {
        address yes = address(new Yes());
        // The facets in one contract, as the package has them for tests.
        comptroller = IVenusComptroller(
            _unitrollerOf("Comptroller/", "Unitroller", createVenus("Comptroller/Diamond/", "DiamondConsolidated", ""))
        );
        IVenusCore core = IVenusCore(address(comptroller));
        core._setAccessControl(yes);
        core._setComptrollerLens(createVenus("Lens/", "ComptrollerLens", ""));
        core._setCloseFactor(0.5e18);
        _lendVai(core, yes);
        bytes memory rates = abi.encode(0.02e18, 0.1e18, 2e18, 0.8e18, uint256(2_628_000));
        address rateModel = createVenus("InterestRateModels/", "JumpRateModel", rates);
        vUsd = _newMarket(usd, rateModel, yes);
        vCoin = _newMarket(coin, rateModel, yes);
        address prices = address(new VenusCoreOracle(oracle, address(vCoin)));
        core._setPriceOracle(prices);
        core.setDeviationBoundedOracle(prices);
        _list(core, vUsd);
        _list(core, vCoin);
        liftCaps();
        comptroller.setCollateralFactor(address(vCoin), 0.8e18, 0.825e18);

        (address coinMarket_, address wrapped) = coins(yes);
        bytes memory arguments = abi.encode(comptroller, coinMarket_, wrapped);
        address implementation = createVenus("Liquidator/", "Liquidator", arguments);
        bytes memory call = abi.encodeCall(IVenusLiquidator.initialize, (0.5e18, yes, yes));
        venusLiquidator = IVenusLiquidator(proxyOf(implementation, call));
        core._setLiquidatorContract(address(venusLiquidator));
    }

    /// @dev The contract that lends VAI, which the pool and its Liquidator ask about every account.
    function _lendVai(IVenusCore core, address yes) private {
        address implementation = createVenus("Tokens/VAI/", "VAIController", "");
        IVenusVai vai = IVenusVai(_unitrollerOf("Tokens/VAI/", "VAIUnitroller", implementation));
        vai.initialize();
        vai._setComptroller(address(core));
        vai.setVAIToken(createVenus("Tokens/VAI/", "VAI", abi.encode(block.chainid)));
        vai.setAccessControl(yes);
        core._setVAIController(address(vai));
    }

    /// @dev The market of the chain's own coin, and the token that wraps it; a stand-in if there are none.
    function coins(address standIn) internal virtual returns (address, address) {
        return (standIn, standIn);
    }

    function createMarket(address underlying, address rateModel) internal virtual returns (address) {
        bytes memory arguments =
            abi.encode(underlying, comptroller, rateModel, 1e18, "vToken", "vToken", uint256(8), address(this));
        return createVenus("Tokens/VTokens/", "VBep20Immutable", arguments);
    }

    function _newMarket(address underlying, address rateModel, address yes) private returns (IVToken) {
        IVenusMarket market = IVenusMarket(createMarket(underlying, rateModel));
        market.setAccessControlManager(yes);
        market.setProtocolShareReserve(yes);
        market.setReduceReservesBlockDelta(2_628_000);
        market._setReserveFactor(0.1e18);
        return IVToken(address(market));
    }

    function _list(IVenusCore core, IVToken market) private {
        comptroller.supportMarket(address(market));
        core.setLiquidationIncentive(address(market), 1.1e18);
        core.setIsBorrowAllowed(0, address(market), true);
    }

    function _unitrollerOf(string memory folder, string memory name, address implementation) private returns (address) {
        address proxy = createVenus(folder, name, "");
        IVenusCore(proxy)._setPendingImplementation(implementation);
        IVenusCore(implementation)._become(proxy);
        return proxy;
    }
}
