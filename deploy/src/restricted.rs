//! The functions that owners and curators may call, and whether a call raises or lowers the risk of those whose money is in
//! the contract.

/// What a function does to the risk of lenders and depositors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It may raise risk or take income, so it waits longer than an exit takes.
    Raises,
    /// It can only lower risk, so it must not wait.
    Lowers,
}

/// A function that its contract's owner, curator or guardian may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restricted {
    /// Name of the contract in Solidity.
    pub contract: &'static str,
    /// Name of the function.
    pub function: &'static str,
    /// What a call does.
    pub effect: Effect,
}

const fn raises(contract: &'static str, function: &'static str) -> Restricted {
    Restricted { contract, function, effect: Effect::Raises }
}

const fn lowers(contract: &'static str, function: &'static str) -> Restricted {
    Restricted { contract, function, effect: Effect::Lowers }
}

/// All such functions. Those of a vault that lower risk check that themselves: called directly, `setCap` raises no cap.
/// `acceptOwnership` counts, because without a role it would be the administrators' alone, whom nobody could stop.
pub const RESTRICTED: [Restricted; 21] = [
    raises("Plimsoll", "setFee"),
    raises("Plimsoll", "setFeeRecipient"),
    raises("Plimsoll", "setBackstop"),
    raises("Plimsoll", "transferOwnership"),
    raises("Plimsoll", "acceptOwnership"),
    raises("Backstop", "announceLimit"),
    lowers("Backstop", "cancelLimit"),
    raises("Backstop", "transferCuratorship"),
    raises("Backstop", "acceptCuratorship"),
    raises("Vault", "submit"),
    raises("Vault", "nudgeCap"),
    raises("Vault", "transferOwnership"),
    raises("Vault", "acceptOwnership"),
    lowers("Vault", "revoke"),
    lowers("Vault", "setCap"),
    lowers("Vault", "setFee"),
    lowers("Vault", "setMaxRate"),
    lowers("Vault", "setAllocator"),
    lowers("Vault", "removeMarket"),
    lowers("Vault", "deallocate"),
    lowers("Vault", "setDepositMarket"),
];
