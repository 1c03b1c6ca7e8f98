# The project's commands. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
# Each step prints its title and how long it took.
TIMED := scripts/timed
TARGET := $(or $(CARGO_TARGET_DIR),target)
SAMARA := $(abspath $(TARGET)/release/samara)
PYTHON := .venv/bin/python
FUNCTIONS := classify embed identify listen read score
# The guests on this machine: built where the host is, as they have most of their dependencies in common.
ON_HOST := --manifest-path functions/Cargo.toml --target-dir "$(TARGET)"
# A lock file that does not fit is mended at a desk and refused in CI.
LOCKED := $(if $(CI),--locked)

.PHONY: help
help: ## List the commands
	@echo "usage: make COMMAND"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

# === Set up and build ===

.PHONY: setup
setup: ## Install everything that the commands below need
	@scripts/setup.sh all

.PHONY: toolchain
toolchain:
	@scripts/setup.sh toolchain

.PHONY: engine
engine: toolchain ## Build the engine, the guest that runs models, and the adapter, to wasm
	@$(TIMED) "build the engine and the adapter" functions/build.sh engine nn

# The command carries the engine, but what takes long in it does not; and the engine's links keep a single core busy for minutes.
.PHONY: build
build: toolchain ## Build the command: target/release/samara
	@scripts/beside $(TIMED) "build what the command is made of" $(CARGO) build --release $(LOCKED) --workspace \
	    --exclude samara-compiler --exclude samara-cli --exclude samara-tests --exclude samara-bench --features samara-nn/openvino \
	    -- $(TIMED) "build the engine and the adapter" functions/build.sh engine nn
	@$(TIMED) "build the command" $(CARGO) build --release $(LOCKED) --package samara-cli
	@echo "built: $(SAMARA)"

.PHONY: functions
functions: build ## Build the functions: target/functions/*.wasm
	@$(TIMED) "build the functions" functions/build.sh $(FUNCTIONS)
	@$(MAKE) linked-functions

.PHONY: linked-functions
linked-functions:
	@mkdir -p target/functions
	@for function in $(FUNCTIONS); do \
	    $(SAMARA) link functions/target/$$function/samara-$$function.wasm -o target/functions/$$function.wasm >/dev/null; \
	done

# === Use ===

.PHONY: run
run: build ## Compile a model, serve it, classify photos, stop
	@scripts/setup.sh demo-model
	@scripts/run.sh

.PHONY: bench
bench: functions ## Run the benchmarks
	@scripts/setup.sh models bench-tools
	@RUST_BACKTRACE=0 $(TIMED) "benchmarks" $(CARGO) run --release $(LOCKED) --package samara-bench

# What it compares with is built and installed here, as nothing else needs it.
.PHONY: bench-peers
bench-peers: build ## Compare with other runtimes; writes docs/performance.*
	@scripts/setup.sh models peer-tools
	@$(TIMED) "build the naive function" functions/build.sh naive-program
	@$(TIMED) "build rten's program" $(CARGO) build --release $(LOCKED) --manifest-path benches/peers/rten/Cargo.toml \
	    --target-dir target/peers
	@RUST_BACKTRACE=0 $(TIMED) "comparison" $(CARGO) run --release $(LOCKED) --package samara-bench -- peers

.PHONY: bench-node
bench-node: build ## Put a node under load: overload, neighbours, growth, other servers, faults
	@scripts/setup.sh models bench-tools node-tools
	@RUST_BACKTRACE=0 $(TIMED) "a node under load" $(CARGO) run --release $(LOCKED) --package samara-bench -- node

.PHONY: exports
exports: build ## Hold networks that PyTorch exports against ONNX Runtime; writes docs/exports.md
	@scripts/setup.sh export-tools
	@SAMARA_BIN="$(SAMARA)" $(TIMED) "exports" .venv-exports/bin/python models/exports.py

# === Check ===

