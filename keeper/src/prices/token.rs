//! The part of ERC-20 that the keeper calls.

alloy::sol! {
    /// A token.
    interface IToken {
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 amount) external returns (bool);
    }
}
