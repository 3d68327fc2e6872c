# make test is the whole check: what CI runs, on a fresh machine.

.PHONY: test unit bench docs build dist

test: unit

# The plain tests, with the race detector off to stay under two minutes.
unit:
	go vet ./...
	go test ./...

build:
	go build -trimpath -ldflags '-s -w' -o gabion ./cmd/gabion

docs:
	go run ./docs/generate docs

# Processor time and memory of scans, beside decoding alone: docs/performance.md.
bench: build
	go run ./test/bench -gabion ./gabion

# Release archives and the krew manifest, into dist/.
dist:
	deploy/dist $(VERSION) $(BASE_URL)
