# What to do with nskit. `make help` names every target.

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo
export CARGO

# .cargo/config.toml names the target, so that is where cargo puts its output.
TARGET  := $(shell uname -m)-unknown-linux-gnu
RELEASE := target/$(TARGET)/release/nskit
DEBUG   := target/$(TARGET)/debug/nskit

.DEFAULT_GOAL := help
.PHONY: help run build test test-vm faults races fuzz lint bench order generate install uninstall clean

help: ## name every target
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

run: ## build, then start a container that needs no image, and look around in it
	@tests/install-deps build
	$(CARGO) build
	@examples/first-container $(DEBUG)

build: ## build the binary that is installed
	@tests/install-deps build
	NSKIT_COMMIT="$$(git describe --always --dirty 2>/dev/null)" $(CARGO) build --release

# For what needs the binary rather than a build: that of somebody who has no toolchain (sudo) does, while it is new enough.
SOURCES := $(shell find src applets vendor .cargo -type f 2>/dev/null) \
           $(wildcard build.rs Cargo.toml Cargo.lock benches/functions.order)

$(RELEASE): $(SOURCES)
	@$(MAKE) --no-print-directory build
	@touch $@

test: ## everything: format, lints, unit and integration tests, containerd
	@tests/install-deps test
	@$(MAKE) --no-print-directory lint
	@tests/run $(TESTS)

test-vm: ## the integration tests in a virtual machine with cgroup v2 and systemd
	@tests/install-deps vm
	@tests/vm/suite $(TESTS)
	@[ -n "$(TESTS)" ] || tests/vm/tools

faults: ## each system call of each verb fails once, and is where a signal arrives: some tens of minutes
	@tests/install-deps test
	@tests/faults/run $(CASES)

races: ## every verb on 50 containers at once, for a minute
	@tests/install-deps test
	@NSKIT_RACE=$${NSKIT_RACE:-60,50} tests/run races::

SECONDS ?= 60
fuzz: ## every fuzz target, each for SECONDS=60, or those that TARGETS names
	@tests/install-deps fuzz
	@fuzz/run $(SECONDS) $(TARGETS)

lint: ## rustfmt and clippy, and shellcheck where it is installed
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --all-targets --quiet -- -D warnings
	$(CARGO) test --quiet --test house
	@if command -v shellcheck >/dev/null; then shellcheck -x $(SCRIPTS); fi

SCRIPTS := .ci/run benches/order examples/first-container fuzz/run tests/criu tests/faults/run tests/install-deps tests/run tests/skips.sh tests/vm/image tests/vm/guest \
           tests/vm/run tests/vm/suite tests/vm/tools

bench: ## measure beside crun, runc and a floor, and write docs/benchmarks.md
	@benches/run

order: ## find anew which functions the linker is to put side by side
	@benches/order

generate: ## write the man pages and shell completions anew
	$(CARGO) run --quiet -- generate

# The names to install besides nskit itself. Those of util-linux's programs hide these, and their man pages, so they are
# installed only where they are asked for: make install APPLETS="$(ALL_APPLETS)". `runc` can be asked for too.
APPLETS     ?= nskit-runtime ns-inspect containerd-shim-nskit-v2
ALL_APPLETS := nskit-runtime ns-inspect containerd-shim-nskit-v2 unshare nsenter lsns

BIN   := $(DESTDIR)$(PREFIX)/bin
MAN   := $(DESTDIR)$(PREFIX)/share/man/man1
BASH  := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSH   := $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISH  := $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
SHARE := $(DESTDIR)$(PREFIX)/share/nskit

install: $(RELEASE) ## install the binary below PREFIX, and links, man pages and completions for APPLETS
	@for name in $(APPLETS); do \
	  case " $(ALL_APPLETS) runc " in *" $$name "*) ;; *) echo "no applet is called '$$name'" >&2; exit 1 ;; esac; \
	  link="$(BIN)/$$name"; \
	  { [ -e "$$link" ] || [ -L "$$link" ]; } || continue; \
	  case "/$$(readlink "$$link")" in */nskit) continue ;; esac; \
	  echo "$$link is there, and is no link to nskit: remove it first" >&2; exit 1; \
	done
	install -D -m 755 "$(RELEASE)" "$(BIN)/nskit"
	install -D -m 644 completions/nskit.bash "$(BASH)/nskit"
	install -D -m 644 completions/_nskit "$(ZSH)/_nskit"
	install -D -m 644 completions/nskit.fish "$(FISH)/nskit.fish"
	install -D -m 644 -t "$(MAN)" man/nskit.1
	install -D -m 644 -t "$(SHARE)" docs/ns-inspect.schema.json
	@for name in $(APPLETS); do \
	  ln -sfn nskit "$(BIN)/$$name"; \
	  [ ! -e "man/$$name.1" ] || install -D -m 644 -t "$(MAN)" "man/$$name.1"; \
	  ln -sfn nskit "$(BASH)/$$name"; \
	  ln -sfn nskit.fish "$(FISH)/$$name.fish"; \
	  printf '#compdef %s\n_nskit "$$@"\n' "$$name" >"$(ZSH)/_$$name"; \
	done

uninstall: ## remove what install made
	@for name in $(ALL_APPLETS) runc; do \
	  if [ "$$(readlink "$(BIN)/$$name")" = nskit ]; then \
	    rm -f "$(BIN)/$$name" "$(MAN)/$$name.1" "$(BASH)/$$name" "$(FISH)/$$name.fish" "$(ZSH)/_$$name"; \
	  fi; \
	done
	rm -f "$(BIN)/nskit" "$(MAN)/nskit.1" "$(BASH)/nskit" "$(ZSH)/_nskit" "$(FISH)/nskit.fish" "$(SHARE)/ns-inspect.schema.json"
	@rmdir "$(SHARE)" 2>/dev/null || true

clean: ## remove all that was built
	$(CARGO) clean
