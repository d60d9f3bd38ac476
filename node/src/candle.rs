//! The model on candle: llama in GGUF on the processor.

use std::{collections::HashMap, fs, io::Cursor, path::Path, sync::Arc};

use candle_core::{
    Device, Tensor,
    quantized::{gguf_file::Content, tokenizer::TokenizerFromGguf},
};
use candle_transformers::models::quantized_llama::ModelWeights;
use eyre::{WrapErr, ensure, eyre};
use sha2::{Digest, Sha256};
use tokenizers::{
    Tokenizer,
    pre_tokenizers::{byte_level::ByteLevel, digits::Digits, sequence::Sequence},
};

use crate::{
    generation::{Model, Vocabulary},
    kind::ModelFile,
};

struct Words {
    tokenizer: Tokenizer,
    bytes: Vec<Vec<u8>>,
}

struct Llama(ModelWeights);

/// Reads a model file into memory, checks it against the kind and loads it.
pub(crate) fn load(path: &Path, stated: &ModelFile) -> eyre::Result<(Arc<dyn Vocabulary>, Box<dyn Model>)> {
    let data =
        fs::read(path).wrap_err_with(|| format!("{}: fetch it by `plimsoll-node model import`", path.display()))?;
    // A cut or longer file is told at once, by its length.
    ensure!(
        u64::try_from(data.len())? == stated.bytes,
        "{}: it has {} bytes, the kind states {}; import it again",
        path.display(),
        data.len(),
        stated.bytes
    );
    let hash = alloy::hex::encode(Sha256::digest(&data));
    ensure!(
        hash == stated.sha256,
        "{}: sha256 is {hash}, the kind states {}; import it again",
        path.display(),
        stated.sha256
    );
    from_bytes(&data)
}

fn from_bytes(data: &[u8]) -> eyre::Result<(Arc<dyn Vocabulary>, Box<dyn Model>)> {
    let mut reader = Cursor::new(data);
    let content = Content::read(&mut reader)?;
    let mut tokenizer = Tokenizer::from_gguf(&content)?;
    // SmolLM splits digits, and begins without a space; candle knows neither.
    let steps = vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()];
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
    let bytes = token_bytes(&tokenizer)?;
    let model = ModelWeights::from_gguf(content, &mut reader, &Device::Cpu)?;
    Ok((Arc::new(Words { tokenizer, bytes }), Box::new(Llama(model))))
}

/// Loads a model with its weights in another quantisation, which takes less memory and gives other answers.
#[cfg(feature = "demonstration")]
pub(crate) fn load_requantised(path: &Path, stated: &ModelFile) -> eyre::Result<(Arc<dyn Vocabulary>, Box<dyn Model>)> {
    use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
    // So that it lies about this model, and not about a file that nobody knows.
    load(path, stated)?;
    let data = fs::read(path)?;
    let mut reader = Cursor::new(&data);
    let content = Content::read(&mut reader)?;
    let mut tensors = Vec::new();
    for name in content.tensor_infos.keys() {
        let tensor = content.tensor(&mut reader, name, &Device::Cpu)?;
        let tensor = match tensor.dtype() {
            GgmlDType::F32 => tensor,
            _ => QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q4_0)?,
        };
        tensors.push((name.as_str(), tensor));
    }
    let metadata: Vec<_> = content.metadata.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let mut written = Cursor::new(Vec::new());
    gguf_file::write(&mut written, &metadata, &tensors)?;
    from_bytes(written.get_ref())
}

/// Bytes of each token: a vocabulary writes every byte as a printable character.
fn token_bytes(tokenizer: &Tokenizer) -> eyre::Result<Vec<Vec<u8>>> {
    let mut characters = HashMap::new();
    let mut further = 256;
    for byte in 0..=255_u8 {
        let is_printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if is_printable { u32::from(byte) } else { further };
        further += u32::from(!is_printable);
        characters.insert(char::from_u32(code).ok_or_else(|| eyre!("{code} is no character"))?, byte);
    }
    let size = u32::try_from(tokenizer.get_vocab_size(true))?;
    let added = tokenizer.get_added_tokens_decoder();
    Ok((0..size)
        .map(|id| {
            // Special tokens have no text.
            let text = if added.contains_key(&id) { None } else { tokenizer.id_to_token(id) };
            text.unwrap_or_default().chars().filter_map(|character| characters.get(&character).copied()).collect()
        })
        .collect())
}

impl Vocabulary for Words {
    fn encode(&self, text: &str) -> eyre::Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|error| eyre!("{error}"))?;
        Ok(encoding.get_ids().to_vec())
    }

    fn bytes(&self, token: u32) -> &[u8] {
        usize::try_from(token).ok().and_then(|at| self.bytes.get(at)).map_or(&[], Vec::as_slice)
    }
}

impl Model for Llama {
    fn logits(&mut self, tokens: &[u32], position: usize) -> eyre::Result<Vec<f32>> {
        if position == 0 {
            self.0.clear_kv_cache();
        }
        let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        Ok(self.0.forward(&input, position)?.squeeze(0)?.to_vec1()?)
    }
}
