//! Submits sources to block explorers, so that everybody can read the code at an address: those with Etherscan's API, and
//! Sourcify.
//!
//! Explorers verify in the background, so their status is polled after a submission. A contract that is verified already
//! is a success.

use std::{env, time::Duration};

use alloy::{
    hex,
    primitives::{Address, B256, Bytes},
};
use plimsoll_chain::{redaction::scrub, secret::Secret};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::standard_json::CompilerInput;

/// Environment variable with the API key of an explorer with Etherscan's API; it is never an argument.
pub const KEY_VARIABLE: &str = "ETHERSCAN_API_KEY";
/// Number of status queries after which a submission is given up; compiling takes explorers seconds.
const MAX_STATUS_QUERIES: usize = 40;
/// Longest time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A block explorer that accepts sources.
#[derive(Debug)]
pub enum Explorer {
    /// Explorer with version 2 of Etherscan's API, one URL for all chains, with its API key.
    Etherscan(Url, Secret<String>),
    /// Sourcify with version 2 of its API.
    Sourcify(Url),
}

/// A contract whose sources are submitted.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// Chain id.
    pub chain_id: u64,
    /// Address of the contract.
    pub address: Address,
    /// ABI-encoded arguments of the constructor.
    pub arguments: &'a Bytes,
    /// Input of the compiler.
    pub input: &'a CompilerInput,
    /// Transaction that created it, if known.
    pub transaction: Option<B256>,
}

/// Result of a successful submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The explorer compiled the sources, and they match.
    Verified,
    /// The contract had been verified before.
    Already,
}

/// Why a submission failed.
#[derive(Debug, thiserror::Error)]
pub enum ExplorerError {
    /// There is no API key.
    #[error("the environment variable {KEY_VARIABLE} is not set; it must hold a key for the explorer")]
    NoKey,
    /// The explorer cannot be reached, or its response is not that of an explorer.
    #[error("{0} does not answer as an explorer does: {1}")]
    Unreachable(String, String),
    /// The explorer rejects the submission.
    #[error("{0} refuses: {1}")]
    Refused(String, String),
    /// The explorer has not finished in time.
    #[error("{0} has not finished; ask again later")]
    Unfinished(String),
}

impl Explorer {
    /// Returns an explorer with Etherscan's API at `url`. Fails if [`KEY_VARIABLE`] is not set.
    pub fn etherscan(url: Url) -> Result<Self, ExplorerError> {
        let key = env::var(KEY_VARIABLE).map(Secret::new).map_err(|_| ExplorerError::NoKey)?;
        Ok(Self::Etherscan(url, key))
    }

    /// Submits a contract and waits for the result, which is queried at intervals of `pause`. Fails if it is not verified.
    pub async fn submit(&self, submission: &Submission<'_>, pause: Duration) -> Result<Outcome, ExplorerError> {
        let client = Client::builder().timeout(REQUEST_TIMEOUT).build();
        let client = client.map_err(|error| self.unreachable(error))?;
        match self {
            Self::Etherscan(url, key) => self.submit_to_etherscan(&client, url, key, submission, pause).await,
            Self::Sourcify(url) => self.submit_to_sourcify(&client, url, submission, pause).await,
        }
    }

    fn name(&self) -> String {
        let (Self::Etherscan(url, _) | Self::Sourcify(url)) = self;
        url.host_str().unwrap_or("the explorer").to_owned()
    }

    fn unreachable(&self, error: impl std::fmt::Display) -> ExplorerError {
        ExplorerError::Unreachable(self.name(), scrub(&error.to_string()).into_owned())
    }

    fn refused(&self, reason: &str) -> ExplorerError {
        ExplorerError::Refused(self.name(), scrub(reason).into_owned())
    }

