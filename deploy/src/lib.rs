//! The deployer: compiles the contracts with the pinned tools, exactly as forge does, and deploys what a manifest names.
//!
//! [`toolchain`] finds the project and its pinned EVM tools and runs local nodes. [`foundry`] reads `foundry.toml`, and
//! [`compile`] compiles the Solidity into [`compile::Artifact`]s with the same bytes as forge.
//!
//! A [`manifest`] describes a deployment. [`design`] derives from it, without a chain, every contract with its address
//! and every step. [`inspect`] asks a chain for the status of one step; [`preflight`] and [`rehearsal`] find what would
//! fail before anything is sent; the result is a [`plan`]. [`apply`] executes the remaining steps, and [`verify`]
//! compares the chain with code and manifest.

pub mod abi;
pub mod apply;
pub mod cli;
pub mod compile;
pub mod connection;
pub mod create2;
pub mod design;
pub mod explorer;
mod fees;
pub mod foundry;
pub mod inspect;
pub mod journal;
pub mod manifest;
pub mod packages;
pub mod plan;
pub mod preflight;
pub mod rehearsal;
pub mod report;
pub mod reverts;
pub mod standard_json;
pub mod toolchain;
pub mod verify;
