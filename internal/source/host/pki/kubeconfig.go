package pki

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A kubeconfig has those fields of v1 Config (k8s.io/client-go/tools/clientcmd/api/v1)
// that tell by which means, not by which secret, somebody authenticates.
type kubeconfig struct {
	Users []struct {
		Name string `json:"name"`
		User struct {
			CertificateData string `json:"client-certificate-data"`
			CertificateFile string `json:"client-certificate"`
			KeyData         string `json:"client-key-data"`
			KeyFile         string `json:"client-key"`
			Token           string `json:"token"`
			TokenFile       string `json:"tokenFile"`
			Username        string `json:"username"`
			Password        string `json:"password"`
			Exec            *struct {
				Command string `json:"command"`
			} `json:"exec"`
			AuthProvider *struct {
				Name string `json:"name"`
			} `json:"auth-provider"`
		} `json:"user"`
	} `json:"users"`
	Clusters []struct {
		Name    string `json:"name"`
		Cluster struct {
			Server   string `json:"server"`
			Insecure bool   `json:"insecure-skip-tls-verify"`
			CAData   string `json:"certificate-authority-data"`
			CAFile   string `json:"certificate-authority"`
			Proxy    string `json:"proxy-url"`
		} `json:"cluster"`
	} `json:"clusters"`
}

// Kubeconfig tells what a kubeconfig says, without its credentials. Paths in it are
// made those of the node: it gives them from its own folder on. The errors of the
// parsers are not passed on, but for the line: they may quote what they met.
func Kubeconfig(file string, data []byte) *evidence.Kubeconfig {
	k := &evidence.Kubeconfig{Path: file}
	var decoder yamldoc.Decoder
	for doc, err := range decoder.Documents(file, data) { // the first one is all that client-go reads
		if err != nil {
			k.Error = fmt.Sprintf("not valid YAML (line %d)", err.Line)
			return k
		}
		if doc.Kind != "" && doc.Kind != "Config" {
			k.Error = "not a kubeconfig: it is of another kind"
			return k
		}
		var c kubeconfig
		if kjson.UnmarshalCaseSensitivePreserveInts(doc.JSON, &c) != nil {
			k.Error = "not a kubeconfig: a field has a value of another type than it should"
			return k
		}
		k.Users, k.Clusters = c.users(file, doc.Outline), c.clusters(doc.Outline)
		return k
	}
	k.Error = "the file is empty"
	return k
}

func (c *kubeconfig) users(file string, outline *evidence.Outline) []evidence.KubeconfigUser {
	var list []evidence.KubeconfigUser
	for i, named := range c.Users {
		at := evidence.NewPath("users").Index(i, "")
		u := named.User
		e := evidence.KubeconfigUser{
			Name: named.Name, Place: outline.Place(at),
			Token: u.Token != "", TokenExpires: tokenExpires(u.Token), TokenFile: fromFolderOf(file, u.TokenFile),
			Password: u.Password != "",
			Key:      u.KeyData != "", KeyFile: fromFolderOf(file, u.KeyFile),
			CertificateFile: fromFolderOf(file, u.CertificateFile),
		}
		if u.CertificateData != "" {
			e.Certificate = embedded(outline.Place(at.Field("user", "client-certificate-data")), u.CertificateData)
		}
		if u.Exec != nil {
			e.Exec = u.Exec.Command
		}
		if u.AuthProvider != nil {
			e.AuthProvider = u.AuthProvider.Name
		}
		list = append(list, e)
	}
	return list
}

func (c *kubeconfig) clusters(outline *evidence.Outline) []evidence.KubeconfigCluster {
	var list []evidence.KubeconfigCluster
	for i, named := range c.Clusters {
		list = append(list, evidence.KubeconfigCluster{
			Name: named.Name, Place: outline.Place(evidence.NewPath("clusters").Index(i, "")),
			Server: address(named.Cluster.Server), Proxy: address(named.Cluster.Proxy),
			Insecure: named.Cluster.Insecure,
			CA:       named.Cluster.CAData != "" || named.Cluster.CAFile != "",
		})
	}
	return list
}

// embedded reads the first certificate of a field in base64, which is the one that a
// client presents.
func embedded(place evidence.Position, text string) *evidence.Certificate {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return &evidence.Certificate{Place: place, Error: "not base64"}
	}
	list := Certificates(place.File, data)
	if len(list) == 0 {
		return &evidence.Certificate{Place: place, Error: "no certificate"}
	}
	list[0].Place = place
	return list[0]
}

// fromFolderOf is a path that a kubeconfig names, as the node has it.
func fromFolderOf(file, name string) string {
	if name == "" || path.IsAbs(name) {
		return name
	}
	return path.Join(path.Dir(file), name)
}

// address is a URL without what may be secret in it: the user and the query.
func address(text string) string {
	if text == "" {
		return ""
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "", text
	}
	u, err := url.Parse("//" + rest)
	if err != nil || u.Host == "" {
		return "(not a URL)"
	}
	clean := u.Host + u.EscapedPath()
	if scheme != "" {
		clean = scheme + "://" + clean
	}
	return clean
}

// maxYear is the end of the times that JSON can hold, in seconds since 1970.
const maxYear = 253402300799

// tokenExpires is the time at which a token says that it ends (exp of RFC 7519, 4.1.4),
// zero when it does not say or is not of the kind that does.
func tokenExpires(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || !(claims.Exp > 0 && claims.Exp <= maxYear) {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0).UTC()
}
