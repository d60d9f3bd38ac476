// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {Creator} from "../support/Creator.sol";

interface IVenusComptroller {
    function initialize(uint256 loopLimit, address accessControlManager) external;
    function supportMarket(address vToken) external;
    function setPriceOracle(address oracle) external;
    function setCloseFactor(uint256 mantissa) external;
    function setCollateralFactor(address vToken, uint256 factor, uint256 threshold) external;
    function setLiquidationIncentive(uint256 mantissa) external;
    function setMinLiquidatableCollateral(uint256 dollars) external;
    function setMarketSupplyCaps(address[] calldata vTokens, uint256[] calldata caps) external;
    function setMarketBorrowCaps(address[] calldata vTokens, uint256[] calldata caps) external;
    function enterMarkets(address[] calldata vTokens) external returns (uint256[] memory);
}

interface IVToken {
    struct RiskManagement {
        address shortfall;
        address protocolShareReserve;
    }

    function initialize(
        address underlying,
        address comptroller,
        address rateModel,
        uint256 exchangeRate,
        string calldata name,
        string calldata symbol,
        uint8 decimals,
        address admin,
        address accessControlManager,
        RiskManagement calldata risk,
        uint256 reserveFactor
    ) external;
    function mint(uint256 amount) external returns (uint256);
    function borrow(uint256 amount) external returns (uint256);
    function redeem(uint256 receipts) external returns (uint256);
    function liquidateBorrow(address borrower, uint256 repay, address vTokenCollateral) external returns (uint256);
    function borrowBalanceStored(address account) external view returns (uint256);
    function balanceOf(address account) external view returns (uint256);
}

/// @notice Permits everything and accepts everything: access control and share reserve.
contract Yes {
    fallback() external {
        assembly ("memory-safe") {
            mstore(0x00, 1)
            return(0x00, 0x20)
        }
    }
}

/// @notice Prices as Venus asks for them: a whole token in dollars, scaled by 10^(36 - decimals).
contract VenusOracle {
    TestOracle private immutable ORACLE;
    address private immutable COIN_MARKET;

    constructor(TestOracle oracle, address coinMarket) {
        (ORACLE, COIN_MARKET) = (oracle, coinMarket);
    }

    function updatePrice(address) external {}

    function getUnderlyingPrice(address vToken) public view returns (uint256) {
        // A unit of the coin in units of a dollar of 6 decimals, scaled by 1e36: 12 decimals less.
        return vToken == COIN_MARKET ? ORACLE.liquidationPrice() / 1e18 * 1e12 : 1e30;
    }
}

/// @title A real pool of Venus, from the bytecode that Venus published: a fork of Compound v2.
/// @notice The packages are installed apart from the others, because of their size.
abstract contract VenusPool is Creator {
    string private constant PACKAGES = "tools/venus/node_modules/@venusprotocol/";

    IVenusComptroller internal comptroller;
    IVToken internal vUsd;
    IVToken internal vCoin;

    /// @dev The name of the package.
    function venusPackage() internal pure virtual returns (string memory);

    /// @dev A dollar of 6 decimals that is lent against a coin of 18: collateral factor 80 %, threshold 82.5 %, close
    /// factor 50 %, an incentive of 10 % of which the protocol keeps a half.
    function deployVenus(address usd, address coin, TestOracle oracle) internal virtual;

    function venusIsInstalled() internal returns (bool) {
        return vm.exists(string.concat(PACKAGES, venusPackage(), "/package.json"));
    }

    /// @dev Creates a contract of the package, by its file without the ending, which may be in a folder, and by its name.
    function createVenus(string memory folder, string memory name, bytes memory arguments) internal returns (address) {
        string memory file =
            string.concat(PACKAGES, venusPackage(), "/artifacts/contracts/", folder, name, ".sol/", name, ".json");
        bytes memory code = vm.parseBytes(vm.parseJsonString(vm.readFile(file), ".bytecode"));
        return this.create(abi.encodePacked(code, arguments));
    }

    function proxyOf(address implementation, bytes memory call) internal returns (address) {
        return address(new ERC1967Proxy(implementation, call));
    }

    function liftCaps() internal {
        (address[] memory markets, uint256[] memory caps) = (new address[](2), new uint256[](2));
        (markets[0], markets[1]) = (address(vUsd), address(vCoin));
        (caps[0], caps[1]) = (type(uint256).max, type(uint256).max);
        comptroller.setMarketSupplyCaps(markets, caps);
        comptroller.setMarketBorrowCaps(markets, caps);
    }
}

/// @title A real isolated pool.
abstract contract VenusIsolatedPool is VenusPool {
    function venusPackage() internal pure override returns (string memory) {
        return "isolated-pools";
    }

    function deployVenus(address usd, address coin, TestOracle oracle) internal override {
        address yes = address(new Yes());
        address implementation = createVenus("", "Comptroller", abi.encode(address(this)));
        comptroller =
            IVenusComptroller(proxyOf(implementation, abi.encodeCall(IVenusComptroller.initialize, (100, yes))));
        implementation = createVenus("", "VToken", abi.encode(false, uint256(2_628_000), uint256(0.0005e16)));
        bytes memory curve = abi.encode(0.02e18, 0.1e18, 2e18, 0.8e18, yes, false, uint256(2_628_000));
        address rates = createVenus("", "JumpRateModelV2", curve);
        vUsd = _newMarket(implementation, usd, rates, yes);
        vCoin = _newMarket(implementation, coin, rates, yes);

        comptroller.setPriceOracle(address(new VenusOracle(oracle, address(vCoin))));
        comptroller.setCloseFactor(0.5e18);
        comptroller.setLiquidationIncentive(1.1e18);
        comptroller.setMinLiquidatableCollateral(100e18);
        liftCaps();
        comptroller.setCollateralFactor(address(vCoin), 0.8e18, 0.825e18);
    }

    function _newMarket(address implementation, address underlying, address rates, address yes)
        private
        returns (IVToken market)
    {
        bytes memory call = abi.encodeCall(
            IVToken.initialize,
            (
                underlying,
                address(comptroller),
                rates,
                1e18,
                "vToken",
                "vToken",
                8,
                address(this),
                yes,
                IVToken.RiskManagement(yes, yes),
                0.1e18
            )
        );
        market = IVToken(proxyOf(implementation, call));
        comptroller.supportMarket(address(market));
    }
}
