//! The contracts' functions and events, as far as keepers and tests use them.

#![allow(clippy::too_many_arguments, reason = "a function has as many parameters as the contract gives it")]

use alloy::sol;

sol! {
    /// What a pool stores of a reserve, in the layout that every version's view keeps.
    #[derive(Debug)]
    struct ReserveData {
        uint256 configuration;
        uint128 liquidityIndex;
        uint128 currentLiquidityRate;
        uint128 variableBorrowIndex;
        uint128 currentVariableBorrowRate;
        uint128 currentStableBorrowRate;
        uint40 lastUpdateTimestamp;
        uint16 id;
        address aTokenAddress;
        address stableDebtTokenAddress;
        address variableDebtTokenAddress;
        address interestRateStrategyAddress;
        uint128 accruedToTreasury;
        uint128 unbacked;
        uint128 isolationModeTotalDebt;
    }

    /// An e-mode category.
    #[derive(Debug)]
    struct EModeCategory {
        uint16 ltv;
        uint16 liquidationThreshold;
        uint16 liquidationBonus;
        address priceSource;
        string label;
    }

    /// The pool.
    #[sol(rpc)]
    #[derive(Debug)]
    interface IAavePool {
        event Borrow(address indexed reserve, address user, address indexed onBehalfOf, uint256 amount, uint8 interestRateMode, uint256 borrowRate, uint16 indexed referralCode);
        event Repay(address indexed reserve, address indexed user, address indexed repayer, uint256 amount, bool useATokens);
        event ReserveUsedAsCollateralEnabled(address indexed reserve, address indexed user);
        event ReserveUsedAsCollateralDisabled(address indexed reserve, address indexed user);
        event UserEModeSet(address indexed user, uint8 categoryId);
        event SwapBorrowRateMode(address indexed reserve, address indexed user, uint8 interestRateMode);
        event RebalanceStableBorrowRate(address indexed reserve, address indexed user);
        event LiquidationCall(address indexed collateralAsset, address indexed debtAsset, address indexed user, uint256 debtToCover, uint256 liquidatedCollateralAmount, address liquidator, bool receiveAToken);

        // From 3.3 on.
        event DeficitCreated(address indexed user, address indexed debtAsset, uint256 amountCreated);

        function POOL_REVISION() external view returns (uint256);
        function ADDRESSES_PROVIDER() external view returns (address);
        function getReservesList() external view returns (address[] memory);
        function getReserveData(address asset) external view returns (ReserveData memory);
        function getReserveNormalizedIncome(address asset) external view returns (uint256);
        function getReserveNormalizedVariableDebt(address asset) external view returns (uint256);
        function getLiquidationGracePeriod(address asset) external view returns (uint40);
        function getEModeCategoryData(uint8 id) external view returns (EModeCategory memory);
        function getEModeCategoryCollateralBitmap(uint8 id) external view returns (uint128);
        function getUserConfiguration(address user) external view returns (uint256);
        function getUserEMode(address user) external view returns (uint256);
        function getUserAccountData(address user) external view returns (uint256 totalCollateralBase, uint256 totalDebtBase, uint256 availableBorrowsBase, uint256 currentLiquidationThreshold, uint256 ltv, uint256 healthFactor);
        function supply(address asset, uint256 amount, address onBehalfOf, uint16 referralCode) external;
        function withdraw(address asset, uint256 amount, address to) external returns (uint256);
        function borrow(address asset, uint256 amount, uint256 interestRateMode, uint16 referralCode, address onBehalfOf) external;
        function repay(address asset, uint256 amount, uint256 interestRateMode, address onBehalfOf) external returns (uint256);
        function setUserUseReserveAsCollateral(address asset, bool useAsCollateral) external;
        function setUserEMode(uint8 categoryId) external;
        function liquidationCall(address collateralAsset, address debtAsset, address user, uint256 debtToCover, bool receiveAToken) external;
    }

    /// The registry of a pool's other contracts.
    #[sol(rpc)]
    interface IAaveAddressesProvider {
        function getPriceOracle() external view returns (address);
        function getPriceOracleSentinel() external view returns (address);
    }

    /// The oracle of a pool.
    #[sol(rpc)]
    interface IAaveOracle {
        function BASE_CURRENCY_UNIT() external view returns (uint256);
        function getAssetPrice(address asset) external view returns (uint256);
    }

    /// Says whether a rollup's sequencer has been up for long enough.
    interface IAaveSentinel {
        function isLiquidationAllowed() external view returns (bool);
    }

    /// An aToken or debt token.
    #[sol(rpc)]
    interface IAaveToken {
        event Transfer(address indexed from, address indexed to, uint256 value);

        function scaledBalanceOf(address user) external view returns (uint256);
        function scaledTotalSupply() external view returns (uint256);
        function balanceOf(address user) external view returns (uint256);
    }
}
