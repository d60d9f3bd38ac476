// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

struct PreLiquidationMarket {
    address loanToken;
    address collateralToken;
    address oracle;
    address irm;
    uint256 lltv;
}

/// @notice Factors at the contract's own line, `preLltv`, have the number 1, those at the market's line the number 2.
struct PreLiquidationParams {
    uint256 preLltv;
    uint256 preLCF1;
    uint256 preLCF2;
    uint256 preLIF1;
    uint256 preLIF2;
    address preLiquidationOracle;
}

interface IPreLiquidatedMorpho {
    function idToMarketParams(bytes32 id) external view returns (PreLiquidationMarket memory);
    function market(bytes32 id) external view returns (uint128, uint128, uint128, uint128, uint128, uint128);
    function position(bytes32 id, address account) external view returns (uint256, uint128, uint128);
    function accrueInterest(PreLiquidationMarket calldata market) external;
    function repay(
        PreLiquidationMarket calldata market,
        uint256 assets,
        uint256 shares,
        address onBehalf,
        bytes calldata data
    ) external returns (uint256, uint256);
    function withdrawCollateral(
        PreLiquidationMarket calldata market,
        uint256 assets,
        address onBehalf,
        address receiver
    ) external;
}

interface IPriced {
    function price() external view returns (uint256);
}

interface IPreLiquidator {
    function onPreLiquidate(uint256 repaid, bytes calldata data) external;
}

