//! The contracts' functions and events, as far as keepers and tests use them.

#![allow(clippy::too_many_arguments, reason = "a function has as many parameters as the contract gives it")]

use alloy::sol;

sol! {
    /// The contract that holds a pool's terms. Functions that only one kind of pool has are called on that kind only.
    #[sol(rpc)]
    interface IComptroller {
        event MarketListed(address vToken);
        event MarketSupported(address vToken);
        event MarketEntered(address vToken, address account);
        event MarketExited(address vToken, address account);
        event NewPriceOracle(address oldPriceOracle, address newPriceOracle);

        function isComptroller() external view returns (bool);
        function getAllMarkets() external view returns (address[] memory);
        function allMarkets(uint256 index) external view returns (address);
        function oracle() external view returns (address);
        function closeFactorMantissa() external view returns (uint256);
        function liquidationIncentiveMantissa() external view returns (uint256);
        function checkMembership(address account, address vToken) external view returns (bool);
        /// Listed or not, collateral factor, and a word whose meaning depends on the kind of pool.
        function markets(address vToken) external view returns (bool, uint256, uint256);
        function getAccountLiquidity(address account) external view returns (uint256 error, uint256 liquidity, uint256 shortfall);

        // Compound only.
        function borrowGuardianPaused(address vToken) external view returns (bool);
        function seizeGuardianPaused() external view returns (bool);

        // Venus' isolated pools only.
        function minLiquidatableCollateral() external view returns (uint256);
        function actionPaused(address market, uint8 action) external view returns (bool);
        function isForcedLiquidationEnabled(address vToken) external view returns (bool);
        function getBorrowingPower(address account) external view returns (uint256 error, uint256 liquidity, uint256 shortfall);
        function healAccount(address user) external;
        function liquidateAccount(address borrower, LiquidationOrder[] orders) external;

        // Venus' core pool only.
        event PoolSelected(address account, uint96 previousPoolId, uint96 newPoolId);
        function liquidatorContract() external view returns (address);
        function vaiController() external view returns (address);
        function lastPoolId() external view returns (uint96);
        function userPoolId(address account) external view returns (uint96);
        function pools(uint96 id) external view returns (string label, bool isActive, bool allowCorePoolFallback);
        /// Listed or not, collateral factor, a flag, liquidation threshold, liquidation incentive, and further words.
        function poolMarkets(uint96 id, address vToken) external view returns (bool, uint256, bool, uint256, uint256, uint96, bool);
        function mintedVAIs(address account) external view returns (uint256);
        function treasuryPercent() external view returns (uint256);
        function protocolPaused() external view returns (bool);

        // Administration of Venus' isolated pools.
        function initialize(uint256 loopLimit, address accessControlManager) external;
        function supportMarket(address vToken) external;
        function unlistMarket(address vToken) external returns (uint256);
        function setPriceOracle(address oracle) external;
        function setCloseFactor(uint256 mantissa) external;
        function setCollateralFactor(address vToken, uint256 factor, uint256 threshold) external;
        function setLiquidationIncentive(uint256 mantissa) external;
        function setMinLiquidatableCollateral(uint256 dollars) external;
        function setMarketSupplyCaps(address[] vTokens, uint256[] caps) external;
        function setMarketBorrowCaps(address[] vTokens, uint256[] caps) external;
        function setActionsPaused(address[] vTokens, uint8[] actions, bool paused) external;
        function setForcedLiquidation(address vToken, bool enable) external;
        function enterMarkets(address[] vTokens) external returns (uint256[] memory);
        function exitMarket(address vToken) external returns (uint256);
    }

    /// A repayment that is part of the liquidation of a whole account.
    struct LiquidationOrder {
        address vTokenCollateral;
        address vTokenBorrowed;
        uint256 repayAmount;
    }

    /// A market: cToken or vToken.
    #[sol(rpc)]
    interface IVToken {
        event AccrueInterest(uint256 cashPrior, uint256 interestAccumulated, uint256 borrowIndex, uint256 totalBorrows);
        event Borrow(address borrower, uint256 borrowAmount, uint256 accountBorrows, uint256 totalBorrows);
        event RepayBorrow(address payer, address borrower, uint256 repayAmount, uint256 accountBorrows, uint256 totalBorrows);
        event LiquidateBorrow(address liquidator, address borrower, uint256 repayAmount, address vTokenCollateral, uint256 seizeTokens);
        event Transfer(address from, address to, uint256 amount);

        function underlying() external view returns (address);
        function exchangeRateStored() external view returns (uint256);
        function borrowIndex() external view returns (uint256);
        function totalBorrows() external view returns (uint256);
        function totalReserves() external view returns (uint256);
        function totalSupply() external view returns (uint256);
        function getCash() external view returns (uint256);
        function reserveFactorMantissa() external view returns (uint256);
        function protocolSeizeShareMantissa() external view returns (uint256);
        function accrueInterest() external returns (uint256);
        function getAccountSnapshot(address account) external view returns (uint256 error, uint256 tokens, uint256 debt, uint256 exchangeRate);
        function balanceOf(address account) external view returns (uint256);
        function borrowBalanceStored(address account) external view returns (uint256);
        function mint(uint256 amount) external returns (uint256);
        function redeem(uint256 tokens) external returns (uint256);
        function borrow(uint256 amount) external returns (uint256);
        function repayBorrow(uint256 amount) external returns (uint256);
        function transfer(address to, uint256 amount) external returns (bool);
        function liquidateBorrow(address borrower, uint256 repay, address vTokenCollateral) external returns (uint256);

        // Venus' isolated pools only.
        function badDebt() external view returns (uint256);
        function initialize(address underlying, address comptroller, address rateModel, uint256 exchangeRate, string name, string symbol, uint8 decimals, address admin, address accessControlManager, RiskManagement risk, uint256 reserveFactor) external;
    }

    /// Where a market of Venus' isolated pools sends what is not its suppliers'.
    struct RiskManagement {
        address shortfall;
        address protocolShareReserve;
    }

    /// The contract that alone may liquidate accounts of Venus' core pool.
    #[sol(rpc)]
    interface IVenusLiquidator {
        event LiquidationRestricted(address borrower);
        event LiquidationRestrictionsDisabled(address borrower);

        function treasuryPercentMantissa() external view returns (uint256);
        function forceVAILiquidate() external view returns (bool);
        function minLiquidatableVAI() external view returns (uint256);
        function liquidationRestricted(address borrower) external view returns (bool);
        function liquidateBorrow(address vToken, address borrower, uint256 repayAmount, address vTokenCollateral) external payable;
    }

    /// Lends VAI of Venus' core pool, outside all markets.
    interface IVaiController {
        event MintVAI(address minter, uint256 mintVAIAmount);
        event RepayVAI(address payer, address borrower, uint256 repayVAIAmount);
        event LiquidateVAI(address liquidator, address borrower, uint256 liquidateAmount, address vTokenCollateral, uint256 seizeTokens);
    }

    /// The interest event of markets of Compound's first year.
    interface IFirstCToken {
        event AccrueInterest(uint256 interestAccumulated, uint256 borrowIndex, uint256 totalBorrows);
    }

    /// A pool's oracle.
    #[sol(rpc)]
    interface ICompoundOracle {
        /// Price of a unit of the market's token, in a currency of the oracle's, × 10³⁶ for 18 decimals of that currency.
        function getUnderlyingPrice(address vToken) external view returns (uint256);
        /// Brings the price up to date. Venus only.
        function updatePrice(address vToken) external;
    }
}
