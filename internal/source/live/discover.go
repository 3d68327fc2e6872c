package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A served resource is one that the server says it has, in one version.
type served struct {
	group, version, kind, resource string
	namespaced                     bool
}

// A catalogue is what the server says it serves.
type catalogue struct {
	// resources that can be listed, versions of one group in the server's order.
	resources []served
	// down are the groups of which some version's server does not answer, with why.
	down map[string]string
}

// versions are those in which a group's kind is served, the preferred one first.
func (c *catalogue) versions(group, kind string) (list []served) {
	for _, s := range c.resources {
		if s.group == group && s.kind == kind {
			list = append(list, s)
		}
	}
	return list
}

// discoveryForm asks for everything at once, which servers since 1.26 give.
const discoveryForm = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList," + jsonForm

// discover asks what the server serves.
func (c *Client) discover(ctx context.Context) (*catalogue, error) {
	found := &catalogue{down: map[string]string{}}
	for _, root := range []string{"api", "apis"} {
		if err := c.discoverRoot(ctx, root, found); err != nil {
			return nil, err
		}
	}
	if len(found.resources) == 0 {
		return nil, errors.New("it names no resources at all")
	}
	return found, nil
}

func (c *Client) discoverRoot(ctx context.Context, root string, found *catalogue) error {
	var body bytes.Buffer
	contentType, err := c.get(ctx, request{path: []string{root}, accept: discoveryForm}, &body)
	if err != nil {
		return err
	}
	if _, params, err := mime.ParseMediaType(contentType); err != nil || params["as"] != "APIGroupDiscoveryList" {
		return c.discoverEach(ctx, root, body.Bytes(), found)
	}
	var list apidiscoveryv2.APIGroupDiscoveryList
	if err := json.Unmarshal(body.Bytes(), &list); err != nil {
		return fmt.Errorf("read /%s: %s", root, oneLine(err.Error(), maxReason))
	}
	for _, group := range list.Items {
		for _, version := range group.Versions {
			if version.Freshness == apidiscoveryv2.DiscoveryFreshnessStale {
				found.down[group.Name] = "the server of " + group.Name + "/" + version.Version + " does not answer"
			}
			for _, r := range version.Resources {
				if r.ResponseKind == nil {
					continue
				}
				found.add(served{group.Name, version.Version, r.ResponseKind.Kind, r.Resource, r.Scope == apidiscoveryv2.ScopeNamespace}, r.Verbs)
			}
		}
	}
	return nil
}

// discoverEach asks an older server, group by group.
func (c *Client) discoverEach(ctx context.Context, root string, body []byte, found *catalogue) error {
	var list struct {
		Versions []string          `json:"versions"` // of /api
		Groups   []metav1.APIGroup `json:"groups"`   // of /apis
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("read /%s: %s", root, oneLine(err.Error(), maxReason))
	}
	for _, version := range list.Versions {
		if err := c.discoverVersion(ctx, "", version, found); err != nil {
			return err
		}
	}
	for _, group := range list.Groups {
		versions := group.Versions
		slices.SortStableFunc(versions, func(a, b metav1.GroupVersionForDiscovery) int {
			if a == group.PreferredVersion && b != a {
				return -1
			}
			if b == group.PreferredVersion && b != a {
				return 1
			}
			return 0
		})
		for _, version := range versions {
			if err := c.discoverVersion(ctx, group.Name, version.Version, found); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Client) discoverVersion(ctx context.Context, group, version string, found *catalogue) error {
	var list metav1.APIResourceList
	err := c.getJSON(ctx, request{path: groupPath(group, version)}, &list)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		if code(err) != 404 {
			found.down[group] = err.Error()
		}
		return nil
	}
	for _, r := range list.APIResources {
		found.add(served{group, version, r.Kind, r.Name, r.Namespaced}, r.Verbs)
	}
	return nil
}

// add takes a resource that can be listed. What has no proper name is no
// resource: it would end up in an address.
func (c *catalogue) add(s served, verbs []string) {
	if slices.Contains(verbs, "list") && isName(s.group, true) && isName(s.version, false) && isName(s.resource, false) && s.kind != "" {
		c.resources = append(c.resources, s)
	}
}

func isName(s string, orEmpty bool) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && (orEmpty || s != "") && len(s) <= maxName
}

// groupPath is the path of a group's version.
func groupPath(group, version string) []string {
	if group == "" {
		return []string{"api", version}
	}
	return []string{"apis", group, version}
}
