# What a developer runs. `just` alone lists it.

default:
    @just --list

# Everything, as the tests need it.
build:
    cargo build --all-targets --locked

# All tests, with the peers that they need; `just test rooms` runs those whose name has "rooms" in it.
test *NAME:
    tests/all {{ NAME }}

# Format and lints; a warning fails.
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings

# The documentation; a broken link fails.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# Real calls on the loopback address, told line by line.
demo *ARGS:
    cargo run --release --locked -- demo {{ ARGS }}

# Licences, advisories, bans and sources of the dependencies (needs cargo-deny; fetches advisories).
deny:
    cargo deny check

# What must pass before a commit is shared.
check-all: lint build test doc deny

# Writes fixtures/config/bad.expected anew: read it through before committing it.
expected:
    QINGJIANG_WRITE_EXPECTED=1 cargo test --locked --test config
