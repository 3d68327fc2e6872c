package host

import (
	"path"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/etcd"
)

// etcdSnapshot is where a snapshot is looked for that etcdctl saved.
const etcdSnapshot = "/gabion/etcd.db"

// stored counts how Secrets are stored in etcd's data, of which a snapshot that
// somebody saved wins over the file that etcd writes to.
func (r *reader) stored(dataDir string) {
	file := path.Join(dataDir, "member/snap/db")
	if r.tree.Stat(etcdSnapshot).Type == evidence.Regular {
		file = etcdSnapshot
	}
	f := r.note(file, false)
	if f.Type != evidence.Regular {
		return
	}
	r.host.Etcd = &evidence.EtcdData{File: file}
	at, err := r.tree.Open(file)
	if err == nil {
		defer at.Close()
		r.opened[file] = true
		var data *evidence.EtcdData
		if data, err = etcd.Read(r.ctx, at, r.etcdPrefix()); err == nil {
			data.File = file
			r.host.Etcd = data
		}
	}
	if err != nil {
		r.host.Etcd.Error = err.Error()
	}
}

// etcdPrefix is below which key the API server stores its objects.
func (r *reader) etcdPrefix() string {
	if c := r.host.Component(evidence.APIServer); c != nil {
		if f, ok := c.Flag("etcd-prefix"); ok {
			return path.Join("/", f.Value)
		}
	}
	return "/registry"
}
