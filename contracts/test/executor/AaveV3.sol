// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TestOracle} from "../support/TestOracle.sol";
import {Creator} from "../support/Creator.sol";

interface IAave {
    function supply(address asset, uint256 amount, address onBehalfOf, uint16 referralCode) external;
    function borrow(address asset, uint256 amount, uint256 mode, uint16 referralCode, address onBehalfOf) external;
    function liquidationCall(address collateral, address debt, address user, uint256 amount, bool receiveAToken)
        external;
    function flashLoanSimple(
        address receiver,
        address asset,
        uint256 amount,
        bytes calldata params,
        uint16 referralCode
    ) external;
    function getUserAccountData(address user)
        external
        view
        returns (uint256, uint256, uint256, uint256, uint256, uint256 healthFactor);
}

interface IAddressesProvider {
    function setACLAdmin(address) external;
    function setACLManager(address) external;
    function setPriceOracle(address) external;
    function setPoolImpl(address) external;
    function setPoolConfiguratorImpl(address) external;
    function getPool() external view returns (address);
    function getPoolConfigurator() external view returns (address);
}

interface IAclManager {
    function addPoolAdmin(address) external;
}

interface IPoolConfigurator {
    struct InitReserveInput {
        address aTokenImpl;
        address stableDebtTokenImpl;
        address variableDebtTokenImpl;
        uint8 underlyingAssetDecimals;
        address interestRateStrategyAddress;
        address underlyingAsset;
        address treasury;
        address incentivesController;
        string aTokenName;
        string aTokenSymbol;
        string variableDebtTokenName;
        string variableDebtTokenSymbol;
        string stableDebtTokenName;
        string stableDebtTokenSymbol;
        bytes params;
    }

    function initReserves(InitReserveInput[] calldata input) external;
    function configureReserveAsCollateral(address asset, uint256 ltv, uint256 threshold, uint256 bonus) external;
    function setReserveBorrowing(address asset, bool enabled) external;
    function setLiquidationProtocolFee(address asset, uint256 fee) external;
}

interface IAaveDataProvider {
    function getReserveTokensAddresses(address asset)
        external
        view
        returns (address aToken, address stableDebtToken, address variableDebtToken);
    function getUserReserveData(address asset, address user)
        external
        view
        returns (uint256, uint256, uint256, uint256, uint256, uint256, uint256, uint40, bool);
}

interface IScaled {
    function scaledBalanceOf(address account) external view returns (uint256);
}

/// @notice A feed of 8 decimals: a core's price of whole collateral in whole dollars.
contract AaveFeed {
    TestOracle private immutable ORACLE;
    uint256 private immutable SCALE;

    /// @param scale what turns the oracle's price into dollars of 8 decimals, divided by 10^36
    constructor(TestOracle oracle, uint256 scale) {
        (ORACLE, SCALE) = (oracle, scale);
    }

    function latestAnswer() external view returns (int256) {
        if (address(ORACLE) == address(0)) return int256(SCALE);
        return int256(ORACLE.liquidationPrice() * SCALE / 1e36);
    }
}

