//! A market on a recorded day.

mod chain;
mod command;
