//! A chain with our contracts where x402's clients look for them.

use alloy::{
    primitives::Address,
    providers::{Provider, ext::AnvilApi},
    sol_types::SolValue,
};
use plimsoll_channels::{ERC3009_COLLECTOR, SETTLEMENT};
use plimsoll_testkit::devnet::Devnet;

/// Starts a chain and places the channels contract and its collector at x402's addresses.
pub(super) async fn start() -> eyre::Result<Devnet> {
    start_with(&[]).await
}

/// Starts such a chain with further arguments for Anvil.
pub(super) async fn start_with(arguments: &[&str]) -> eyre::Result<Devnet> {
    let devnet = Devnet::start_with(arguments).await?;
    place(&devnet, "Channels", Vec::new(), SETTLEMENT).await?;
    // The collector keeps the address of the channels contract in its code.
    place(&devnet, "ERC3009Collector", SETTLEMENT.abi_encode(), ERC3009_COLLECTOR).await?;
    Ok(devnet)
}

async fn place(devnet: &Devnet, name: &str, arguments: Vec<u8>, at: Address) -> eyre::Result<()> {
    let deployed = devnet.deploy(name, arguments).await?;
    let code = devnet.provider().get_code_at(deployed).await?;
    Ok(devnet.provider().anvil_set_code(at, code).await?)
}
