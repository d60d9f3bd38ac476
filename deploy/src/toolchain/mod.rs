//! The toolchain: the project's root, the pinned EVM tools, and the processes and local nodes that run them.
//!
//! [`workspace`] knows the project's root and its locks, [`tools`] installs and names the pinned tools, [`process`]
//! runs a child that ends with its parent, [`node`] is an Anvil, [`scratch`] a temporary folder that never outlives its
//! process, and [`progress`] writes progress to stderr.

pub mod node;
pub mod process;
pub mod progress;
pub mod scratch;
pub mod tools;
pub mod workspace;
