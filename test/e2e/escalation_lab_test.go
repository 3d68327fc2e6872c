//go:build cluster

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"

	"github.com/gabion-k8s/gabion/test/cluster"
)

type object = map[string]any

// A lab is a cluster with the objects of one example, and what an attacker may
// have of their own: a server for webhooks.
type lab struct {
	*cluster.Cluster
	t     *testing.T
	admin self
	nodes map[string]*kubelet
	hook  *hook
	// objects are those of the example, programs the workloads among them.
	objects, programs []*unstructured.Unstructured
	levels            map[string]string // of its namespaces
	selves            map[string]self
	marks, attacks    int
}

const enforce = "pod-security.kubernetes.io/enforce"

// newLab starts a cluster, of another version than its own by emulation, and
// applies the objects of an example: workloads before the levels, policies and
// webhooks that would refuse them, as if they had been there first.
func newLab(t *testing.T, text, version string, asked []*question) *lab {
	t.Helper()
	var o cluster.Options
	if version != "" {
		o.APIServer = append(o.APIServer, "--emulated-version="+version)
	}
	l := &lab{Cluster: cluster.Start(t, o), t: t, nodes: map[string]*kubelet{}, selves: map[string]self{}, levels: map[string]string{}}
	l.admin = self{name: "admin", config: l.Config()}
	l.hook = newHook(t)
	l.objects = decode(t, text)
	l.addNodes()
	for _, o := range l.objects {
		if o.GetKind() == "Namespace" {
			l.levels[o.GetName()] = o.GetLabels()[enforce]
		}
	}
	for _, q := range asked {
		ns, ok := strings.CutPrefix(q.to, "secrets:")
		if _, there := l.levels[ns]; ok && !there {
			l.levels[ns] = ""
			l.put(plain("Namespace", "", ns))
		}
	}
	for turn := range turns {
		if turn == workloads+1 {
			l.namePods()
		}
		for _, o := range l.objects {
			if whenOf(o) == turn {
				l.put(o)
			}
		}
		if turn == workloads {
			l.awaitPods()
		}
	}
	for ns, level := range l.levels {
		l.level(ns, level)
		l.must(l.admin.do("POST", at("", "secrets", ns, ""), object{
			"metadata": object{"name": planted}, "stringData": object{"value": treasure(ns)},
		}, nil))
	}
	l.settle()
	l.settleAdmission(strings.Contains(text, "kind: ValidatingAdmissionPolicy"))
	return l
}

// planted is the name of a Secret in every namespace of an example.
const planted = "planted"

func treasure(ns string) string { return "the treasure of " + ns }

func decode(t *testing.T, text string) (list []*unstructured.Unstructured) {
	t.Helper()
	accounts := map[string]bool{}
	for d := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		err := d.Decode(&o.Object)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if o.GetKind() == "ServiceAccount" {
			accounts[o.GetNamespace()+"/"+o.GetName()] = true
		}
		list = append(list, o)
	}
	for _, o := range slices.Clone(list) {
		name, _, _ := unstructured.NestedString(o.Object, "spec", "template", "spec", "serviceAccountName")
		if key := o.GetNamespace() + "/" + name; name != "" && name != "default" && !accounts[key] {
			accounts[key] = true
			list = append(list, plain("ServiceAccount", o.GetNamespace(), name))
		}
	}
	return list
}

// The turns in which objects are applied.
const (
	definitions = iota
	spaces
	accounts
	workloads
	others
	turns
)

func whenOf(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "CustomResourceDefinition":
		return definitions
	case "Namespace":
		return spaces
	case "ServiceAccount", "Secret":
		return accounts
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "CronJob", "Job", "Pod":
		return workloads
	case "Node":
		return -1 // addNodes
	}
	return others
}

