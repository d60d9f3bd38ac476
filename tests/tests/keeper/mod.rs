//! The keeper as people and machines meet it – its page, its data, its command line – and as a whole: on its worst nights,
//! killed, and idle.

mod browser;
mod cli;
mod idle;
mod kills;
mod night;
mod nights;
mod page;
mod sample;
mod storms;
