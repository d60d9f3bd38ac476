//! Interfaces of contracts that are not part of this project.

use alloy::sol;

sol! {
    /// ERC-20 token; on local chains anybody can mint it.
    interface IToken {
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
        function decimals() external view returns (uint8);
        function mint(address to, uint256 amount) external;
    }

    /// The part of an ERC-4626 vault that a first deposit needs.
    interface IVault {
        function deposit(uint256 assets, address receiver) external returns (uint256 shares);
    }

    /// Factory of Uniswap V3.
    interface IUniswapV3Factory {
        function getPool(address tokenA, address tokenB, uint24 fee) external view returns (address);
        function createPool(address tokenA, address tokenB, uint24 fee) external returns (address);
    }

    /// Pool of Uniswap V3.
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

    /// Access control of OpenZeppelin.
    interface IAccessControl {
        event RoleGranted(bytes32 indexed role, address indexed account, address indexed sender);

        function hasRole(bytes32 role, address account) external view returns (bool);
    }

    /// Timelock of OpenZeppelin.
    interface ITimelock {
        function getMinDelay() external view returns (uint256);
        function isOperation(bytes32 id) external view returns (bool);
        function isOperationReady(bytes32 id) external view returns (bool);
        function isOperationDone(bytes32 id) external view returns (bool);
        function schedule(
            address target,
            uint256 value,
            bytes calldata data,
            bytes32 predecessor,
            bytes32 salt,
            uint256 delay
        ) external;
        function execute(
            address target,
            uint256 value,
            bytes calldata payload,
            bytes32 predecessor,
            bytes32 salt
        ) external payable;
    }
}
