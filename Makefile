# make test is the whole check: what CI runs, on a fresh machine.

.PHONY: test unit oracles cluster netns browser bench docs build dist

test: unit oracles netns cluster browser

# The plain tests, with the race detector off to stay under two minutes.
unit:
	go vet ./...
	go test ./...

# What policies mean, against the engines of those who made them. Modules of their own:
# nothing that these need is a dependency of the program.
oracles:
	cd test/netpol && go vet ./... && go test -count=1 ./...
	cd test/cilium && go vet ./... && go test -count=1 ./...
	cd test/kyverno && go vet ./... && go test -count=1 ./...

# Everything that is promised of a live cluster, against a real control plane. Its
# components are built once, outside the checkout, which takes minutes.
cluster:
	go vet -tags cluster ./...
	GABION_KUBE=$$(test/kube/build) go test -count=1 -tags cluster -p 1 -timeout 30m \
		$$(grep -rl --include='*_test.go' '^//go:build cluster' . | xargs -n1 dirname | sort -u)

# Packet filters in network namespaces of the real kernel: what is judged of them, and
# what is generated. Needs root; Debian's packages are installed if there are none.
netns:
	command -v nft iptables ip >/dev/null || { apt-get update && apt-get install -y nftables iptables iproute2; }
	go vet -tags netns ./...
	go test -count=1 -tags netns -timeout 20m $$(grep -rl --include='*_test.go' '^//go:build.*netns' . | xargs -n1 dirname | sort -u)

# The HTML report in a real browser, which Debian's package is installed for if
# there is none. For what it looks like: -artifacts -outputdir DIR.
browser:
	command -v chromium >/dev/null || { apt-get update && apt-get install -y chromium; }
	go test -count=1 -tags browser ./test/browser

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
