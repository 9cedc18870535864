# IMGAPI. `make run` builds and serves on 127.0.0.1:8080; `make test` installs and passes every test.

PREFIX ?= /opt/smartdc/imgapi
DATADIR ?= /data/imgapi
DATA ?= $(CURDIR)/data
PORT ?= 8080
NODE ?= node

# The Node.js that packages bring: a directory of deps/node.
BUNDLED_NODE ?= 22
PKG_KINDS ?= zone linux deb

# make test NODE_VERSION=22: the tests, and the servers they start, run on that one. Only from the command line:
# images of containers set a variable of this name, too.
ifneq ($(filter command%,$(origin NODE_VERSION)),)
override NODE := $(CURDIR)/build/nodes/$(NODE_VERSION)/bin/node
NODE_INSTALLED := build/nodes/$(NODE_VERSION)/bin/node
export PATH := $(CURDIR)/build/nodes/$(NODE_VERSION)/bin:$(PATH)
endif

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

$(BUILT): $(INSTALLED) tsconfig.json $(SOURCES) | $(NODE_INSTALLED)
	$(BIN)/tsc -p tsconfig.json
	@mkdir -p build && touch $@

$(DOCS): $(BUILT) $(wildcard docs/*) README.md CHANGES.md
	$(NODE) docs/build.mjs

build/.tests: $(BUILT) test/tsconfig.json $(TEST_SOURCES)
	$(BIN)/tsc -p test/tsconfig.json
	@touch $@

# Serves on 127.0.0.1 without authentication, with everything below $(DATA).
.PHONY: run devrun
run devrun: all
	$(NODE) bin/run-standalone.js --data $(DATA) --port $(PORT)

# All tests, or those whose file name has TEST in it: make test TEST=manifest
.PHONY: test
test: all build/.tests
	$(NODE) test/run.mjs $(TEST)

# Those that concern mode dc: they name it, or use one of the services of a datacenter or its double.
DC_SERVICES = datacenter|headnode|moray|workflow|wfapi|ufds|vmapi|cnapi|sapi
.PHONY: test-dc
test-dc: all build/.tests
	$(NODE) test/run.mjs $$(grep -rlE --include='*.test.ts' \
		"mode: 'dc'|/($(DC_SERVICES))[a-z-]*(/[a-z-]+)?\.js'" test | sed 's,^test/,,; s,ts$$,js,')

# How much of src runs in the tests and in the servers and commands that they start, as text and, line by line,
# in build/coverage/index.html: make coverage TEST=manifest
.PHONY: coverage
coverage: all build/.tests
	rm -rf build/coverage
	$(NODE) $(BIN)/c8 --temp-directory build/coverage/raw --reports-dir build/coverage --merge-async \
		--all --src src --include 'src/**' --exclude-after-remap \
		--reporter text --reporter html $(NODE) test/run.mjs $(TEST)
	rm -rf build/coverage/raw

# Types, lint, format, floors and documentation tables.
.PHONY: check
check: all build/.tests check-windows-prepare-image check-smf check-shell check-units
	$(BIN)/eslint .
	$(BIN)/prettier --check .
	$(BIN)/depcruise --config .dependency-cruiser.cjs src
	$(NODE) lib/cli/docs-tables.js --check

# Without the programs, which `make check` does not ask for, nothing is checked.
.PHONY: check-smf
check-smf:
	@if command -v xmllint > /dev/null; then xmllint --nonet --noout smf/manifests/*.xml; fi

# Scripts that run as others' shells, or on other systems.
SHELL_SCRIPTS = $(wildcard boot/*.sh boot/standalone/* tools/standalone/*) bin/imgapi packaging/build-packages \
	packaging/install packaging/verify-units $(wildcard packaging/debian/p*)
.PHONY: check-shell
check-shell:
	@for script in $(SHELL_SCRIPTS); do bash -n "$$script" || exit 1; done
	@if command -v shellcheck > /dev/null; then shellcheck $(SHELL_SCRIPTS); fi

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

# A binary of Node.js for this architecture, from npm, of the version that the lock file says.
build/nodes/%/bin/node: deps/node/%/package-lock.json
	rm -rf build/nodes/$*
	mkdir -p build/nodes/$*/bin
	cp deps/node/$*/package*.json .npmrc build/nodes/$*
	npm ci --prefix build/nodes/$* --no-audit --no-fund
	mv build/nodes/$*/node_modules/node-linux-*/LICENSE build/nodes/$*
	mv build/nodes/$*/node_modules/node-linux-*/bin/node $@
	rm -rf build/nodes/$*/node_modules
	@touch $@

# Into $(DESTDIR)$(PREFIX), to run with the node at hand, with data in $(DATADIR) as USER. Data and
# configuration that are there are not touched.
.PHONY: install
install: all
	packaging/install $(if $(DESTDIR),--destdir $(DESTDIR)) --prefix $(PREFIX) --data $(DATADIR) \
		--user $(if $(filter command%,$(origin USER)),$(USER),imgapi) --node $(NODE)

# Packages in dist/: for SmartOS zone images, for Linux, and for Debian.
.PHONY: pkg release
pkg release: all build/nodes/$(BUNDLED_NODE)/bin/node
	packaging/build-packages --bundle build/nodes/$(BUNDLED_NODE) \
		$(if $(PKG_VERSION),--version $(PKG_VERSION)) $(PKG_KINDS)

.PHONY: check-units
check-units: all
	packaging/verify-units

.PHONY: clean
clean:
	rm -rf lib build dist

.PHONY: clean-docs
clean-docs:
	rm -rf build/docs