// put creates an object, or replaces what Kubernetes ships by that name.
func (l *lab) put(o *unstructured.Unstructured) {
	l.t.Helper()
	o = o.DeepCopy()
	switch o.GetKind() {
	case "Namespace":
		o.SetLabels(nil)
	case "CustomResourceDefinition":
		// The examples write down only what they need; here the fields are needed too.
		versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
		for _, v := range versions {
			v.(object)["schema"] = object{"openAPIV3Schema": keepAll()}
		}
		l.must(unstructured.SetNestedSlice(o.Object, versions, "spec", "versions"))
	case "Deployment", "StatefulSet", "DaemonSet":
		l.programs = append(l.programs, o)
	}
	gvk := o.GroupVersionKind()
	path := at(gvk.Group, plural(gvk.Kind), o.GetNamespace(), "")
	err := l.eventually(func() error { return absent(l.admin.do("POST", path, o.Object, nil)) })
	if apierrors.IsAlreadyExists(err) {
		if err = nil; gvk.Kind != "Namespace" && gvk.Kind != "ServiceAccount" {
			err = l.admin.do("PUT", path+"/"+o.GetName(), o.Object, nil)
		}
	}
	l.must(err)
	switch gvk.Kind {
	case "Namespace":
		l.must(l.eventually(func() error {
			return absent(l.admin.do("GET", at("", "serviceaccounts", o.GetName(), "default"), nil, nil))
		}))
	}
}

func keepAll() object {
	return object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
}

// absent marks what may be there a moment later.
func absent(err error) error {
	if apierrors.IsNotFound(err) {
		return again{err}
	}
	return err
}

// again is an error that may be gone at another try.
type again struct{ error }

func (a again) Unwrap() error { return a.error }

// eventually tries until there is no error that may be gone at another try.
func (l *lab) eventually(try func() error) error {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(30 * time.Millisecond) {
		err := try()
		if !errors.As(err, &again{}) || time.Now().After(end) {
			return err
		}
	}
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// awaitPods waits until the workloads have their pods on nodes.
func (l *lab) awaitPods() {
	l.t.Helper()
	l.must(l.eventually(func() error {
		pods, err := l.pods("")
		if err != nil {
			return err
		}
		for _, o := range l.programs {
			wanted := 1
			if o.GetKind() == "DaemonSet" {
				wanted = len(l.nodes)
			}
			name, _, _ := unstructured.NestedString(o.Object, "spec", "template", "metadata", "labels", "app")
			have := 0
			for _, p := range pods {
				if p.Namespace == o.GetNamespace() && p.Labels["app"] == name && p.Spec.NodeName != "" {
					have++
				}
			}
			if have < wanted {
				return again{fmt.Errorf("%s %s has %d pods on nodes of %d", o.GetKind(), o.GetName(), have, wanted)}
			}
		}
		return nil
	}))
}

// namePods puts the name that a pod got in the place of the one that an example
// makes up.
func (l *lab) namePods() {
	l.t.Helper()
	pods, err := l.pods("team")
	l.must(err)
	for _, p := range pods {
		if p.Labels["app"] != "boss" {
			continue
		}
		for _, o := range l.objects {
			text, err := o.MarshalJSON()
			l.must(err)
			l.must(o.UnmarshalJSON(bytes.ReplaceAll(text, []byte("boss-6f7-x2v"), []byte(p.Name))))
		}
	}
}

// pods are those of a namespace, or all, that are not being deleted.
func (l *lab) pods(ns string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := l.admin.do("GET", at("", "pods", ns, ""), nil, &list)
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), err
}

// level sets the Pod Security level of a namespace, "" for none.
func (l *lab) level(ns, level string) {
	l.t.Helper()
	var value any
	if level != "" {
		value = level
	}
	l.must(l.admin.do("PATCH", at("", "namespaces", "", ns), object{"metadata": object{"labels": object{enforce: value}}}, nil))
}

// take deletes an object and returns what puts it back.
func (l *lab) take(t *testing.T, path string) func() {
	t.Helper()
	var o unstructured.Unstructured
	l.must(l.admin.do("GET", path, nil, &o.Object))
	l.must(l.admin.do("DELETE", path, nil, nil))
	return func() {
		fresh(&o)
		l.must(l.admin.do("POST", path[:strings.LastIndex(path, "/")], o.Object, nil))
	}
}

// fresh makes an object as it is before it is created.
func fresh(o *unstructured.Unstructured) {
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
}