/// @title Real Aave v3.0, from the bytecode that Aave published.
abstract contract AaveV3 is Creator {
    string private constant ARTIFACTS = "node_modules/@aave/core-v3/artifacts/contracts/";
    string private constant LOGIC = "contracts/protocol/libraries/logic/";
    uint256 private constant RAY = 1e27;

    IAave internal aave;
    IAaveDataProvider internal aaveData;

    /// @dev A pool with a dollar of 6 decimals that is lent against a coin of 18: LTV 80 %, threshold 82.5 %, a bonus of
    /// 5 % of which the protocol keeps a tenth.
    function deployAave(address usd, address coin, TestOracle oracle) internal {
        IAddressesProvider provider = IAddressesProvider(
            _createAave("protocol/configuration/PoolAddressesProvider", abi.encode("test", address(this)))
        );
        provider.setACLAdmin(address(this));
        IAclManager acl = IAclManager(_createAave("protocol/configuration/ACLManager", abi.encode(provider)));
        provider.setACLManager(address(acl));
        acl.addPoolAdmin(address(this));
        provider.setPriceOracle(_newOracle(address(provider), usd, coin, oracle));

        string[6] memory names =
            ["BorrowLogic", "SupplyLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "PoolLogic"];
        string memory code = _hexOf("protocol/pool/Pool");
        string memory flashLoans = _hexOf("protocol/libraries/logic/FlashLoanLogic");
        for (uint256 i; i < names.length; ++i) {
            address library_ = _createAave(string.concat("protocol/libraries/logic/", names[i]), "");
            code = _link(code, names[i], library_);
            if (i == 0) flashLoans = _link(flashLoans, names[0], library_);
        }
        code = _link(code, "FlashLoanLogic", this.create(vm.parseBytes(flashLoans)));
        provider.setPoolImpl(this.create(abi.encodePacked(vm.parseBytes(code), abi.encode(provider))));
        code = _hexOf("protocol/pool/PoolConfigurator");
        code = _link(code, "ConfiguratorLogic", _createAave("protocol/libraries/logic/ConfiguratorLogic", ""));
        provider.setPoolConfiguratorImpl(this.create(vm.parseBytes(code)));
        aave = IAave(provider.getPool());
        aaveData = IAaveDataProvider(_createAave("misc/AaveProtocolDataProvider", abi.encode(provider)));
        _initReserves(IPoolConfigurator(provider.getPoolConfigurator()), address(provider), usd, coin);
    }

    function scaledDebtOf(address asset, address account) internal view returns (uint256) {
        return IScaled(debtTokenOf(asset)).scaledBalanceOf(account);
    }

    function debtTokenOf(address asset) internal view returns (address token) {
        (,, token) = aaveData.getReserveTokensAddresses(asset);
    }

    function aaveHealthOf(address account) internal view returns (uint256 health) {
        (,,,,, health) = aave.getUserAccountData(account);
    }

    function aaveDebtOf(address asset, address account) internal view returns (uint256 debt) {
        (,, debt,,,,,,) = aaveData.getUserReserveData(asset, account);
    }

    function _newOracle(address provider, address usd, address coin, TestOracle oracle) private returns (address) {
        (address[] memory assets, address[] memory feeds) = (new address[](2), new address[](2));
        (assets[0], assets[1]) = (usd, coin);
        feeds[0] = address(new AaveFeed(TestOracle(address(0)), 1e8));
        // Units of 6 decimals for one of 18.
        feeds[1] = address(new AaveFeed(oracle, 1e20));
        bytes memory arguments = abi.encode(provider, assets, feeds, address(0), address(0), 1e8);
        return _createAave("misc/AaveOracle", arguments);
    }

    function _initReserves(IPoolConfigurator configurator, address provider, address usd, address coin) private {
        bytes memory rates = abi.encode(
            provider, RAY * 8 / 10, 0, RAY * 4 / 100, RAY * 75 / 100, RAY / 100, RAY / 10, RAY / 100, RAY / 10, RAY / 5
        );
        IPoolConfigurator.InitReserveInput memory input;
        input.aTokenImpl = _createAave("protocol/tokenization/AToken", abi.encode(aave));
        input.stableDebtTokenImpl = _createAave("protocol/tokenization/StableDebtToken", abi.encode(aave));
        input.variableDebtTokenImpl = _createAave("protocol/tokenization/VariableDebtToken", abi.encode(aave));
        input.interestRateStrategyAddress = _createAave("protocol/pool/DefaultReserveInterestRateStrategy", rates);
        input.treasury = address(this);
        IPoolConfigurator.InitReserveInput[] memory inputs = new IPoolConfigurator.InitReserveInput[](1);
        inputs[0] = input;
        for (uint256 i; i < 2; ++i) {
            (input.underlyingAsset, input.underlyingAssetDecimals) = i == 0 ? (usd, 6) : (coin, 18);
            configurator.initReserves(inputs);
        }
        configurator.setReserveBorrowing(usd, true);
        configurator.configureReserveAsCollateral(coin, 8_000, 8_250, 10_500);
        configurator.setLiquidationProtocolFee(coin, 1_000);
    }

    function _createAave(string memory path, bytes memory arguments) private returns (address) {
        return this.create(abi.encodePacked(vm.parseBytes(_hexOf(path)), arguments));
    }

    /// @dev A path's last part is the contract's name and its file's.
    function _hexOf(string memory path) private view returns (string memory) {
        string[] memory parts = vm.split(path, "/");
        string memory file = string.concat(ARTIFACTS, path, ".sol/", parts[parts.length - 1], ".json");
        return vm.parseJsonString(vm.readFile(file), ".bytecode");
    }

    /// @dev Puts a library's address where the compiler left a placeholder: 34 digits of the hash of its full name.
    function _link(string memory code, string memory name, address library_) private pure returns (string memory) {
        string memory hash = vm.toString(keccak256(bytes(string.concat(LOGIC, name, ".sol:", name))));
        string memory digits = vm.toString(abi.encodePacked(library_));
        return vm.replace(code, string.concat("__$", _slice(hash, 2, 36), "$__"), _slice(digits, 2, 42));
    }

    function _slice(string memory text, uint256 from, uint256 to) private pure returns (string memory) {
        bytes memory slice = new bytes(to - from);
        for (uint256 i; i < slice.length; ++i) {
            slice[i] = bytes(text)[from + i];
        }
        return string(slice);
    }
}
