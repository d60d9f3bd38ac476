//! x402's published client pays x402's published server through our contract.

use alloy::{
    primitives::{Address, B256, U256, utils::Unit},
    providers::ext::AnvilApi,
    signers::local::PrivateKeySigner,
    sol_types::SolValue,
};
use eyre::{ContextCompat, ensure};
use plimsoll_channels::SETTLEMENT;
use plimsoll_contracts::IChannels;
use plimsoll_testkit::{
    devnet::{
        Devnet,
        ITestToken::{self, ITestTokenInstance},
    },
    x402,
};
use serde_json::{Value, json};

const TOKEN: &str = "USD Coin";
const MINTED: u64 = 1_000_000;
/// Of the first round, before a claim; one more follows after it.
const REQUESTS: u64 = 100;
const PRICE: u64 = 1_000;
/// What an answer really costs.
const CHARGE: u64 = 700;

#[tokio::test(flavor = "multi_thread")]
async fn the_published_client_pays_through_our_contract() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    x402::place_channels(&devnet).await?;
    let provider = devnet.provider();
    let token = devnet.deploy("ERC3009Token", (TOKEN, U256::from(6)).abi_encode_params()).await?;
    let token = ITestToken::new(token, provider);
    let [payer, signer, authorizer, relayer] = [(); 4].map(|()| PrivateKeySigner::random());
    let receiver = Address::repeat_byte(0x42);
    provider.anvil_set_balance(relayer.address(), Unit::ETHER.wei()).await?;
    token.mint(payer.address(), U256::from(MINTED)).from(devnet.deployer()).send().await?.get_receipt().await?;

    let task = json!({
        "rpc": devnet.node.http_url(),
        "token": token.address(),
        "tokenName": TOKEN,
        "requests": REQUESTS,
        "price": PRICE.to_string(),
        "charge": CHARGE.to_string(),
        "payer": payer.to_bytes(),
        "signer": signer.to_bytes(),
        "receiver": receiver,
        "authorizer": authorizer.to_bytes(),
        "relayer": relayer.to_bytes(),
    });
    let Some(result) = x402::run_script("pay.mjs", &[task.to_string()])? else { return Ok(()) };

    // Deposits of five requests' price or more, made when the balance no longer covered the next ceiling.
    let deposits = result["deposits"].as_array().wrap_err("no deposits")?;
    ensure!(deposits.len() > 1, "the channel was never topped up: {result}");
    ensure!(text(&result["channelConfig"]["payerAuthorizer"])?.parse::<Address>()? == signer.address(), "{result}");
    let receivers = text(&result["channelConfig"]["receiverAuthorizer"])?.parse::<Address>()?;
    ensure!(receivers == authorizer.address(), "{result}");

    // The last answer was paid after the claim, and claimed with the refund that gave back all the rest.
    let charged = U256::from((REQUESTS + 1) * CHARGE);
    let id: B256 = text(&result["charged"]["channelId"])?.parse()?;
    let channels = IChannels::new(SETTLEMENT, provider);
    let state = channels.channels(id).call().await?;
    ensure!(U256::from(state.balance) == charged && U256::from(state.totalClaimed) == charged, "{result}");
    ensure!(channels.refundNonce(id).call().await? == U256::from(1), "{result}");
    ensure!(balance(&token, payer.address()).await? == U256::from(MINTED) - charged, "the payer paid something else");

    // The first round was settled by the server; the rest by anyone.
    ensure!(balance(&token, receiver).await? == U256::from(REQUESTS * CHARGE), "the receiver was paid something else");
    channels.settle(receiver, *token.address()).from(devnet.deployer()).send().await?.get_receipt().await?;
    ensure!(balance(&token, receiver).await? == charged, "the receiver was paid something else in the end");
    ensure!(balance(&token, SETTLEMENT).await?.is_zero(), "something is left in the contract");
    Ok(())
}

async fn balance<P: alloy::providers::Provider>(token: &ITestTokenInstance<P>, of: Address) -> eyre::Result<U256> {
    Ok(token.balanceOf(of).call().await?)
}

fn text(value: &Value) -> eyre::Result<&str> {
    value.as_str().wrap_err_with(|| format!("{value} is no text"))
}
