//! Replays of recorded prices.

mod chain;
mod command;
