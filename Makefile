# The front door. Every target is one script, which can as well be called by hand; `make` alone lists them.
.PHONY: help all setup demo demo-stop test bench bench-quick soak reference charts docs lint fmt install package package-test clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1 | \2/p' Makefile | column -t -s '|' 2>/dev/null || grep '##' Makefile

setup: ## install what a fresh Debian machine lacks (PostgreSQL 15 and 18, clang, cargo-pgrx, PgBouncer and a newer one, clients, debootstrap)
	@.ci/setup

demo: ## build, start a private PostgreSQL and show tenant isolation at work
	@demo/run

demo-stop: ## stop the demo's PostgreSQL and remove it
	@demo/stop

test: ## every check and test, on PG_VERSIONS (default "15 18")
	@.ci/test

bench: ## benchmarks, release build
	@.ci/bench

bench-quick: ## benchmarks in under two minutes, coarser
	@.ci/bench --quick

reference: ## writes docs/reference anew, from the catalog and the sources
	@.ci/docs reference

charts: ## draws docs/charts anew, from the figures in docs/benchmarks.md
	@.ci/docs charts

docs: ## runs the SQL of README and docs, and writes what it gives below it
	@.ci/docs docs

soak: ## clients behind PgBouncer, tenants that come and go, sessions killed: 30 minutes, or as many as MINUTES=2
	@.ci/soak $(MINUTES)

lint: ## formatting, clippy, rustdoc, house rules, versions
	@.ci/lint

fmt: ## format the code
	@cargo fmt --all

# As pgxn and others call it before install.
all: ## release build for the PostgreSQL of PG_CONFIG
	@.ci/install --build-only

install: ## release build into the PostgreSQL of PG_CONFIG (sudo where needed)
	@.ci/install

package: ## a Debian package per PostgreSQL version in PG_VERSIONS, release builds, and the archive for PGXN
	@.ci/package

package-test: ## installs these packages, each into a clean Debian, and tests them there (root, debootstrap)
	@.ci/package-test

clean: ## remove everything that was built, and the demo
	@.ci/clean
