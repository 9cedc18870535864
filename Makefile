# IMGAPI. `make run` builds and serves on 127.0.0.1:8080; `make test` installs and passes every test.

PREFIX ?= /opt/smartdc/imgapi
DATA ?= $(CURDIR)/data
PORT ?= 8080
NODE ?= node
BIN = node_modules/.bin
INSTALLED = node_modules/.installed
BUILT = build/.compiled
DOCS = build/docs/public/index.html

SOURCES := $(shell find src -name '*.ts')
TEST_SOURCES := $(shell find test bench -name '*.ts')

.PHONY: all
all: $(BUILT) $(DOCS)

$(INSTALLED): package.json package-lock.json deps/spdy/package.json
	npm ci --no-audit --no-fund
	@touch $@

$(BUILT): $(INSTALLED) tsconfig.json $(SOURCES)
	$(BIN)/tsc -p tsconfig.json
	@mkdir -p build && touch $@

$(DOCS): $(BUILT) $(wildcard docs/*) README.md CHANGES.md
	$(NODE) docs/build.mjs

build/.tests: $(BUILT) test/tsconfig.json $(TEST_SOURCES)
	$(BIN)/tsc -p test/tsconfig.json
	@touch $@

# Serves on 127.0.0.1 without authentication, with everything below $(DATA).
.PHONY: run
run: all
	$(NODE) bin/run-standalone.js --data $(DATA) --port $(PORT)

# All tests, or those whose file name has TEST in it: make test TEST=manifest
.PHONY: test
test: all build/.tests
	$(NODE) test/run.mjs $(TEST)

# Types, lint, format, floors and documentation tables.
.PHONY: check
check: all build/.tests check-windows-prepare-image
	$(BIN)/eslint .
	$(BIN)/prettier --check .
	$(BIN)/depcruise --config .dependency-cruiser.cjs src
	$(NODE) lib/cli/docs-tables.js --check

# The script must fit into the metadata of an instance.
WINDOWS_PREPARE_IMAGE = tools/prepare-image/windows-prepare-image
.PHONY: check-windows-prepare-image
check-windows-prepare-image:
	@size=$$(wc -c < $(WINDOWS_PREPARE_IMAGE)); if [ $$size -gt 3000 ]; then \
		echo "$(WINDOWS_PREPARE_IMAGE) has $$size bytes, more than 3000" >&2; exit 1; fi

.PHONY: docs
docs: $(DOCS)

.PHONY: doc-update-error-table doc-tables
doc-update-error-table doc-tables: $(BUILT)
	$(NODE) lib/cli/docs-tables.js --write

.PHONY: fmt
fmt: $(INSTALLED)
	$(BIN)/prettier --write .

.PHONY: bench
bench: all build/.tests
	$(NODE) build/tests/bench/run.js $(BENCH)

.PHONY: clean
clean:
	rm -rf lib build

.PHONY: clean-docs
clean-docs:
	rm -rf build/docs
