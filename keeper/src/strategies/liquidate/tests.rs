//! Rounds against a market of the book's own arithmetic and an exchange of constant product.

mod bench;
mod choosing;
mod reasons;
mod watching;
mod whales;
