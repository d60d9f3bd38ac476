//! The contract's functions and events, as far as keepers and tests use them.

#![allow(clippy::too_many_arguments, reason = "an event has as many fields as the contract gives it")]

use alloy::sol;

sol! {
    /// The parameters of a market, which its id is the hash of.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct MarketParams {
        address loanToken;
        address collateralToken;
        address oracle;
        address irm;
        uint256 lltv;
    }

    /// Morpho Blue.
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    interface IMorphoBlue {
        event SetOwner(address indexed newOwner);
        event SetFee(bytes32 indexed id, uint256 newFee);
        event SetFeeRecipient(address indexed newFeeRecipient);
        event EnableIrm(address indexed irm);
        event EnableLltv(uint256 lltv);
        event CreateMarket(bytes32 indexed id, MarketParams marketParams);
        event Supply(bytes32 indexed id, address indexed caller, address indexed onBehalf, uint256 assets, uint256 shares);
        event Withdraw(bytes32 indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 assets, uint256 shares);
        event Borrow(bytes32 indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 assets, uint256 shares);
        event Repay(bytes32 indexed id, address indexed caller, address indexed onBehalf, uint256 assets, uint256 shares);
        event SupplyCollateral(bytes32 indexed id, address indexed caller, address indexed onBehalf, uint256 assets);
        event WithdrawCollateral(bytes32 indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 assets);
        event Liquidate(bytes32 indexed id, address indexed caller, address indexed borrower, uint256 repaidAssets, uint256 repaidShares, uint256 seizedAssets, uint256 badDebtAssets, uint256 badDebtShares);
        event FlashLoan(address indexed caller, address indexed token, uint256 assets);
        event SetAuthorization(address indexed caller, address indexed authorizer, address indexed authorized, bool newIsAuthorized);
        event IncrementNonce(address indexed caller, address indexed authorizer, uint256 usedNonce);
        event AccrueInterest(bytes32 indexed id, uint256 prevBorrowRate, uint256 interest, uint256 feeShares);

        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function enableIrm(address irm) external;
        function enableLltv(uint256 lltv) external;
        function createMarket(MarketParams memory params) external;
        function setFee(MarketParams memory params, uint256 fee) external;
        function setFeeRecipient(address recipient) external;
        function setAuthorization(address authorized, bool newIsAuthorized) external;
        function supply(MarketParams memory params, uint256 assets, uint256 shares, address onBehalf, bytes memory data) external returns (uint256, uint256);
        function withdraw(MarketParams memory params, uint256 assets, uint256 shares, address onBehalf, address receiver) external returns (uint256, uint256);
        function borrow(MarketParams memory params, uint256 assets, uint256 shares, address onBehalf, address receiver) external returns (uint256, uint256);
        function repay(MarketParams memory params, uint256 assets, uint256 shares, address onBehalf, bytes memory data) external returns (uint256, uint256);
        function supplyCollateral(MarketParams memory params, uint256 assets, address onBehalf, bytes memory data) external;
        function withdrawCollateral(MarketParams memory params, uint256 assets, address onBehalf, address receiver) external;
        function liquidate(MarketParams memory params, address borrower, uint256 seizedAssets, uint256 repaidShares, bytes memory data) external returns (uint256 seized, uint256 repaid);
        function isAuthorized(address authorizer, address authorized) external view returns (bool);
        function accrueInterest(MarketParams memory params) external;
        function market(bytes32 id) external view returns (uint128 totalSupplyAssets, uint128 totalSupplyShares, uint128 totalBorrowAssets, uint128 totalBorrowShares, uint128 lastUpdate, uint128 fee);
        function position(bytes32 id, address user) external view returns (uint256 supplyShares, uint128 borrowShares, uint128 collateral);
    }

    /// The parameters of a pre-liquidation contract. Factors at its own line stand first, then those at the market's.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct PreLiquidationParams {
        uint256 preLltv;
        uint256 preLCF1;
        uint256 preLCF2;
        uint256 preLIF1;
        uint256 preLIF2;
        address preLiquidationOracle;
    }

    /// Creates pre-liquidation contracts, for anybody.
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    interface IPreLiquidationFactory {
        event CreatePreLiquidation(address indexed preLiquidation, bytes32 id, PreLiquidationParams preLiquidationParams);

        function MORPHO() external view returns (address);
        function createPreLiquidation(bytes32 id, PreLiquidationParams memory preLiquidationParams) external returns (address);
        function isPreLiquidation(address account) external view returns (bool);
    }

    /// Liquidates accounts that authorised it before the market does.
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    interface IPreLiquidation {
        error PreLiquidationTooLarge(uint256 repaidShares, uint256 repayableShares);

        event PreLiquidate(bytes32 indexed id, address indexed liquidator, address indexed borrower, uint256 repaidAssets, uint256 repaidShares, uint256 seizedAssets);

        function preLiquidate(address borrower, uint256 seizedAssets, uint256 repaidShares, bytes memory data) external returns (uint256 seized, uint256 repaid);
    }

    /// Oracle of a market.
    #[sol(rpc)]
    interface IMorphoOracle {
        /// Units of the loan token for 10³⁶ units of the collateral token.
        function price() external view returns (uint256);
    }
}
