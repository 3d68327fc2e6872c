# make test is the whole check: what CI runs, on a fresh machine.

.PHONY: test unit fuzz bench docs build

test: unit

# The plain tests, with the race detector off to stay under two minutes.
unit:
	go vet ./...
	go test ./...

build:
	go build -trimpath -ldflags '-s -w' -o gabion ./cmd/gabion
