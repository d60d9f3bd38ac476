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

    /// Manager of roles of OpenZeppelin.
    interface IAccessManager {
        event RoleGranted(uint64 indexed roleId, address indexed account, uint32 delay, uint48 since, bool newMember);

        function getTargetFunctionRole(address target, bytes4 selector) external view returns (uint64);
        function getRoleGuardian(uint64 roleId) external view returns (uint64);
        function hasRole(uint64 roleId, address account) external view returns (bool isMember, uint32 executionDelay);
        function labelRole(uint64 roleId, string calldata label) external;
        function setTargetFunctionRole(address target, bytes4[] calldata selectors, uint64 roleId) external;
        function setRoleAdmin(uint64 roleId, uint64 admin) external;
        function setRoleGuardian(uint64 roleId, uint64 guardian) external;
        function setGrantDelay(uint64 roleId, uint32 newDelay) external;
        function setTargetAdminDelay(address target, uint32 newDelay) external;
        function setTargetClosed(address target, bool closed) external;
        function updateAuthority(address target, address newAuthority) external;
        function grantRole(uint64 roleId, address account, uint32 executionDelay) external;
        function revokeRole(uint64 roleId, address account) external;
        function renounceRole(uint64 roleId, address callerConfirmation) external;
        function execute(address target, bytes calldata data) external payable returns (uint32);
        function multicall(bytes[] calldata data) external returns (bytes[] memory results);
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