# Of the guests, tests and no libraries: cargo gives a cdylib's files no hash in their names, so that they would take the place of
# those that the host's benchmarks are linked with.
.PHONY: test
test: build ## Run all tests: Rust, documentation, Python
	@scripts/beside $(TIMED) "build the functions and the program of the tests" functions/build.sh $(FUNCTIONS) wasi-nn-program \
	    -- scripts/setup.sh models test-tools
	@$(MAKE) linked-functions
	@SAMARA_BIN="$(SAMARA)" SAMARA_REQUIRE_ORT=1 SAMARA_REQUIRE_OPENVINO=1 VIRTUAL_ENV="$(abspath .venv)" \
	    $(TIMED) "Rust tests" $(CARGO) nextest run --release $(LOCKED) --workspace
	@$(TIMED) "guest tests" $(CARGO) nextest run --release $(LOCKED) $(ON_HOST) --workspace --exclude samara-engine --tests
	@$(TIMED) "documentation tests" $(CARGO) test --doc --release $(LOCKED) --workspace
	@SAMARA_BIN="$(SAMARA)" $(TIMED) "Python tests" $(PYTHON) -m pytest tests/python

# Nothing is built on a machine without a GPU.
.PHONY: gpu-test
gpu-test: ## Check graphs on an NVIDIA GPU; without one, say so
	@scripts/gpu-test.sh --probe || { \
	    [ $$? -eq 10 ] && $(MAKE) build && scripts/setup.sh models && scripts/gpu-test.sh; }

.PHONY: check
check: format-check lint docs deny test ## Everything CI checks: format, lints, docs, dependencies, tests

.PHONY: format
format: ## Format the Rust code
	@$(CARGO) fmt --all
	@$(CARGO) fmt --all --manifest-path functions/Cargo.toml
	@$(CARGO) fmt --all --manifest-path benches/peers/rten/Cargo.toml
	@$(CARGO) fmt --all --manifest-path host/grpc/generate/Cargo.toml

# What it makes is committed: the generator takes a minute to build, and its files hardly change.
.PHONY: grpc-messages
grpc-messages: ## Make the messages of host/grpc again, after a change of its .proto files
	@$(TIMED) "messages of host/grpc" $(CARGO) run $(LOCKED) --manifest-path host/grpc/generate/Cargo.toml --target-dir target/generate
	@$(CARGO) fmt --package samara-grpc

.PHONY: format-check
format-check: ## Check the format of the Rust code
	@$(TIMED) "format of the host" $(CARGO) fmt --all --check
	@$(TIMED) "format of the guests" $(CARGO) fmt --all --check --manifest-path functions/Cargo.toml
	@$(TIMED) "format of rten's program" $(CARGO) fmt --all --check --manifest-path benches/peers/rten/Cargo.toml
	@$(TIMED) "format of the generator" $(CARGO) fmt --all --check --manifest-path host/grpc/generate/Cargo.toml

# The compiler carries the engine, so that even checking it needs the engine built. With the release's profile, as macros and
# build scripts are there already.
.PHONY: lint
lint: engine ## Run clippy over the host and the guests
	@$(TIMED) "features of the dependencies" python3 scripts/feature-drift.py
	@scripts/setup.sh guest-clippy
	@$(TIMED) "clippy over the host" $(CARGO) clippy --release $(LOCKED) --workspace --all-targets -- -D warnings
	@$(TIMED) "clippy over the guests" scripts/lint-guests.sh

.PHONY: docs
docs: engine ## Build the documentation, warnings denied
	@RUSTDOCFLAGS="-D warnings" $(TIMED) "documentation" $(CARGO) doc --release $(LOCKED) --workspace --no-deps
	@$(TIMED) "documentation of the guests" scripts/document-guests.sh "$(TARGET)"

.PHONY: deny
deny: ## Check the dependencies' licences, sources and advisories
	@scripts/setup.sh cargo-deny
	@$(TIMED) "dependencies" scripts/deny.sh

# === Clean ===

.PHONY: clean
clean: ## Remove what was built; .venv and models/.cache stay
	rm -rf "$(TARGET)" target functions/target