interface IPulledToken {
    function approve(address spender, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// @title Stand-in for Morpho's factory of pre-liquidation contracts.
/// @notice Their bytecode is in no package, so tests run these, which are written after their public interface and
/// behaviour: same functions, events, order of steps and roundings. For local chains.
contract StandInPreLiquidationFactory {
    address public immutable MORPHO;
    mapping(address account => bool) public isPreLiquidation;

    event CreatePreLiquidation(address indexed preLiquidation, bytes32 id, PreLiquidationParams preLiquidationParams);

    constructor(address morpho) {
        MORPHO = morpho;
    }

    function createPreLiquidation(bytes32 id, PreLiquidationParams calldata params) external returns (address created) {
        created = address(new StandInPreLiquidation{salt: 0}(MORPHO, id, params));
        emit CreatePreLiquidation(created, id, params);
        isPreLiquidation[created] = true;
    }
}

/// @title Stand-in for a pre-liquidation contract of Morpho.
/// @notice See `StandInPreLiquidationFactory`.
contract StandInPreLiquidation {
    uint256 private constant WAD = 1e18;
    uint256 private constant PRICE_SCALE = 1e36;

    /// @dev Totals are those of conversions; `repayable` are the shares that may be repaid at once.
    struct Terms {
        uint256 price;
        uint256 assets;
        uint256 totalShares;
        uint256 incentive;
        uint256 repayable;
    }

    IPreLiquidatedMorpho public immutable MORPHO;
    bytes32 public immutable ID;

    PreLiquidationMarket private _market;
    PreLiquidationParams private _params;

    event PreLiquidate(
        bytes32 indexed id,
        address indexed liquidator,
        address indexed borrower,
        uint256 repaidAssets,
        uint256 repaidShares,
        uint256 seizedAssets
    );

    error InconsistentInput();
    error InvalidParams();
    error LiquidatablePosition();
    error NonexistentMarket();
    error NotMorpho();
    error NotPreLiquidatablePosition();
    error PreLiquidationTooLarge(uint256 repaidShares, uint256 repayableShares);
    error TransferFailed();

    constructor(address morpho, bytes32 id, PreLiquidationParams memory params) {
        MORPHO = IPreLiquidatedMorpho(morpho);
        ID = id;
        _market = MORPHO.idToMarketParams(id);
        if (_market.lltv == 0) revert NonexistentMarket();
        bool isValid = params.preLltv < _market.lltv && params.preLCF1 <= params.preLCF2 && params.preLCF1 <= WAD
            && params.preLIF1 >= WAD && params.preLIF1 <= params.preLIF2 && params.preLIF2 <= WAD * WAD / _market.lltv;
        if (!isValid) revert InvalidParams();
        _params = params;
        IPulledToken(_market.loanToken).approve(morpho, type(uint256).max);
    }

    /// @notice Returns the parameters of the market.
    function marketParams() external view returns (PreLiquidationMarket memory) {
        return _market;
    }

    /// @notice Returns the parameters of pre-liquidations.
    function preLiquidationParams() external view returns (PreLiquidationParams memory) {
        return _params;
    }

    /// @notice Liquidates by the collateral to seize or by the debt shares to repay; the other one is 0.
    function preLiquidate(address borrower, uint256 seizedAssets, uint256 repaidShares, bytes calldata data)
        external
        returns (uint256, uint256)
    {
        if ((seizedAssets == 0) == (repaidShares == 0)) revert InconsistentInput();
        MORPHO.accrueInterest(_market);
        Terms memory terms = _termsOf(borrower);
        if (seizedAssets != 0) {
            uint256 value = _mulDivUp(seizedAssets, terms.price, PRICE_SCALE);
            repaidShares = _mulDivUp(_mulDivUp(value, WAD, terms.incentive), terms.totalShares, terms.assets);
        } else {
            uint256 owed = repaidShares * terms.assets / terms.totalShares;
            seizedAssets = owed * terms.incentive / WAD * PRICE_SCALE / terms.price;
        }
        if (repaidShares > terms.repayable) revert PreLiquidationTooLarge(repaidShares, terms.repayable);
        bytes memory context = abi.encode(seizedAssets, borrower, msg.sender, data);
        (uint256 repaid,) = MORPHO.repay(_market, 0, repaidShares, borrower, context);
        emit PreLiquidate(ID, msg.sender, borrower, repaid, repaidShares, seizedAssets);
        return (seizedAssets, repaid);
    }

    /// @notice Called by Morpho Blue before it pulls the repayment.
    function onMorphoRepay(uint256 repaid, bytes calldata context) external {
        if (msg.sender != address(MORPHO)) revert NotMorpho();
        (uint256 seized, address borrower, address liquidator, bytes memory data) =
            abi.decode(context, (uint256, address, address, bytes));
        MORPHO.withdrawCollateral(_market, seized, borrower, liquidator);
        if (data.length != 0) IPreLiquidator(liquidator).onPreLiquidate(repaid, data);
        if (!IPulledToken(_market.loanToken).transferFrom(liquidator, address(this), repaid)) revert TransferFailed();
    }

    /// @dev Returns what a borrower's position is liquidated on.
    function _termsOf(address borrower) private view returns (Terms memory terms) {
        (,, uint256 assets, uint256 totalShares,,) = MORPHO.market(ID);
        (terms.assets, terms.totalShares) = (assets + 1, totalShares + 1e6);
        (, uint256 shares, uint256 collateral) = MORPHO.position(ID, borrower);
        terms.price = IPriced(_params.preLiquidationOracle).price();
        uint256 value = collateral * terms.price / PRICE_SCALE;
        uint256 debt = _mulDivUp(shares, terms.assets, terms.totalShares);
        if (debt > value * _market.lltv / WAD) revert LiquidatablePosition();
        if (debt <= value * _params.preLltv / WAD) revert NotPreLiquidatablePosition();
        // The way from the contract's line to the market's that the position has gone.
        uint256 way = (_mulDivUp(debt, WAD, value) - _params.preLltv) * WAD / (_market.lltv - _params.preLltv);
        terms.incentive = way * (_params.preLIF2 - _params.preLIF1) / WAD + _params.preLIF1;
        terms.repayable = shares * (way * (_params.preLCF2 - _params.preLCF1) / WAD + _params.preLCF1) / WAD;
    }

    function _mulDivUp(uint256 x, uint256 y, uint256 d) private pure returns (uint256) {
        return (x * y + (d - 1)) / d;
    }
}
