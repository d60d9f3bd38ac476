//! What is asked of contracts that are not ours.

use alloy::sol;

sol! {
    /// A token, and for local chains one that anybody mints.
    interface IToken {
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
        function decimals() external view returns (uint8);
        function mint(address to, uint256 amount) external;
    }

    /// Uniswap V3's factory.
    interface IUniswapV3Factory {
        function getPool(address tokenA, address tokenB, uint24 fee) external view returns (address);
        function createPool(address tokenA, address tokenB, uint24 fee) external returns (address);
    }

    /// Uniswap V3's pool.
    interface IUniswapV3Pool {
        function initialize(uint160 sqrtPriceX96) external;
        function slot0()
            external
            view
            returns (
                uint160 sqrtPriceX96,
                int24 tick,
                uint16 observationIndex,
                uint16 observationCardinality,
                uint16 observationCardinalityNext,
                uint8 feeProtocol,
                bool unlocked
            );
    }

    /// OpenZeppelin's roles.
    interface IAccessControl {
        function hasRole(bytes32 role, address account) external view returns (bool);
    }
}
