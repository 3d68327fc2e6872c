package live

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
)

// nodesProxy is the right that asking kubelets through the API server takes. It is a
// powerful one: whoever has it may run commands in any container.
var nodesProxy = Right{Verb: "get", Resource: "nodes/proxy", Facts: []evidence.Fact{evidence.Hosts}}

// An account is what a kubelet said of its configuration.
type account struct {
	config json.RawMessage
	why    string // it said nothing
}

// configz asks the kubelets of nodes for their configuration, some at a time, and
// hands over their answers in the order of the nodes.
func (co *collection) configz(ctx context.Context) error {
	if !co.options.Configz {
		return nil
	}
	accounts := make([]account, len(co.nodes))
	var wait sync.WaitGroup
	turns := make(chan struct{}, abreast)
	for i, node := range co.nodes {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-turns }()
			accounts[i] = co.account(ctx, node)
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	done := evidence.Listing{Resource: "nodes/proxy", Objects: 0}
	for i, node := range co.nodes {
		a := accounts[i]
		if a.why != "" {
			done.Error = a.why
			co.sink.Gap(evidence.Gap{Fact: evidence.Hosts, Reason: fmt.Sprintf("the kubelet of node %s was not read: %s", node, a.why)})
			continue
		}
		done.Objects++
		if err := co.sink.Add(cluster.Object{APIVersion: cluster.KubeletConfigVersion, Kind: cluster.KubeletConfigKind, JSON: a.config}); err != nil {
			return err
		}
	}
	co.cluster.Lists = append(co.cluster.Lists, done)
	return nil
}

// account asks the kubelet of one node.
func (co *collection) account(ctx context.Context, node string) account {
	var body bytes.Buffer
	r := request{path: []string{"api", "v1", "nodes", node, "proxy", "configz"}, accept: jsonForm}
	if _, err := co.get(ctx, r, &body); err != nil {
		if somebody(err) {
			return account{why: "may not get nodes/proxy (--configz takes it, and it is a powerful right)"}
		}
		return account{why: plain(err)}
	}
	var answer struct {
		Config map[string]json.RawMessage `json:"kubeletconfig"`
	}
	if err := json.Unmarshal(body.Bytes(), &answer); err != nil || len(answer.Config) == 0 {
		return account{why: "its answer is no configuration"}
	}
	for field, value := range map[string]any{
		"apiVersion": cluster.KubeletConfigVersion, "kind": cluster.KubeletConfigKind, "metadata": map[string]string{"name": node},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return account{why: err.Error()}
		}
		answer.Config[field] = text
	}
	delete(answer.Config, "staticPodURLHeader") // it may hold a token
	text, err := json.Marshal(answer.Config)
	if err != nil {
		return account{why: err.Error()}
	}
	return account{config: json.RawMessage(evidence.WithoutPassword(string(text)))} // of staticPodURL
}
