//! Everything that needs more than one crate, or the real tools: one module per subject.

mod all;
mod book;
mod bytecode;
mod demo;
mod deploy;
mod docs;
mod follow;
mod fork;
mod gas;
mod keeper;
mod liquidation;
mod math;
mod params;
mod positions;
mod proxy;
mod random;
mod rewards;
mod rig;
mod sender;
mod solidity;
mod store;
mod strategies;
mod stream;
mod support;
mod tools;
mod vectors;
