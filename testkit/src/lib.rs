#![doc = include_str!("../README.md")]

pub mod aave_v3;
pub mod borrowers;
pub mod cargo;
pub mod contracts;
pub mod deployment;
pub mod devnet;
pub mod exchange;
pub mod files;
pub mod keeper;
pub mod market;
pub mod market_env;
pub mod morpho_blue;
pub mod observer;
pub mod pairs;
pub mod postgres;
pub mod protocols;
pub mod proxy;
pub mod random;
pub mod recording;
pub mod relay;
pub mod scenario;
pub mod venus;
pub mod venus_core;
pub mod wire;
pub mod workspace;
pub mod x402;

pub use plimsoll_deploy::toolchain::{node, process, scratch};
