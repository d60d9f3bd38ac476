//! An isolated pool of Venus, on its real bytecode. Without the package in tools/venus the tests say that they are skipped.

mod commands;
mod fixture;
mod histories;
