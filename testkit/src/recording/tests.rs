//! Tests of the file format and its errors, and of the answers about blocks and state.

use std::{fs, io::Write, path::Path};

use alloy::primitives::{Address, U256};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Account, Recording, playback::Read};
use crate::proxy::rpc::Request;

const BLOCK: u64 = 0x10;

fn small() -> Recording {
    let block = json!({
        "number": "0x10", "hash": "0xaa", "parentHash": "0xbb", "timestamp": "0x64", "baseFeePerGas": "0x7",
        "gasLimit": "0x1c9c380", "uncles": [], "transactions": [{ "hash": "0xcc" }],
    });
    let storage = [(U256::from(1), U256::from(2))].into();
    let account = Account { balance: U256::from(3), nonce: 4, code: vec![0xfe].into(), storage };
    let accounts = [(Address::ZERO, account), (Address::repeat_byte(1), Account::default())].into();
    Recording { source: "a test".to_owned(), chain_id: 5, number: BLOCK, block, accounts }
}

fn written() -> (TempDir, [std::path::PathBuf; 2]) {
    let folder = TempDir::new().unwrap();
    let files = small().write(folder.path()).unwrap();
    (folder, files)
}

fn refusal(folder: &Path) -> String {
    Recording::read(folder, BLOCK).unwrap_err().to_string()
}

fn ask(method: &str, params: &[Value]) -> (Value, Option<Read>) {
    let (reply, read) = small().answer(&Request::new(method, params.to_vec()));
    (reply.unwrap(), read)
}

#[test]
fn a_recording_that_was_written_is_read_unchanged() {
    let (folder, _) = written();
    let (read, was) = (Recording::read(folder.path(), BLOCK).unwrap(), small());
    assert_eq!((read.accounts, read.block, read.chain_id), (was.accounts, was.block, was.chain_id));
}

#[test]
fn a_recording_without_a_chain_id_is_of_mainnet() {
    let (folder, [state, _]) = written();
    pack(&state, r#"{"source":"","block_number":16,"accounts":{}}"#);
    assert_eq!(Recording::read(folder.path(), BLOCK).unwrap().chain_id(), 1);
}

#[test]
fn the_error_about_a_missing_file_names_it_and_the_command_that_makes_one() {
    let (folder, [_, block]) = written();
    fs::remove_file(&block).unwrap();
    let refusal = refusal(folder.path());
    assert!(refusal.starts_with(&block.display().to_string()) && refusal.contains("lab record"), "{refusal}");
}

#[test]
fn the_error_about_a_truncated_or_uncompressed_file_names_it_and_the_position() {
    let (folder, [state, _]) = written();
    let whole = fs::read(&state).unwrap();
    fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    let refused = refusal(folder.path());
    assert!(refused.starts_with(&format!("{} is damaged after ", state.display())), "{refused}");
    fs::write(&state, "{}").unwrap();
    let refused = refusal(folder.path());
    assert!(refused.starts_with(&format!("{} is damaged after 0 bytes", state.display())), "{refused}");
}

#[test]
fn the_error_about_a_file_that_is_no_recording_names_it_with_line_and_column() {
    let (folder, [state, _]) = written();
    pack(&state, r#"{"source":"","block_number":16,"accounts":{"0x01":{}}}"#);
    let refusal = refusal(folder.path());
    assert!(refusal.starts_with(&state.display().to_string()) && refusal.contains("line 1 column"), "{refusal}");
}

#[test]
fn a_file_that_holds_another_block_is_refused() {
    let (folder, [state, block]) = written();
    pack(&block, r#"{"number":"0x11"}"#);
    assert!(refusal(folder.path()).contains("is about block \"0x11\", not 16"));
    pack(&state, r#"{"source":"","block_number":17,"accounts":{}}"#);
    assert!(refusal(folder.path()).contains("is about block 17, not 16"));
}

#[test]
fn adding_to_a_recording_of_another_chain_is_refused_and_changes_nothing() {
    let (folder, _) = written();
    let mut other = small();
    other.block["hash"] = json!("0xdd");
    let refusal = other.add_to(folder.path()).unwrap_err().to_string();
    assert!(refusal.contains("is block \"0xaa\", not \"0xdd\": another chain's"), "{refusal}");
    assert_eq!(Recording::read(folder.path(), BLOCK).unwrap().block, small().block);
}

#[test]
fn the_error_about_an_unwritable_folder_names_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refusal = small().write(&file.join("below")).unwrap_err().to_string();
    assert!(refusal.contains("below cannot be written"), "{refusal}");
}

#[test]
fn the_parent_block_is_derived_from_the_recorded_block() {
    let (before, read) = ask("eth_getBlockByNumber", &[json!("0xf"), json!(true)]);
    assert_eq!((&before["number"], &before["hash"]), (&json!("0xf"), &json!("0xbb")));
    assert_eq!((&before["timestamp"], &before["transactions"]), (&json!("0x63"), &json!([])));
    assert_eq!(read, None);
    assert_eq!(ask("eth_getBlockByHash", &[json!("0xbb"), json!(true)]).0, before);
}

#[test]
fn a_block_is_returned_with_transactions_or_with_their_hashes() {
    assert_eq!(ask("eth_getBlockByNumber", &[json!("latest"), json!(true)]).0["transactions"][0]["hash"], "0xcc");
    assert_eq!(ask("eth_getBlockByHash", &[json!("0xaa"), json!(false)]).0["transactions"], json!(["0xcc"]));
}

#[test]
fn a_read_of_a_slot_that_was_not_recorded_is_reported() {
    let slot = |slot: &str| ask("eth_getStorageAt", &[json!(Address::ZERO), json!(slot), json!("0xf")]);
    assert_eq!(slot("0x1").1, None);
    assert_eq!(slot("0x2").1, Some(Read::Slot(Address::ZERO, U256::from(2))));
    let nobody = Address::repeat_byte(2);
    let (balance, read) = ask("eth_getBalance", &[json!(nobody), json!({ "blockHash": "0xbb" })]);
    assert_eq!((balance, read), (json!("0x0"), Some(Read::Account(nobody))));
}

fn pack(file: &Path, text: &str) {
    let mut encoder = GzEncoder::new(fs::File::create(file).unwrap(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap();
}
