# The menu. Every recipe is one call of `cargo xtask`.

# list the recipes
default:
    @just --list

# build and run a cluster with a sample workload
up *ARGS:
    cargo xtask up {{ARGS}}

# run every test
test *ARGS:
    cargo xtask test {{ARGS}}

# build workloads/ into target/workloads
workloads:
    cargo xtask workloads

# measure against named peers
bench *NAMES:
    cargo xtask bench {{NAMES}}

# replay exchanges with a real API server, and print what differs
oracle *ARGS:
    cargo xtask oracle {{ARGS}}

# search for inputs that a parser cannot take
fuzz *ARGS:
    cargo xtask fuzz {{ARGS}}

# rustfmt and clippy
lint:
    cargo xtask lint
