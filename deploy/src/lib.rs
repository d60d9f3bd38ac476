//! Finds the pinned tools, compiles the contracts as forge would, and deploys them.
//!
//! [`workspace`] knows where the project is, [`tools`] brings the pinned EVM tools, [`foundry`] reads `foundry.toml`
//! and [`compile`] turns the Solidity into [`compile::Artifact`]s, byte for byte what forge makes of it.
//!
//! A [`manifest`] says what shall be on a chain. [`design`] works out from it, without a chain, every contract with its
//! address and every step; [`look`] asks a chain about one step, [`preflight`] and [`rehearsal`] find what would go
//! wrong before anything is sent, which makes a [`plan`], [`apply`] carries out what is left, and [`verify`] holds the
//! chain against all of it.

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
pub mod journal;
pub mod look;
pub mod manifest;
pub mod node;
pub mod packages;
pub mod plan;
pub mod preflight;
pub mod process;
pub mod progress;
pub mod rehearsal;
pub mod report;
pub mod reverts;
pub mod standard_json;
pub mod tools;
pub mod verify;
pub mod workspace;
