//! `plimsoll-keeper watch` on the protocols' real bytecode.

mod commands;
mod fixture;
mod histories;
mod venus;