// guard adds a guard, and returns when the API server heeds it.
func (l *lab) guard(t *testing.T, g guard) {
	t.Helper()
	for ns, level := range g.levels {
		l.level(ns, level)
	}
	for _, o := range g.objects {
		l.put(&unstructured.Unstructured{Object: o})
	}
	l.settle()
	l.settleAdmission(len(g.objects) > 0)
}

// settleAdmission waits until admission knows the labels of namespaces, and the
// policies if there are any, that were written before: others are written after
// them, and each watch is in order.
func (l *lab) settleAdmission(policies bool) {
	l.t.Helper()
	refused := func(path string, body object) {
		l.must(l.eventually(func() error {
			if err := l.admin.do("POST", path+"?dryRun=All", body, nil); err == nil {
				return again{errors.New("admission has not seen the last guard")}
			}
			return nil
		}))
	}
	l.level("default", "baseline")
	refused(at("", "pods", "default", ""), object{"metadata": object{"name": "mark"}, "spec": rootSpecs("")[0]})
	l.level("default", l.levels["default"])
	if !policies {
		return
	}
	mark := noNode("mark")
	spec := mark[0]["spec"].(object)
	spec["validations"] = []any{object{"expression": "false"}}
	spec["matchConstraints"] = object{
		"resourceRules":  []any{object{"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE"}, "resources": []any{"configmaps"}}},
		"objectSelector": object{"matchLabels": object{"mark": "yes"}},
	}
	for _, o := range mark {
		l.put(&unstructured.Unstructured{Object: o})
	}
	refused(at("", "configmaps", "default", ""), object{"metadata": object{"name": "mark", "labels": object{"mark": "yes"}}})
	l.remove(mark)
}

func (l *lab) remove(list []object) {
	l.t.Helper()
	for _, o := range list {
		u := unstructured.Unstructured{Object: o}
		l.must(l.admin.do("DELETE", at(u.GroupVersionKind().Group, plural(u.GetKind()), "", u.GetName()), nil, nil))
	}
}

func (l *lab) unguard(t *testing.T, g guard) {
	t.Helper()
	for ns := range g.levels {
		l.level(ns, l.levels[ns])
	}
	l.remove(g.objects)
}

