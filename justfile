# `just` lists these; each is a plain command that works without `just`, too.

default:
    @just --list

# Everything that must pass before a merge.
ci *stages:
    .ci/run {{stages}}

# The whole test suite: Rust, Solidity, and both together on local chains.
test *filter:
    cargo test {{filter}}

# Formatting, lints, spelling and vocabulary.
lint:
    .ci/run lint

# A day of falling prices on a local chain, with a keeper and its dashboard.
demo *arguments:
    cargo demo {{arguments}}

# Gas of every call beside Morpho Blue's, and how it differs from the table in git.
gas:
    cargo lab gas --diff lab/gas.json

# Every measurement, one file each.
measure folder="target/figures":
    cargo lab all --json {{folder}}

# The documents as a book in target/book.
book:
    .ci/run docs

# Release binaries in target/release.
build:
    cargo build --release -p plimsoll-deploy -p plimsoll-keeper
