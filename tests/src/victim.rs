//! Starts a node, says where it is and waits to be killed.

use std::{
    future,
    io::{self, Write},
};

use plimsoll_deploy::{tools::Tools, workspace::Workspace};
use plimsoll_lab::node::Node;

#[tokio::main]
async fn main() -> eyre::Result<()> {
    let node = Node::start(&Tools::ready(&Workspace::find()?)?, &[]).await?;
    writeln!(io::stdout(), "{}", node.address())?;
    future::pending().await
}
