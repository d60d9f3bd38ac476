//! The keeper as a whole: its page, API and command line; under faults, kills and reorgs; and idle.

mod browser;
mod bursts;
mod cli;
mod commands;
mod endpoints;
mod fixture;
mod idle;
mod kills;
mod op_stack;
mod page;
mod recovery;
mod sample;
mod schema;
