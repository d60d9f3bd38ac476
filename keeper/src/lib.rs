//! What a keeper decides by: the contracts' arithmetic, and a book of every market and position, kept from events
//! alone, that knows the loans under water at a price without looking at the others.

pub mod book;
pub mod math;