// settle waits until the authorizer knows every role and binding that was written
// before: a role and a binding of each kind are written after them, and each of
// its four watches is in order.
func (l *lab) settle() {
	l.t.Helper()
	l.marks++
	name := fmt.Sprintf("mark-%d", l.marks)
	rbac := func(resource, ns string, body object) {
		body["metadata"] = object{"name": name}
		l.must(l.admin.do("POST", at("rbac.authorization.k8s.io", resource, ns, ""), body, nil))
	}
	for _, m := range []struct{ roles, bindings, kind, ns string }{
		{"clusterroles", "clusterrolebindings", "ClusterRole", ""}, {"roles", "rolebindings", "Role", "default"},
	} {
		resource := name + strings.ToLower(m.kind)
		rbac(m.roles, m.ns, object{"rules": []object{{"apiGroups": []string{"mark"}, "resources": []string{resource}, "verbs": []string{"get"}}}})
		rbac(m.bindings, m.ns, object{
			"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": m.kind, "name": name},
			"subjects": []object{{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mark"}},
		})
		l.must(l.eventually(func() error {
			var r authorizationv1.SubjectAccessReview
			err := l.admin.do("POST", at("authorization.k8s.io", "subjectaccessreviews", "", ""), object{"spec": object{
				"user": "mark", "resourceAttributes": object{"group": "mark", "resource": resource, "verb": "get", "namespace": m.ns},
			}}, &r)
			if err == nil && !r.Status.Allowed {
				return again{errors.New("the authorizer has not seen the last binding")}
			}
			return err
		}))
	}
}

// A self is somebody that an attacker is by now.
type self struct {
	// name is what hops call it.
	name   string
	config *rest.Config
	// node is the one that it is root on; config is then that of its kubelet.
	node string
	// secret is the value of the Secret that it was after.
	secret string
}

// start gives the credentials of whoever a path starts from: for a group, those
// of somebody in it.
func (l *lab) start(name string) (self, error) {
	if s, ok := l.selves[name]; ok {
		return s, nil
	}
	s := self{name: name}
	switch {
	case strings.HasPrefix(name, "system:serviceaccount:"):
		ns, account := account(name)
		s.config = l.ServiceAccount(l.t, ns, account).Config()
	case name == "system:anonymous":
		s.config = rest.AnonymousClientConfig(l.Config())
	case name == "system:authenticated":
		s.config = l.User(l.t, "mallory").Config()
	case strings.HasPrefix(name, "system:"):
		s.config = l.User(l.t, "mallory", name).Config()
	default:
		s.config = l.User(l.t, name).Config()
	}
	l.selves[name] = s
	return s, nil
}

// account splits the user name of a ServiceAccount, or a target that is one; both
// are "" for anything else.
func account(name string) (ns, account string) {
	name = strings.TrimPrefix(name, "system:")
	if rest, ok := strings.CutPrefix(name, "serviceaccount:"); ok {
		ns, account, _ = strings.Cut(rest, ":")
	}
	return ns, account
}

// proves says whether somebody has come to what a hop says that they are.
func (l *lab) proves(s self, to string) error {
	if to == "cluster-admin" {
		var r authorizationv1.SelfSubjectAccessReview
		err := s.do("POST", at("authorization.k8s.io", "selfsubjectaccessreviews", "", ""),
			object{"spec": object{"resourceAttributes": object{"verb": "*", "group": "*", "resource": "*"}}}, &r)
		if err == nil && !r.Status.Allowed {
			return again{fmt.Errorf("%w: not everything is allowed", errNothing)}
		}
		return err
	}
	if ns, ok := strings.CutPrefix(to, "secrets:"); ok {
		if s.secret != treasure(ns) {
			return fmt.Errorf("%w: no Secret of %s was read", errNothing, ns)
		}
		return nil
	}
	var r authenticationv1.SelfSubjectReview
	if err := s.do("POST", at("authentication.k8s.io", "selfsubjectreviews", "", ""), object{}, &r); err != nil {
		return err
	}
	who := r.Status.UserInfo
	ok := who.Username == to || slices.Contains(who.Groups, to)
	if to == "node" {
		ok = s.node != "" && who.Username == "system:node:"+s.node
	} else if ns, name := account(to); name != "" {
		ok = who.Username == "system:serviceaccount:"+ns+":"+name
	}
	if !ok {
		return fmt.Errorf("it is %s of %v, not %s", who.Username, who.Groups, to)
	}
	return nil
}

// errNothing is when nobody refuses a request, and it does nothing.
var errNothing = errors.New("nothing comes of it")

// refusal reports whether an error is the answer that closes a path, and not that
// of a test which went wrong.
func refusal(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code == http.StatusUnauthorized {
		return true
	}
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || errors.Is(err, errNothing) ||
		apierrors.IsNotFound(err) && strings.Contains(err.Error(), "could not find the requested resource") // the API is not served
}

// at is the path of objects; a resource may have a subresource.
func at(group, resource, ns, name string) string {
	path := "/api/v1"
	if group != "" {
		path = "/apis/" + group + "/v1"
	}
	if ns != "" {
		path += "/namespaces/" + ns
	}
	resource, sub, _ := strings.Cut(resource, "/")
	path += "/" + resource
	if name != "" {
		path += "/" + name
	}
	if sub != "" {
		path += "/" + sub
	}
	return path
}

func plural(kind string) string {
	lower := strings.ToLower(kind)
	switch {
	case strings.HasSuffix(lower, "y"):
		return strings.TrimSuffix(lower, "y") + "ies"
	case strings.HasSuffix(lower, "s"):
		return lower + "es"
	}
	return lower + "s"
}

// do sends one request, with the body as JSON, and decodes the answer. PATCH is a
// merge patch.
func (s self) do(method, path string, in, out any) error {
	header := http.Header{"Content-Type": {"application/json"}}
	if method == http.MethodPatch {
		header.Set("Content-Type", "application/merge-patch+json")
	}
	return s.send(method, path, header, in, out)
}

// upgrade asks to be connected to what runs on a node, by WebSocket when it is a
// GET. The kubelet here answers at once instead.
func (s self) upgrade(method, path string, out any) error {
	header := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}, "X-Stream-Protocol-Version": {"v4.channel.k8s.io"}}
	if method == http.MethodGet {
		header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"c29tZXRoaW5nIGxpa2UgaQ=="}, "Sec-Websocket-Protocol": {"v4.channel.k8s.io"}}
	}
	return s.send(method, path, header, nil, out)
}

