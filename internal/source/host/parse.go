package host

import (
	"bytes"
	"path"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/pki"
	"github.com/gabion-k8s/gabion/internal/source/host/system"
)

// parseKeys adds the certificates and keys of a file. What it should hold, its name
// tells, or its text.
func (r *reader) parseKeys(file string, data []byte) {
	isKey := bytes.Contains(data, []byte("PRIVATE KEY-----"))
	isCertificate := bytes.Contains(data, []byte("CERTIFICATE-----"))
	switch ext := path.Ext(file); {
	case isKey || isCertificate:
	case bytes.Contains(data, []byte("PUBLIC KEY-----")):
		return
	default:
		isKey = ext == ".key"
		isCertificate = !isKey
	}
	if isKey {
		r.host.Keys = append(r.host.Keys, pki.Keys(file, data)...)
	}
	if !isCertificate {
		return
	}
	for _, c := range pki.Certificates(file, data) {
		r.host.Certificates = append(r.host.Certificates, c)
		if c.Error != "" {
			r.broken(evidence.Issue{File: c.Place.File, Line: c.Place.Line, Reason: c.Error})
		}
	}
}

// parseKubeconfig adds a kubeconfig, and what it names.
func (r *reader) parseKubeconfig(file string, data []byte) {
	k := pki.Kubeconfig(file, data)
	r.host.Kubeconfigs = append(r.host.Kubeconfigs, k)
	if k.Error != "" && !slices.ContainsFunc(r.source.Errors, func(i evidence.Issue) bool { return i.File == file }) {
		r.broken(evidence.Issue{File: file, Reason: k.Error})
	}
	for _, u := range k.Users {
		for _, named := range []string{u.CertificateFile, u.KeyFile} {
			if named == "" || !path.IsAbs(named) {
				continue
			}
			if f := r.note(named, true); f.Type == evidence.Regular {
				r.keys(f.Path)
			}
		}
		if path.IsAbs(u.TokenFile) {
			r.note(u.TokenFile, true)
		}
	}
}

// system adds what is known below Kubernetes.
func (r *reader) system() {
	pki.Link(r.everyCertificate())
	system.Read(r.tree, r.host)
}

// everyCertificate returns those of files and those in kubeconfigs.
func (r *reader) everyCertificate() []*evidence.Certificate {
	all := slices.Clone(r.host.Certificates)
	for _, k := range r.host.Kubeconfigs {
		for _, u := range k.Users {
			if u.Certificate != nil {
				all = append(all, u.Certificate)
			}
		}
	}
	return all
}
