//! The keeper as people and machines meet it – its page, its data, its command line – and as a whole: on its worst nights,
//! killed, and idle.

mod browser;
mod bursts;
mod cli;
mod fixture;
mod idle;
mod kills;
mod page;
mod recovery;
mod sample;
