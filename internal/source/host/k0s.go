package host

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// k0sUnread is why not all flags are known where no process shows them.
const k0sUnread = "k0s passes flags of its own that no file shows; its processes would"

// k0sParts are the components of k0s, which runs each as a process of its own: where
// those are not seen, what k0s.yaml says of them, and the flags that nobody can change.
func k0sParts(r *reader, all []*candidate) (list []*candidate) {
	var whole *candidate
	for _, c := range all {
		if c.Name == "k0scontroller" || c.Name == "k0sworker" {
			if whole == nil || whole.idle || !c.idle && c.Way == evidence.FromProcess {
				whole = c
			}
		}
	}
	file := "/etc/k0s/k0s.yaml"
	found := whole != nil
	if !found {
		name := "k0sworker"
		if r.isThere(file) || r.isThere("/var/lib/k0s/pki/ca.key") {
			name = "k0scontroller"
		}
		whole = derived(name, evidence.Position{File: file}, nil)
		whole.Unread = "neither a process nor a unit tells how k0s is started"
		list = append(list, whole)
	}
	if whole.idle && !r.isThere("/var/lib/k0s/pki") {
		return nil // installed, and never started
	}
	whole.idle = false
	s := settings(whole.Flags)
	data := s.get("data-dir", "/var/lib/k0s")
	if data != "/var/lib/k0s" {
		r.layout = r.layout.moved("/var/lib/k0s", data)
	}
	var parts []*candidate
	if whole.Name == "k0scontroller" {
		if f, ok := whole.Flag("config"); ok {
			file = f.Value
		} else if f, ok := whole.Flag("c"); ok {
			file = f.Value
		}
		parts = k0sControlPlane(r, whole, file, data)
	}
	if whole.Name == "k0sworker" || s.on("single") || s.on("enable-worker") {
		kubelet := derived(evidence.Kubelet, whole.Place, overlay(documented(whole.Place, "config="+data+"/kubelet-config.yaml", "kubeconfig="+data+"/kubelet.conf", "root-dir="+data+"/kubelet"), k0sExtra(s.get("kubelet-extra-args", ""), whole.Place)))
		parts = append(parts, kubelet)
	}
	for _, c := range parts {
		c.unsure(whole.Unread)
		leave(c.Component, k0sUnread)
	}
	return append(list, missing(all, parts)...)
}

// k0sExtra reads flags that stand in one text.
func k0sExtra(text string, at evidence.Position) (flags []evidence.Flag) {
	for _, part := range strings.Fields(text) {
		flags = append(flags, extra(part, at))
	}
	return flags
}

// A k0sConfig is the part of k0s.yaml that decides flags.
type k0sConfig struct {
	Spec struct {
		API, ControllerManager, Scheduler struct {
			ExtraArgs map[string]json.RawMessage
		}
		Storage struct {
			Type string
			Etcd struct {
				ExtraArgs       map[string]json.RawMessage
				ExternalCluster json.RawMessage
			}
		}
	}
}

func k0sControlPlane(r *reader, whole *candidate, file, data string) (list []*candidate) {
	doc, there, why := r.ownConfig(file)
	var config k0sConfig
	if there && why == "" {
		if err := json.Unmarshal(doc.JSON, &config); err != nil {
			why = file + ": it is no configuration of k0s"
			r.broken(evidence.Issue{File: file, Line: doc.Line, Reason: "it is no configuration of k0s"})
		}
	}
	if why != "" {
		leave(whole.Component, why)
	}
	spec := evidence.NewPath("spec")
	users := func(args map[string]json.RawMessage, at evidence.Path) (flags []evidence.Flag) {
		for _, name := range slices.Sorted(maps.Keys(args)) {
			flags = append(flags, evidence.Flag{Name: name, Value: asText(args[name]), Place: doc.Outline.Place(at.Field(name))})
		}
		return flags
	}
	add := func(name string, users []evidence.Flag, own ...string) {
		for i := range own {
			own[i] = strings.ReplaceAll(own[i], "{pki}", data+"/pki")
		}
		c := derived(name, whole.Place, overlay(documented(whole.Place, own...), users))
		if name != evidence.ControllerManager { // the others have users of their own name
			c.UID = r.uid(name)
		}
		list = append(list, c)
	}
	api := []string{
		"authorization-mode=Node,RBAC", "client-ca-file={pki}/ca.crt", "enable-bootstrap-token-auth=true",
		"kubelet-client-certificate={pki}/apiserver-kubelet-client.crt", "kubelet-client-key={pki}/apiserver-kubelet-client.key", "profiling=false",
		"proxy-client-cert-file={pki}/front-proxy-client.crt", "proxy-client-key-file={pki}/front-proxy-client.key",
		"requestheader-allowed-names=front-proxy-client", "requestheader-client-ca-file={pki}/front-proxy-ca.crt",
		"service-account-key-file={pki}/sa.pub", "service-account-signing-key-file={pki}/sa.key", "tls-cert-file={pki}/server.crt", "tls-private-key-file={pki}/server.key",
		"enable-admission-plugins=NodeRestriction",
	}
	external := len(config.Spec.Storage.Etcd.ExternalCluster) > 0 && string(config.Spec.Storage.Etcd.ExternalCluster) != "null"
	embedded := config.Spec.Storage.Type != "kine" && !external && r.isThere(data+"/etcd")
	if embedded {
		api = append(api, "etcd-servers=https://127.0.0.1:2379", "etcd-cafile={pki}/etcd/ca.crt", "etcd-certfile={pki}/apiserver-etcd-client.crt", "etcd-keyfile={pki}/apiserver-etcd-client.key")
	}
	add(evidence.APIServer, users(config.Spec.API.ExtraArgs, spec.Field("api", "extraArgs")), api...)
	add(evidence.ControllerManager, users(config.Spec.ControllerManager.ExtraArgs, spec.Field("controllerManager", "extraArgs")),
		"bind-address=127.0.0.1", "client-ca-file={pki}/ca.crt", "cluster-signing-cert-file={pki}/ca.crt", "cluster-signing-key-file={pki}/ca.key",
		"kubeconfig={pki}/ccm.conf", "authentication-kubeconfig={pki}/ccm.conf", "authorization-kubeconfig={pki}/ccm.conf",
		"profiling=false", "root-ca-file={pki}/ca.crt", "service-account-private-key-file={pki}/sa.key", "use-service-account-credentials=true")
	add(evidence.Scheduler, users(config.Spec.Scheduler.ExtraArgs, spec.Field("scheduler", "extraArgs")),
		"bind-address=127.0.0.1", "kubeconfig={pki}/scheduler.conf", "authentication-kubeconfig={pki}/scheduler.conf", "authorization-kubeconfig={pki}/scheduler.conf", "profiling=false")
	if embedded {
		add(evidence.Etcd, users(config.Spec.Storage.Etcd.ExtraArgs, spec.Field("storage", "etcd", "extraArgs")),
			"cert-file={pki}/etcd/server.crt", "client-cert-auth=true", "data-dir="+data+"/etcd", "key-file={pki}/etcd/server.key", "listen-client-urls=https://127.0.0.1:2379",
			"peer-cert-file={pki}/etcd/peer.crt", "peer-client-cert-auth=true", "peer-key-file={pki}/etcd/peer.key", "peer-trusted-ca-file={pki}/etcd/ca.crt", "trusted-ca-file={pki}/etcd/ca.crt")
	}
	return list
}
