//! Deploys Plimsoll: installs the pinned tools, compiles the contracts as forge would, and makes a chain match a manifest.
//!
//! [`toolchain`] finds the repository, installs the pinned EVM tools and runs them. [`foundry`] reads `foundry.toml`, and
//! [`compile`] turns the Solidity into [`compile::Artifact`]s, byte for byte what forge makes of it.
//!
//! A [`manifest`] describes what shall be on a chain. [`design`] computes from it, without a chain, every contract with
//! its address and every step. [`inspect`] finds out on the chain how far a step is, [`preflight`] and [`rehearsal`] find
//! what would fail before anything is sent; together they make a [`plan`]. [`apply`] executes the steps that are left, and
//! [`verify`] compares the chain with the code and the manifest. [`governance`] simulates proposals and takes them from their
//! beginning to their execution. [`app`] builds and serves the page for what is deployed.

pub mod abi;
pub mod app;
pub mod apply;
pub mod cli;
pub mod compile;
pub mod connection;
pub mod create2;
pub mod design;
pub mod explorer;
mod fees;
pub mod foundry;
mod gas;
pub mod governance;
pub mod inspect;
pub mod journal;
pub mod manifest;
pub mod min_debt;
pub mod packages;
pub mod plan;
pub mod preflight;
pub mod rehearsal;
pub mod report;
pub mod restricted;
pub mod reverts;
pub mod safe;
pub mod seed;
pub mod standard_json;
pub mod toolchain;
mod vault_text;
pub mod verify;
