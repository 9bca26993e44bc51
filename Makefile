# The front door. Every target is one script, which can as well be called by hand; `make` alone lists them.
.PHONY: help setup demo demo-stop test bench bench-quick soak lint fmt install package clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1 | \2/p' Makefile | column -t -s '|' 2>/dev/null || grep '##' Makefile

setup: ## install what a fresh Debian machine lacks (PostgreSQL 15 and 18, clang, cargo-pgrx, PgBouncer)
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

soak: ## clients behind PgBouncer, tenants that come and go, sessions killed: 30 minutes, or as many as MINUTES=2
	@.ci/soak $(MINUTES)

lint: ## formatting, clippy, rustdoc, house rules, versions
	@.ci/lint

fmt: ## format the code
	@cargo fmt --all

install: ## release build into the PostgreSQL of PG_CONFIG (sudo where needed)
	@.ci/install

package: ## release build as a tree of files to pack
	@.ci/package

clean: ## remove everything that was built, and the demo
	@.ci/clean
