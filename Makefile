# Works with GNU make 3.81 (macOS) and bash 3.2.
# Two commands do everything on a fresh machine: `make run` and `make test`.

SHELL := /bin/bash
export CGO_ENABLED := 0

CACHE   := .cache
BIN     := bin/semantic
TOOL    := go tool -modfile=deploy/tools/go.mod
COMPLIANCE := go run ./deploy/compliance/cmd/compliance
PLATFORMS  := darwin_arm64 darwin_amd64 linux_arm64 linux_amd64
# NAME@VERSION of a release is its tag; a checkout names its commit.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.release=$(VERSION)
# Arguments for `make run`, as in: make run ARGS="--port 9000"
ARGS    :=
# How long `make soak` loads each of the two simulations and the default model.
SOAK    := 10m
export SOAK_SEED
# `make chaos` ends when CHAOS_KILLS workers were killed and a tenth as many faults
# of the broker were made, or after CHAOS.
CHAOS       := 20m
CHAOS_KILLS := 1000
export CHAOS_SEED
# How long the sustained load of `make stress` lasts.
STRESS      := 2m

.PHONY: help build install run test race lint cover bench bench-engine bench-queue baseline soak chaos chaos-long stress observe e2e cross binaries symbols licenses third-party sbom vuln generate check-generated testdeps clean

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/semantic
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/semantic

install: ## Install semantic into GOBIN
	go install -trimpath -ldflags '$(LDFLAGS)' ./cmd/semantic

run: build ## Fetch what is missing, then serve the whole product (ARGS= is passed on)
	$(BIN) serve $(ARGS)

test: build testdeps ## Run every test on real parts; skips are failures
	deploy/scripts/test.sh

race: build testdeps ## Run the tests under the race detector
	CGO_ENABLED=1 deploy/scripts/race.sh

e2e: build testdeps ## Run only the end-to-end tests
	deploy/scripts/test.sh ./cmd/semantic/e2e/...

lint: ## Run the linters
	$(TOOL) golangci-lint run ./...
	@test -z "$$(gofmt -l cmd worker gateway queue engine schemas deploy)"

cover: ## Print the coverage of the last `make test` by package; fail under the bounds
	deploy/scripts/cover.sh $(CACHE)/cover.out

bench: bench-engine bench-queue ## Run all benchmarks and write docs/performance/

bench-engine: build testdeps ## Run the engine's benchmarks on the real model
	deploy/scripts/bench.sh engine

bench-queue: build testdeps ## Run the benchmarks of the queue and of the whole way
	deploy/scripts/bench.sh queue

baseline: build ## Measure latency at 1 to 100 users and write docs/performance/baseline.md and the alarms' thresholds (12 minutes, a quiet machine)
	deploy/scripts/baseline.sh

soak: build testdeps ## Put a random load on the engine for 30 minutes (SOAK= for another time, SOAK_SEED= repeats one)
	SOAK=$(SOAK) deploy/scripts/soak.sh

chaos: build testdeps ## Kill, stop, cut and fill everything under load (CHAOS_SEED= repeats one)
	CHAOS=$(CHAOS) CHAOS_KILLS=$(CHAOS_KILLS) CHAOS_JOBS=20000 deploy/scripts/chaos.sh

chaos-long: build testdeps ## The same for an hour
	CHAOS=1h CHAOS_JOBS=20000 deploy/scripts/chaos.sh

stress: build testdeps ## Put more on a server than it can bear, with a sustained load of STRESS (2m; 1h for memory); ends with a table
	STRESS=$(STRESS) deploy/scripts/stress.sh

observe: ## Start Prometheus against a running serve, with the alerts (URL= for another gateway)
	deploy/observability/run.sh $(URL)

cross: binaries ## Build for every platform
	@for p in $(PLATFORMS); do \
	  echo "vet $$p"; \
	  GOOS=$${p%_*} GOARCH=$${p#*_} go vet ./... || exit 1; \
	done

binaries:
	@for p in $(PLATFORMS); do \
	  echo "build $$p"; \
	  GOOS=$${p%_*} GOARCH=$${p#*_} go build -trimpath -ldflags '$(LDFLAGS)' -o dist/bin/semantic_$$p ./cmd/semantic || exit 1; \
	done

symbols: testdeps ## Check that the native libraries of every platform export what we call
	deploy/scripts/symbols.sh

licenses: ## Check the licences of all that is shipped or fetched
	$(COMPLIANCE) check

third-party: ## Collect the licence texts of all that is shipped or fetched in dist/THIRD_PARTY
	$(COMPLIANCE) third-party dist/THIRD_PARTY

sbom: binaries ## Make bills of materials of the source and of every binary in dist/sbom
	$(COMPLIANCE) sbom dist/sbom $(VERSION) $(patsubst %,dist/bin/semantic_%,$(PLATFORMS))

vuln: ## Look for known vulnerabilities (VULN=-lenient passes where this machine is at fault)
	$(COMPLIANCE) vuln $(VULN)

generate: ## Make the generated files anew
	go generate ./...

check-generated: ## Fail if a generated file was not current
	deploy/scripts/generated.sh

testdeps: build ## Fetch what the tests need: native libraries, model, SDK clients
	deploy/scripts/testdeps.sh

clean: ## Remove what was built (not the fetched libraries and models)
	rm -rf bin dist $(CACHE)
