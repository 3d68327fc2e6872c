package host

import (
	"encoding/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// ConfigzText is what the kubelet of the node answered to /configz, put into the tree
// for Gabion: kubectl get --raw /api/v1/nodes/NAME/proxy/configz.
const ConfigzText = "/gabion/configz.json"

// toldKubelet is the kubelet by its own account of the configuration that it runs with,
// nil where there is none. What was once written on a node that runs here may be old.
func (r *reader) toldKubelet() *evidence.Component {
	if r.tree.Running() {
		return nil
	}
	data, err := r.open(ConfigzText)
	if err != nil {
		return nil
	}
	doc, problem := r.document(ConfigzText, data)
	if problem != nil {
		r.broken(evidence.Issue{File: ConfigzText, Line: problem.Line, Column: problem.Column, Reason: problem.Reason})
		return nil
	}
	var account struct {
		KubeletConfig map[string]json.RawMessage `json:"kubeletconfig"`
	}
	at := evidence.NewPath("kubeletconfig")
	if err := json.Unmarshal(doc.JSON, &account); err != nil || len(account.KubeletConfig) == 0 {
		r.broken(evidence.Issue{File: ConfigzText, Reason: "not what a kubelet answers to /configz"})
		return nil
	}
	delete(account.KubeletConfig, "staticPodURLHeader") // it may hold a token
	config, err := json.Marshal(account.KubeletConfig)
	if err != nil {
		return nil
	}
	m := merging{}
	m.patch(redact(config), doc.Outline, at, "")
	return &evidence.Component{
		Name: evidence.Kubelet, Way: evidence.FromAPI, Place: doc.Outline.Place(at), UID: -1, Options: m,
	}
}

// tell puts a kubelet's own account to what else is known of it. The account is whole:
// where files and arguments are not, it is what is judged.
func (r *reader) tell(kubelet *candidate) *candidate {
	told := r.toldKubelet()
	switch {
	case told == nil:
		return kubelet
	case kubelet == nil:
		return &candidate{Component: told}
	case kubelet.Unread == "":
		kubelet.Others = append(kubelet.Others, told)
		return kubelet
	}
	told.Flags, told.UID, told.Version = kubelet.Flags, kubelet.UID, kubelet.Version
	told.Others = append(kubelet.Others, kubelet.Component)
	kubelet.Others = nil
	return &candidate{Component: told}
}
