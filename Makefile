# `make` lists the targets. What a target needs beyond Go, git and make, it installs by itself or says so.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo build man test servers e2e story check format bench bench-stream bench-soak bench-config bench-stores bench-kinds bench-rekey bench-revoke fuzz mutants generate clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: build ## build Sallyport and run the main job against a stand-in API, then serve until Ctrl-C
	@./bin/sallyport demo

# The version and the commit are the toolchain's own stamp, wherever git can tell them.
STAMP := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo -buildvcs=true || echo -buildvcs=false)

build: ## build ./bin/sallyport, one static binary that knows its version and commit
	@[ -x bin/sallyport ] || echo 'building; the first time it takes some minutes, most of them in silence' >&2
	@CGO_ENABLED=0 go build -trimpath $(STAMP) -ldflags '-s -w' -o bin/sallyport ./cmd/sallyport

man: build ## write the manual pages into ./bin/man, one for each command
	@rm -rf bin/man && bin/sallyport reference man bin/man

test: ## run all tests, end with a plain count and with what was left out for want of a server (RACE=1 adds the race detector)
	@tools/test

servers: ## get the servers that make test leaves out otherwise: Vault, Kubernetes, n8n, Ansible (some 25 minutes, once)
	@tools/servers

e2e: build ## run the end-to-end tests against a real n8n (installs it; the first time takes minutes)
	@tools/e2e

story: build ## rotate all that a real n8n lives on while its workflows run, and sabotage it (some 5 minutes; not a part of e2e)
	@TESTFLAGS='-count=1 -tags story -run TestRotation$$' tools/e2e

check: ## everything a change must hold: format, lint, vet, layers, generated docs, scripts, modules, known vulnerabilities
	@tools/check

format: ## rewrite the Go code in the project's format
	@"$$(tools/build golangci-lint)" fmt

bench: build ## measure the gate beside ReverseProxy, nginx and Caddy (BENCH_SECONDS, BENCH_ROUNDS, BENCH_CONNS)
	@go run ./bench compare

bench-stream: build ## stream 2 GiB down and up through the gate, and print its peak memory
	@go run ./bench stream

bench-soak: build ## send a million requests through the gate, and print its memory along the way
	@go run ./bench soak

bench-config: build ## time commands, start and reload with 10,000 services and tokens, and print the memory (BENCH_SERVICES)
	@go run ./bench config

bench-stores: ## time a start with 10,000 references, and measure what 100,000 secrets take in memory
	@go test -run '^$$' -bench . -benchtime 3x ./internal/secret/resolve

bench-rekey: build ## change the master key of 100,000 credentials of 1 KiB on SQLite and PostgreSQL (BENCH_CREDENTIALS)
	@go test -run '^$$' -bench Crypto ./internal/masterkey/rekey
	@SALLYPORT_BENCH_BINARY="$(CURDIR)/bin/sallyport" go test -run '^$$' -bench Rekey -benchtime 1x -timeout 60m ./internal/masterkey/rekey

bench-revoke: ## time a revocation over three replicas under load, with all of them and with one cut off (BENCH_REVOCATIONS)
	@BENCH_REVOCATIONS="$${BENCH_REVOCATIONS:-400}" go test -run 'TestRevocationIsAwaited|TestLostConnections' -timeout 30m -v -count=1 ./internal/app ./internal/database | grep -E 'revoke over|cut off|healed|confirmed after|^(ok|FAIL)'

bench-kinds: ## time each kind of credential: minting, first use, cached use, signing, the pipeline around it, and the scrubber
	@go test -run '^$$' -bench 'FirstUse|CachedUse|SigV4|HMAC|OAuth1|Digest|Pipeline|StreamClean' -benchtime 200ms ./internal/boundary/credential/... ./internal/boundary/gateway ./internal/boundary/scrub

rotations: ## rotate 500 secrets under random kills and a provider that lies: none is lost, no key is left over (ROTATIONS)
	@SALLYPORT_ROTATIONS="$${ROTATIONS:-500}" go test -run TestManyUnderFire -timeout 30m -v -count=1 ./internal/rotation/run

fuzz: ## run every fuzz target for 10 s (FUZZTIME)
	@tools/fuzz

mutants: ## remove the code that holds each invariant, piece by piece, and see that a test fails (SAMPLE=4 tries only four)
	@go run ./tools/mutants -sample "$${SAMPLE:-0}"

generate: ## rewrite the generated pages under docs/
	@go generate ./...

clean: ## remove what was built
	@rm -rf bin
