//! Gives sources to block explorers, so that everybody can read what stands at an address: those that speak Etherscan's
//! language, and Sourcify.
//!
//! They work in the background, so after handing in we ask until they are done. A contract that they have already is
//! fine.

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

/// Holds the key of an explorer that speaks Etherscan's language; it is never an argument.
pub const KEY_VARIABLE: &str = "ETHERSCAN_API_KEY";
/// Compiling takes explorers seconds; after this many times nothing will come any more.
const MAX_ASKED: usize = 40;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Where sources are handed in.
#[derive(Debug)]
pub enum Explorer {
    /// In Etherscan's language, version 2: one address for all chains.
    Etherscan(Url, Secret<String>),
    /// Sourcify, version 2.
    Sourcify(Url),
}

/// A contract to show.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// The chain.
    pub chain_id: u64,
    /// Where it is.
    pub address: Address,
    /// What its constructor was given.
    pub arguments: &'a Bytes,
    /// What it was compiled from.
    pub input: &'a CompilerInput,
    /// What created it, if that is known.
    pub transaction: Option<B256>,
}

/// How an explorer took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It compiled the sources and found them to match.
    Verified,
    /// It had them already.
    Already,
}

/// Why an explorer does not show a contract.
#[derive(Debug, thiserror::Error)]
pub enum ExplorerError {
    /// It wants a key.
    #[error("the environment variable {KEY_VARIABLE} is not set; it must hold a key for the explorer")]
    NoKey,
    /// It does not answer, or not in its language.
    #[error("{0} does not answer as an explorer does: {1}")]
    Unreachable(String, String),
    /// It refuses.
    #[error("{0} refuses: {1}")]
    Refused(String, String),
    /// It takes too long.
    #[error("{0} has not finished; ask again later")]
    Unfinished(String),
}

impl Explorer {
    /// An explorer that speaks Etherscan's language, with the key from the environment.
    pub fn etherscan(url: Url) -> Result<Self, ExplorerError> {
        let key = env::var(KEY_VARIABLE).map(Secret::new).map_err(|_| ExplorerError::NoKey)?;
        Ok(Self::Etherscan(url, key))
    }

    /// Hands a contract in and waits until the explorer is done, asking every `pause`.
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

    /// Sends a request and reads the answer. The URL may hold a key, so errors go without it.
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
            // The API's own spelling, and its right one since.
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
        for _ in 0..MAX_ASKED {
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
        for _ in 0..MAX_ASKED {
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