func (s self) send(method, path string, header http.Header, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	config := rest.CopyConfig(s.config)
	if header.Get("Upgrade") != "" {
		config.NextProtos = []string{"http/1.1"}
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, config.Host+path, body)
	if err != nil {
		return err
	}
	for key, values := range header {
		req.Header[key] = values
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 400 {
		status := metav1.Status{Code: int32(resp.StatusCode), Message: string(answer)}
		if json.Unmarshal(answer, &status) != nil && resp.StatusCode == http.StatusForbidden {
			status.Reason = metav1.StatusReasonForbidden
		}
		return fmt.Errorf("%s %s: %w", method, path, &apierrors.StatusError{ErrStatus: status})
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// A kubelet stands for the one of a node, which has a certificate of its own. It
// runs nothing: it answers the API server, and gives to what would run in a pod
// what the API server gives to the node for it.
type kubelet struct {
	self
	lab *lab
}

// addNodes registers the nodes of the example, or two: with one alone every pod
// would be on it.
func (l *lab) addNodes() {
	l.t.Helper()
	nodes := slices.DeleteFunc(slices.Clone(l.objects), func(o *unstructured.Unstructured) bool { return o.GetKind() != "Node" })
	if len(nodes) == 0 {
		nodes = append(nodes, plain("Node", "", "one"), plain("Node", "", "two"))
	}
	host := address()
	pair := l.serving(host)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(l.CA)
	var err error
	for _, n := range nodes {
		k := &kubelet{lab: l, self: self{name: "node", node: n.GetName()}}
		k.config = l.User(l.t, "system:node:"+k.node, "system:nodes").Config()
		server := httptest.NewUnstartedServer(k)
		server.Listener.Close()
		server.Listener, err = net.Listen("tcp", net.JoinHostPort(host.String(), "0"))
		l.must(err)
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
		server.StartTLS()
		l.t.Cleanup(server.Close)
		k.register(n.GetLabels(), server.Listener.Addr().(*net.TCPAddr))
		l.nodes[k.node] = k
	}
}

// address is one of this machine, if it has one, that is not a loopback address:
// nodes/proxy forwards to none of those.
func address() net.IP {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP
		}
	}
	return net.IPv4(127, 0, 0, 1)
}

// serving is a certificate of the cluster's authority for the kubelets.
func (l *lab) serving(host net.IP) tls.Certificate {
	l.t.Helper()
	pki := filepath.Join(l.Dir, "pki")
	ca, err := tls.LoadX509KeyPair(filepath.Join(pki, "ca.crt"), filepath.Join(pki, "ca.key"))
	l.must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	l.must(err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{host},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca.Leaf, key.Public(), ca.PrivateKey)
	l.must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (k *kubelet) register(labels map[string]string, addr *net.TCPAddr) {
	l := k.lab
	l.t.Helper()
	size := object{"cpu": "64", "memory": "256Gi", "pods": "1000"}
	l.must(l.admin.do("POST", at("", "nodes", "", ""), object{
		"metadata": object{"name": k.node, "labels": labels},
		"status": object{
			"capacity": size, "allocatable": size,
			"conditions":      []object{{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": metav1.Now(), "lastTransitionTime": metav1.Now()}},
			"addresses":       []object{{"type": "InternalIP", "address": addr.IP.String()}},
			"daemonEndpoints": object{"kubeletEndpoint": object{"Port": addr.Port}},
		},
	}, nil))
	lease := at("coordination.k8s.io", "leases", corev1.NamespaceNodeLease, "")
	l.must(k.do("POST", lease, object{"metadata": object{"name": k.node}, "spec": object{"holderIdentity": k.node, "leaseDurationSeconds": 40}}, nil))
	ctx, stop := context.WithCancel(context.Background())
	l.t.Cleanup(stop)
	go func() {
		for tick := time.Tick(300 * time.Millisecond); ctx.Err() == nil; <-tick {
			k.do("PATCH", lease+"/"+k.node, object{"spec": object{"renewTime": metav1.NowMicro()}}, nil)
			k.tend()
		}
	}()
}

// tend says of the pods of the node that they run, and of those that are being
// deleted that they have ended.
func (k *kubelet) tend() {
	var list corev1.PodList
	if k.do("GET", at("", "pods", "", "")+"?fieldSelector=spec.nodeName="+k.node, nil, &list) != nil {
		return // the test is over
	}
	for _, p := range list.Items {
		switch {
		case p.DeletionTimestamp != nil:
			k.do("DELETE", at("", "pods", p.Namespace, p.Name), object{"gracePeriodSeconds": 0}, nil)
		case p.Status.Phase == corev1.PodPending:
			k.do("PATCH", at("", "pods/status", p.Namespace, p.Name), object{"status": object{"phase": "Running",
				"conditions": []object{{"type": "Ready", "status": "True", "lastTransitionTime": metav1.Now()}}}}, nil)
		}
	}
}

// loot is what a process in a container finds.
type loot struct {
	Token  string `json:"token"`
	Secret string `json:"secret"`
	// Root is set when it reaches the node.
	Root bool `json:"root"`
}

// ServeHTTP answers what the API server passes on: /exec, /attach and /run of a
// container, with what a process in it finds.
func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if caller := r.TLS.PeerCertificates[0].Subject.CommonName; caller != "kube-apiserver-kubelet-client" {
		http.Error(w, "who is "+caller, http.StatusUnauthorized)
		return
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(part) != 4 || !slices.Contains([]string{"exec", "attach", "run"}, part[0]) {
		http.NotFound(w, r)
		return
	}
	var pod corev1.Pod
	if err := k.lab.admin.do("GET", at("", "pods", part[1], part[2]), nil, &pod); err != nil || pod.Spec.NodeName != k.node {
		http.Error(w, fmt.Sprintf("no such pod here: %v", err), http.StatusNotFound)
		return
	}
	c := containerOf(&pod, part[3])
	var found loot
	if c != nil && (part[0] != "attach" || c.Stdin) { // else nobody listens
		var err error
		if found, err = k.inside(&pod, c); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	text, _ := json.Marshal(found)
	if protocol := r.Header.Get("Upgrade"); protocol != "" {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n%s", protocol, text)
		return
	}
	w.Write(text)
}

func containerOf(pod *corev1.Pod, name string) *corev1.Container {
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == name {
			return c
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if c := &pod.Spec.EphemeralContainers[i]; c.Name == name {
			common := corev1.Container(c.EphemeralContainerCommon)
			return &common
		}
	}
	return nil
}

// inside is what a process in a container of a pod of this node finds, got as the
// kubelet gets it: what the node may not have for the pod it does not give.
func (k *kubelet) inside(pod *corev1.Pod, c *corev1.Container) (found loot, err error) {
	if pod.Spec.NodeName != k.node {
		return loot{}, fmt.Errorf("pod %s is on node %q", pod.Name, pod.Spec.NodeName)
	}
	found.Root = isRoot(pod, c)
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			continue
		}
		v := pod.Spec.Volumes[i]
		switch {
		case v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.ServiceAccountToken != nil }):
			found.Token, err = k.tokenOf(pod)
		case v.HostPath != nil:
			found.Root = found.Root || v.HostPath.Path == "/"
		case v.Secret != nil:
			var s corev1.Secret
			err = k.do("GET", at("", "secrets", pod.Namespace, v.Secret.SecretName), nil, &s)
			found.Secret = string(s.Data["value"])
		case v.PersistentVolumeClaim != nil:
			var root bool
			root, err = k.folder(pod, c, v.PersistentVolumeClaim.ClaimName)
			found.Root = found.Root || root
		}
		if err != nil {
			return loot{}, err
		}
	}
	return found, nil
}

// isRoot reports whether a container is as good as its node by what it may do.
func isRoot(pod *corev1.Pod, c *corev1.Container) bool {
	sc := c.SecurityContext
	return sc != nil && (sc.Privileged != nil && *sc.Privileged ||
		pod.Spec.HostPID && sc.Capabilities != nil && slices.Contains(sc.Capabilities.Add, "SYS_ADMIN"))
}

// tokenOf is a token of a pod's ServiceAccount, bound to the pod. The API server
// gives it to the node that the pod is on, and to no other.
func (s self) tokenOf(pod *corev1.Pod) (string, error) {
	var r authenticationv1.TokenRequest
	err := s.do("POST", at("", "serviceaccounts/token", pod.Namespace, pod.Spec.ServiceAccountName), object{"spec": object{
		"boundObjectRef": object{"apiVersion": "v1", "kind": "Pod", "name": pod.Name, "uid": pod.UID},
	}}, &r)
	return r.Status.Token, err
}

// folder says whether a claim is a folder of the node that makes the container
// root there: as root in any, or in the group of root, which may write to the
// socket of containerd.
func (k *kubelet) folder(pod *corev1.Pod, c *corev1.Container, claim string) (bool, error) {
	var pvc corev1.PersistentVolumeClaim
	if err := k.do("GET", at("", "persistentvolumeclaims", pod.Namespace, claim), nil, &pvc); err != nil {
		return false, err
	}
	var pv corev1.PersistentVolume
	if err := k.do("GET", at("", "persistentvolumes", "", pvc.Spec.VolumeName), nil, &pv); err != nil {
		return false, err
	}
	if pv.Spec.HostPath == nil {
		return false, nil
	}
	ids := func(own func(*corev1.SecurityContext) *int64, all func(*corev1.PodSecurityContext) *int64) *int64 {
		if c.SecurityContext != nil && own(c.SecurityContext) != nil {
			return own(c.SecurityContext)
		}
		if pod.Spec.SecurityContext != nil {
			return all(pod.Spec.SecurityContext)
		}
		return nil
	}
	user := ids(func(s *corev1.SecurityContext) *int64 { return s.RunAsUser }, func(s *corev1.PodSecurityContext) *int64 { return s.RunAsUser })
	group := ids(func(s *corev1.SecurityContext) *int64 { return s.RunAsGroup }, func(s *corev1.PodSecurityContext) *int64 { return s.RunAsGroup })
	return user == nil || *user == 0 || group != nil && *group == 0 && pv.Spec.HostPath.Path == "/run/containerd", nil
}

// A hook is a server of the attacker's, reached by the API server: what webhooks
// are sent to it, and what it answers.
type hook struct {
	url, ca string
	mutex   sync.Mutex
	// add is a subject that it adds to the bindings which pass, manifests what it
	// puts into the custom resources that it converts.
	add       object
	manifests []object
	// seen are the values of the Secrets that passed, by namespace.
	seen map[string]string
}

func newHook(t *testing.T) *hook {
	h := &hook{seen: map[string]string{}}
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL
	h.ca = base64.StdEncoding.EncodeToString(pemOf(server.Certificate()))
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var review object
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	request, _ := review["request"].(object)
	answer := object{"uid": request["uid"]}
	if review["kind"] == "ConversionReview" {
		answer["result"], answer["convertedObjects"] = object{"status": "Success"}, h.convert(request)
	} else {
		answer["allowed"] = true
		h.look(request, answer)
	}
	delete(review, "request")
	review["response"] = answer
	json.NewEncoder(w).Encode(review)
}

func (h *hook) convert(request object) (list []any) {
	objects, _ := request["objects"].([]any)
	for _, o := range objects {
		o := o.(object)
		o["apiVersion"] = request["desiredAPIVersion"]
		o["spec"] = object{"manifests": h.manifests}
		list = append(list, o)
	}
	return list
}

func (h *hook) look(request, answer object) {
	o := unstructured.Unstructured{Object: request["object"].(object)}
	switch o.GetKind() {
	case "Secret":
		value, _, _ := unstructured.NestedString(o.Object, "data", "value")
		data, _ := base64.StdEncoding.DecodeString(value)
		h.seen[o.GetNamespace()] = string(data)
	case "ClusterRoleBinding":
		patch, _ := json.Marshal([]object{{"op": "add", "path": "/subjects/-", "value": h.add}})
		answer["patchType"], answer["patch"] = "JSONPatch", patch
	}
}
