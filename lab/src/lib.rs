//! The rig that demo, measurements and tests share: nodes of our own, deployed contracts, positions to begin with.
//!
//! [`node`] is an Anvil, which ends with us like every [`process`] that we start, [`rig`] puts contracts on it,
//! [`market`] is a market to begin with, [`exchange`] a real exchange, [`stage`] everything that a manifest makes, with a
//! [`crowd`] of borrowers where one is wanted; a [`venue`] is a market there with all that moves it, and a [`play`] has it
//! go on block by block beside a [`keeper`]. [`demo`] shows what Plimsoll does, [`replay`] what a market would have done
//! on a recorded day, and [`gas`] what calls cost. [`book`] measures the keeper's memory of a chain, [`observer`] sees
//! what a node announces and when, [`proxy`] is a node that misbehaves, [`recording`] the past of a real chain, and
//! [`mutants`] measures the tests. What they leave on disk goes through [`output`], pictures for those who see no SVG
//! through [`png`].

pub mod all;
pub mod book;
pub mod calendar;
pub mod chart;
pub mod cli;
pub mod crowd;
pub mod demo;
pub mod exchange;
pub mod gas;
pub mod keeper;
pub mod market;
pub mod mutants;
pub mod observer;
pub mod output;
pub mod package;
pub mod play;
pub mod png;
pub mod proxy;
pub mod random;
pub mod reaction;
pub mod recording;
pub mod replay;
pub mod rig;
pub mod stage;
pub mod storm;
pub mod venue;

pub use plimsoll_deploy::{node, process};