    /// Sends a request and reads the response. The URL may contain a key, so errors omit it.
    async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, Value), ExplorerError> {
        let answer = request.send().await.map_err(|error| self.unreachable(error.without_url()))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.unreachable(error.without_url()))?;
        let json = serde_json::from_str(&text).map_err(|_| {
            self.unreachable(format!("{status}, and no JSON: {}", text.chars().take(200).collect::<String>()))
        })?;
        Ok((status, json))
    }

    async fn submit_to_etherscan(
        &self,
        client: &Client,
        url: &Url,
        key: &Secret<String>,
        submission: &Submission<'_>,
        pause: Duration,
    ) -> Result<Outcome, ExplorerError> {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("chainid", &submission.chain_id.to_string());
        let fields = [
            ("apikey", key.expose().clone()),
            ("module", "contract".to_owned()),
            ("action", "verifysourcecode".to_owned()),
            ("codeformat", "solidity-standard-json-input".to_owned()),
            ("sourceCode", submission.input.json.to_string()),
            ("contractaddress", submission.address.to_string()),
            ("contractname", submission.input.identifier.clone()),
            ("compilerversion", submission.input.compiler.clone()),
            // The API's original misspelling, and the spelling of its newer versions.
            ("constructorArguements", hex::encode(submission.arguments)),
            ("constructorArguments", hex::encode(submission.arguments)),
        ];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let request = client.post(url.clone()).header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = self.etherscan_answer(request).await?;
        if answer.is_already() {
            return Ok(Outcome::Already);
        }
        if !answer.is_good() {
            return Err(self.refused(&answer.result));
        }
        let ticket = answer.result;
        for _ in 0..MAX_STATUS_QUERIES {
            let mut asked = url.clone();
            asked
                .query_pairs_mut()
                .append_pair("apikey", key.expose())
                .append_pair("module", "contract")
                .append_pair("action", "checkverifystatus")
                .append_pair("guid", &ticket);
            let answer = self.etherscan_answer(client.get(asked)).await?;
            if answer.is_already() {
                return Ok(Outcome::Already);
            }
            if answer.is_good() {
                return Ok(Outcome::Verified);
            }
            if !answer.result.to_lowercase().contains("pending") {
                return Err(self.refused(&answer.result));
            }
            tokio::time::sleep(pause).await;
        }
        Err(ExplorerError::Unfinished(self.name()))
    }

    async fn etherscan_answer(&self, request: RequestBuilder) -> Result<EtherscanAnswer, ExplorerError> {
        let (_, json) = self.ask(request).await?;
        serde_json::from_value(json).map_err(|error| self.unreachable(error))
    }

    async fn submit_to_sourcify(
        &self,
        client: &Client,
        url: &Url,
        submission: &Submission<'_>,
        pause: Duration,
    ) -> Result<Outcome, ExplorerError> {
        let base = url.as_str().trim_end_matches('/');
        let request = json!({
            "stdJsonInput": submission.input.json,
            "compilerVersion": submission.input.compiler.trim_start_matches('v'),
            "contractIdentifier": submission.input.identifier,
            "creationTransactionHash": submission.transaction,
        });
        let target = format!("{base}/v2/verify/{}/{}", submission.chain_id, submission.address);
        let (status, answer) = self.ask(client.post(target).json(&request)).await?;
        if status == StatusCode::CONFLICT {
            return Ok(Outcome::Already);
        }
        let Some(ticket) = answer.get("verificationId").and_then(Value::as_str) else {
            return Err(self.refused(&message_in(&answer)));
        };
        for _ in 0..MAX_STATUS_QUERIES {
            let (_, answer) = self.ask(client.get(format!("{base}/v2/verify/{ticket}"))).await?;
            if answer.get("isJobCompleted").and_then(Value::as_bool) == Some(true) {
                let matches = answer.pointer("/contract/match").is_some_and(Value::is_string);
                return if matches { Ok(Outcome::Verified) } else { Err(self.refused(&message_in(&answer))) };
            }
            tokio::time::sleep(pause).await;
        }
        Err(ExplorerError::Unfinished(self.name()))
    }
}

fn message_in(answer: &Value) -> String {
    let message = answer.pointer("/error/message").or_else(|| answer.get("message")).and_then(Value::as_str);
    message.map_or_else(|| answer.to_string(), str::to_owned)
}

#[derive(Deserialize)]
struct EtherscanAnswer {
    status: String,
    result: String,
}

impl EtherscanAnswer {
    fn is_good(&self) -> bool {
        self.status == "1"
    }

    fn is_already(&self) -> bool {
        self.result.to_lowercase().contains("already verified")
    }
}
