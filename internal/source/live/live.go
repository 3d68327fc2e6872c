// Package live lists the objects of a cluster from its API server and hands them
// to a Sink: everything that opens a connection to one is here, the words for
// what may go wrong on the way included.
//
// It asks with get and list only, never for the values of a Secret, and what it
// may not see, or what the server could not give, becomes a gap with its reason.
// What is listed is decided in one place, from which the rights that it takes are
// told as well. It judges nothing and keeps nothing.
package live

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Options say which cluster is looked at, as whom, and at what of it.
type Options struct {
	// Kubeconfig is a file; "" for those of KUBECONFIG, else the default one, else
	// the account of the pod that this runs in.
	Kubeconfig string
	// Context is the kubeconfig's context; "" for its current one.
	Context string
	// As and AsGroups are whom to impersonate.
	As       string
	AsGroups []string
	// RequestTimeout bounds each request; 0 stands for a minute.
	RequestTimeout time.Duration
	// Namespaces are those to look at; none means all. Objects that live in no
	// namespace are asked for in either case.
	Namespaces []string
	// NoSecrets leaves out even the names of Secrets.
	NoSecrets bool
	// Configz has each kubelet asked for its configuration, through the API server.
	Configz bool
	// Usage has measured use asked for, where there are metrics, and how far autoscalers
	// scale.
	Usage bool
	// UserAgent is what the API server writes into its audit log.
	UserAgent string
	// Progress, if set, is told in words how far a collection is.
	Progress func(string)
}

// kubeSystem is the namespace that every cluster has and no two share.
const kubeSystem = "kube-system"

// A Client looks at one cluster. Its methods are not for use at the same time.
type Client struct {
	options Options
	// name is the context, and user its entry.
	name, user string
	config     *rest.Config
	http       *http.Client
	base       *url.URL
	timeout    time.Duration
	// backoff is what the first retry waits where the server does not say.
	backoff time.Duration
	// answered is set once the server has; silent counts the requests in a row that
	// it let time out.
	answered atomic.Bool
	silent   atomic.Int32

	cluster *evidence.Cluster
}

// Cluster finds out which cluster this is and makes sure that it answers. Its
// errors are one line for the user, which names what to do; what is known of the
// cluster without its answer is returned with them. Collect goes on to fill in
// the Lists of what is returned.
func (c *Client) Cluster(ctx context.Context) (*evidence.Cluster, error) {
	cluster := &evidence.Cluster{
		Name: c.name, Server: c.base.String(), User: c.who(),
		Namespaces: c.options.Namespaces, CollectedAt: time.Now().UTC(), Lists: []evidence.Listing{},
	}
	version, err := c.version(ctx)
	if err != nil && !somebody(err) {
		return cluster, c.explain(ctx, err)
	}
	cluster.Version = version
	if cluster.UID, err = c.uid(ctx); err != nil && !somebody(err) {
		return cluster, c.explain(ctx, err)
	}
	c.cluster = cluster
	return cluster, nil
}

// version is what the server says that it is.
func (c *Client) version(ctx context.Context) (string, error) {
	var info struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := c.getJSON(ctx, request{path: []string{"version"}}, &info); err != nil {
		return "", err
	}
	if info.GitVersion == "" {
		return "", &answerError{code: http.StatusOK, message: "something without a version"}
	}
	return oneLine(info.GitVersion, maxName), nil
}

// uid is the UID of the Namespace kube-system. It is asked for with the right
// that Collect needs as well.
func (c *Client) uid(ctx context.Context) (string, error) {
	if len(c.options.Namespaces) > 0 {
		var namespace metav1.PartialObjectMetadata
		err := c.getJSON(ctx, request{path: []string{"api", "v1", "namespaces", kubeSystem}}, &namespace)
		return oneLine(string(namespace.UID), maxName), err
	}
	var list metav1.PartialObjectMetadataList
	query := url.Values{"fieldSelector": {"metadata.name=" + kubeSystem}}
	if err := c.getJSON(ctx, request{path: []string{"api", "v1", "namespaces"}, query: query}, &list); err != nil || len(list.Items) == 0 {
		return "", err
	}
	return oneLine(string(list.Items[0].UID), maxName), nil
}

// getJSON decodes one answer.
func (c *Client) getJSON(ctx context.Context, r request, into any) error {
	r.accept = jsonForm
	var body bytes.Buffer
	if _, err := c.get(ctx, r, &body); err != nil {
		return err
	}
	if err := json.Unmarshal(body.Bytes(), into); err != nil {
		return &answerError{code: http.StatusOK, message: "something that is not JSON"}
	}
	return nil
}

// all reports whether every namespace is looked at.
func (o Options) all() bool { return len(o.Namespaces) == 0 }

// sees reports whether a namespace is looked at.
func (o Options) sees(namespace string) bool {
	return o.all() || slices.Contains(o.Namespaces, namespace)
}
