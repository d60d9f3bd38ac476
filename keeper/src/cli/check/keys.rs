//! Checks that keys load, and the balances of their accounts.

use std::env;

use alloy::primitives::{Address, Bytes, U64, U256};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError, signer::SignerSource};

use super::{Node, request};
use crate::{amount::Amount, config::Config, report::check::CheckReport};

const AREA: &str = "keys";

/// Returns the account that signs liquidations, if its key loads.
pub(super) async fn check(report: &mut CheckReport, config: &Config, node: &Node) -> Option<Address> {
    let signers = &config.signers;
    if signers.liquidations.is_none() {
        report.warn(
            AREA,
            "liquidations",
            "there is no key, so nothing can be sent",
            "name one as `liquidations` in [signers]",
        );
    }
    let first = one(report, config, node, "liquidations", signers.liquidations.as_ref()).await;
    let second = one(report, config, node, "harvests", signers.harvests.as_ref()).await;
    let relays = signers.bundles.clone();
    let load = move |local| relays.map(|source| source.load(local)).transpose();
    let local = node.local;
    match tokio::task::spawn_blocking(move || load(local)).await {
        Ok(Ok(Some(key))) if [first, second].contains(&Some(key.address())) => report.fail(
            AREA,
            "bundles",
            format!("{} signs transactions, and relays see it with every bundle", key.address()),
            "leave `bundles` out, or name a key of its own",
        ),
        Ok(Ok(Some(key))) => report.ok(AREA, "bundles", format!("{}, which signs no transaction", key.address())),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => report.fail(AREA, "bundles", error.to_string(), "see `bundles` in [signers]"),
        Err(error) => report.fail(AREA, "bundles", error.to_string(), "this is a bug: please report it"),
    }
    if let Some(address) = first.filter(|first| Some(*first) == second) {
        report.fail(
            AREA,
            "harvests",
            format!("both keys are that of {address}, whose nonces two signers would take from each other"),
            "leave `harvests` out, or name a key of its own",
        );
    }
    first
}

async fn one(
    report: &mut CheckReport,
    config: &Config,
    node: &Node,
    role: &str,
    source: Option<&SignerSource>,
) -> Option<Address> {
    let (source, local) = (source?.clone(), node.local);
    if let SignerSource::Remote { url_env, address } = source {
        remote(report, role, &url_env, address).await;
        account_report(report, config, node, role, address).await;
        return Some(address);
    }
    // Decrypting a keystore takes about a second of computation.
    let loaded = tokio::task::spawn_blocking(move || source.load(local)).await;
    let signer = match loaded {
        Ok(Ok(signer)) => signer,
        Ok(Err(error)) => {
            report.fail(AREA, role, error.to_string(), format!("see `{role}` in [signers]"));
            return None;
        }
        Err(error) => {
            report.fail(AREA, role, error.to_string(), "this is a bug: please report it");
            return None;
        }
    };
    let address = signer.address();
    account_report(report, config, node, role, address).await;
    Some(address)
}

/// Checks that a remote signer answers. Whether it signs is known only when it has something to sign.
async fn remote(report: &mut CheckReport, role: &str, url_env: &str, address: Address) {
    let remedy = || format!("start the signer, or correct {url_env}");
    let url = env::var(url_env).map_err(|_| format!("the environment variable {url_env} is not set"));
    let endpoint = match url.and_then(|url| url.parse::<Endpoint>().map_err(|error| format!("{url_env}: {error}"))) {
        Ok(endpoint) => endpoint,
        Err(problem) => return report.fail(AREA, role, problem, remedy()),
    };
    let asked = async { request::<_, Vec<Address>>(&endpoint, &endpoint.client().await?, "eth_accounts", ()).await };
    match asked.await {
        Ok(accounts) if accounts.contains(&address) => report.ok(AREA, role, format!("{endpoint} signs for {address}")),
        Ok(accounts) => {
            let has = if accounts.is_empty() {
                "no account".to_owned()
            } else {
                accounts.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
            };
            let what = format!("the remote signer {endpoint} signs for {has}, and not for {address}");
            report.fail(AREA, role, what, format!("give it that key, or correct `{role}` in [signers]"));
        }
        // Some signers tell nobody their accounts.
        Err(ChainError::Refused { .. }) => report.ok(AREA, role, format!("the remote signer {endpoint} answers")),
        Err(error) => report.fail(AREA, role, format!("the remote signer: {error}"), remedy()),
    }
}

async fn account_report(report: &mut CheckReport, config: &Config, node: &Node, role: &str, address: Address) {
    match account(node, address).await {
        Err(error) => report.fail(AREA, role, error.to_string(), "name another node in [[endpoints]]"),
        Ok((balance, nonce, has_code)) => {
            let coin = &config.chain.coin;
            let exact = |wei| Amount::of_wei(wei, coin).exact();
            let what = format!("{address}: {} {coin}, nonce {nonce}", exact(balance));
            let least = config.safety.min_balance;
            if balance < least {
                let remedy = format!("send it {coin}, or lower `min_balance` in [safety]");
                report.fail(AREA, role, format!("{what}, which is less than {}", exact(least)), remedy);
            } else {
                report.ok(AREA, role, what);
            }
            if has_code {
                report.warn(
                    AREA,
                    role,
                    "the account has code, so it has at most one pending transaction",
                    "use an account without code",
                );
            }
        }
    }
}

async fn account(node: &Node, address: Address) -> Result<(U256, u64, bool), ChainError> {
    let at = (address, "latest");
    let balance: U256 = node.request("eth_getBalance", at).await?;
    let nonce: U64 = node.request("eth_getTransactionCount", at).await?;
    let code: Bytes = node.request("eth_getCode", at).await?;
    Ok((balance, nonce.to(), !code.is_empty()))
}
