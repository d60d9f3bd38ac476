//! The program `plimsoll-node`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plimsoll_node::main()
}
