//! Starts an Anvil, prints its address and waits to be killed.

use std::{
    future,
    io::{self, Write},
};

use plimsoll_testkit::node::Node;
use plimsoll_testkit::workspace::tools;

#[tokio::main]
async fn main() -> eyre::Result<()> {
    let node = Node::start(&tools()?, &[]).await?;
    writeln!(io::stdout(), "{}", node.address())?;
    future::pending().await
}
