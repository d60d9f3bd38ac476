//! Signed statements of what was answered, and their check by computing the answer again.

use std::borrow::Cow;

use alloy::{
    primitives::{Address, B256, Bytes, U256, hex, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{Eip712Domain, SolStruct},
};
use plimsoll_channels::recover_signer;
use plimsoll_contracts::IJobs;
use serde::{Deserialize, Serialize};

use crate::{engine::Engine, generation::result_hash, x402::Amount};

/// A receipt as JSON, with what its signature is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedReceipt {
    pub(crate) chain_id: u64,
    pub(crate) jobs: Address,
    pub(crate) node: u32,
    pub(crate) kind: B256,
    pub(crate) request_hash: B256,
    pub(crate) result_hash: B256,
    /// What the result is made from, besides the answer. It is not signed: the result is.
    #[serde(default)]
    pub(crate) trace: B256,
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
    pub(crate) issued_at: u64,
    pub(crate) channel_id: B256,
    pub(crate) charged: Amount,
    pub(crate) signer: Address,
    #[serde(default)]
    pub(crate) signature: Bytes,
}

impl SignedReceipt {
    fn digest(&self) -> eyre::Result<B256> {
        let domain = Eip712Domain::new(
            Some(Cow::Borrowed("Plimsoll Nodes")),
            Some(Cow::Borrowed("1")),
            Some(U256::from(self.chain_id)),
            Some(self.jobs),
            None,
        );
        let receipt = self.to_contract()?;
        Ok(receipt.eip712_signing_hash(&domain))
    }

    pub(crate) fn sign(mut self, key: &PrivateKeySigner) -> eyre::Result<Self> {
        self.signer = key.address();
        self.signature = key.sign_hash_sync(&self.digest()?)?.as_bytes().into();
        Ok(self)
    }

    /// Whether it is about this answer.
    pub(crate) fn is_about(&self, answer: &str) -> bool {
        result_hash(answer.as_bytes(), self.trace) == self.result_hash
    }

    /// As the contract takes it.
    pub(crate) fn to_contract(&self) -> eyre::Result<IJobs::Receipt> {
        Ok(IJobs::Receipt {
            node: self.node,
            kind: self.kind,
            requestHash: self.request_hash,
            resultHash: self.result_hash,
            promptTokens: self.prompt_tokens,
            completionTokens: self.completion_tokens,
            issuedAt: self.issued_at.try_into()?,
            channelId: self.channel_id,
            charged: self.charged.0,
        })
    }

    /// Whether it was signed by the account that it names.
    pub(crate) fn is_signed(&self) -> bool {
        self.digest().is_ok_and(|digest| recover_signer(digest, &self.signature) == Ok(self.signer))
    }
}

/// What a client keeps of an answer, to check it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptFile {
    pub(crate) receipt: SignedReceipt,
    pub(crate) input: String,
}

/// What a check of a receipt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer is the kind's.
    Equal,
    /// It is another one; the right answer is this.
    Different(String),
    /// Nothing is shown either way.
    Uncheckable(String),
}

/// Computes a receipt's answer again and compares.
pub(crate) async fn verify(engine: &Engine, file: &ReceiptFile) -> eyre::Result<Verdict> {
    let receipt = &file.receipt;
    let uncheckable = |reason: String| Ok(Verdict::Uncheckable(reason));
    if !receipt.is_signed() {
        return uncheckable(format!("the receipt is not signed by {}", receipt.signer));
    }
    if receipt.kind != engine.kind.id {
        return uncheckable(format!(
            "the receipt is of kind {}, this machine computes {}",
            receipt.kind, engine.kind.id
        ));
    }
    let Ok(input) = hex::decode(&file.input) else { return uncheckable("the input is not hexadecimal".to_owned()) };
    if keccak256(&input) != receipt.request_hash {
        return uncheckable("the input is not the one that the receipt names".to_owned());
    }
    let outcome = engine.answer(input, |_| true).await?;
    let is_equal = outcome.result_hash() == receipt.result_hash;
    Ok(if is_equal { Verdict::Equal } else { Verdict::Different(outcome.answer) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        generation::Input,
        kind::Kind,
        script::{Letters, Script},
    };

    #[tokio::test]
    async fn a_receipt_is_equal_different_or_uncheckable() -> eyre::Result<()> {
        let engine =
            Engine::new(Kind::load(None)?, std::sync::Arc::new(Letters::default()), Box::new(Script::default()), 1);
        let input = Input { prompt: "x".to_owned(), max_tokens: 5, temperature_milli: 0, seed: 0 }.encode();
        let outcome = engine.answer(input.clone(), |_| true).await?;
        let key = PrivateKeySigner::random();
        let right = SignedReceipt {
            chain_id: 1,
            jobs: Address::ZERO,
            node: 1,
            kind: engine.kind.id,
            request_hash: keccak256(&input),
            result_hash: outcome.result_hash(),
            trace: outcome.trace,
            prompt_tokens: 1,
            completion_tokens: 5,
            issued_at: 9,
            channel_id: B256::ZERO,
            charged: Amount(3),
            signer: Address::ZERO,
            signature: Bytes::new(),
        };
        let check = async |receipt: SignedReceipt, input: &[u8]| {
            verify(&engine, &ReceiptFile { receipt, input: hex::encode_prefixed(input) }).await
        };
        let signed = right.clone().sign(&key)?;
        assert_eq!(check(signed.clone(), &input).await?, Verdict::Equal);
        let lie = SignedReceipt { result_hash: B256::ZERO, ..right.clone() }.sign(&key)?;
        assert_eq!(check(lie, &input).await?, Verdict::Different(outcome.answer));
        for wrong in [
            right.clone(),
            SignedReceipt { charged: Amount(4), ..signed.clone() },
            SignedReceipt { chain_id: 2, ..signed.clone() },
            SignedReceipt { kind: B256::ZERO, ..right }.sign(&key)?,
        ] {
            assert!(matches!(check(wrong, &input).await?, Verdict::Uncheckable(_)));
        }
        assert!(matches!(check(signed, b"other").await?, Verdict::Uncheckable(_)));
        Ok(())
    }
}
