# What to do with nskit. `make help` names every target.

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo

# .cargo/config.toml names the target, so that is where cargo puts its output.
TARGET  := $(shell uname -m)-unknown-linux-gnu
RELEASE := target/$(TARGET)/release/nskit
DEBUG   := target/$(TARGET)/debug/nskit

.DEFAULT_GOAL := help
.PHONY: help run build test test-vm lint bench order generate install uninstall clean

help: ## name every target
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

run: ## build, then start a container that needs no image, and look around in it
	@tests/install-deps build
	$(CARGO) build
	@examples/first-container $(DEBUG)

build: ## build the binary that is installed
	@tests/install-deps build
	$(CARGO) build --release

test: ## everything: format, lints, unit and integration tests, containerd
	@tests/install-deps test
	@$(MAKE) --no-print-directory lint
	@tests/run $(TESTS)

test-vm: ## the integration tests in a virtual machine with cgroup v2 and systemd
	@tests/install-deps vm
	@tests/vm/suite $(TESTS)
	@[ -n "$(TESTS)" ] || tests/vm/tools

lint: ## rustfmt and clippy, and shellcheck where it is installed
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --quiet -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck -x $(SCRIPTS); fi

SCRIPTS := .ci/run benches/order examples/first-container tests/install-deps tests/run tests/skips.sh tests/vm/image tests/vm/guest \
           tests/vm/run tests/vm/suite tests/vm/tools

bench: ## measure beside crun, runc and a floor, and write docs/benchmarks.md
	@benches/run

order: ## find anew which functions the linker is to put side by side
	@benches/order

generate: ## write the man pages and shell completions anew
	$(CARGO) run --quiet -- generate

install: build ## install the binary, links to its applets, man pages and completions below PREFIX
	install -D -m 755 $(RELEASE) $(DESTDIR)$(PREFIX)/bin/nskit
	ln -sf nskit $(DESTDIR)$(PREFIX)/bin/nskit-runtime
	ln -sf nskit $(DESTDIR)$(PREFIX)/bin/ns-inspect
	@for page in man/*.1; do [ ! -e "$$page" ] || install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 "$$page"; done
	@[ ! -e completions/nskit.bash ] || \
	  install -D -m 644 completions/nskit.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/nskit
	@[ ! -e completions/_nskit ] || \
	  install -D -m 644 completions/_nskit $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_nskit
	@[ ! -e completions/nskit.fish ] || \
	  install -D -m 644 completions/nskit.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/nskit.fish
	@for name in nskit-runtime ns-inspect; do \
	  ln -sf nskit $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$name; \
	  ln -sf nskit.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$name.fish; \
	done

uninstall: ## remove what install made
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,nskit nskit-runtime ns-inspect)
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/man/man1/,$(notdir $(wildcard man/*.1)))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/bash-completion/completions/,nskit nskit-runtime ns-inspect)
	rm -f $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_nskit
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/,nskit.fish nskit-runtime.fish ns-inspect.fish)

clean: ## remove all that was built
	$(CARGO) clean
