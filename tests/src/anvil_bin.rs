//! Starts an Anvil, prints its address and the path of a scratch folder, and waits to be killed.

use std::{
    future,
    io::{self, Write},
};

use plimsoll_testkit::{node::Node, scratch::ScratchFolder, workspace::tools};

#[tokio::main]
async fn main() -> eyre::Result<()> {
    let node = Node::start(&tools()?, &[]).await?;
    let scratch = ScratchFolder::new("plimsoll-test-")?;
    writeln!(io::stdout(), "{}\n{}", node.address(), scratch.path().display())?;
    future::pending().await
}
