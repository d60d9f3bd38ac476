//! The keeper as people and machines meet it: its page, its data, its command line.

mod browser;
mod cli;
mod page;
mod sample;
mod storms;
