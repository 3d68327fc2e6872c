package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// VolumeTypes reports volumes of kinds that reach past the pod.
//
// Guide: Appendix C, volumes. Pod Security Standards, restricted:
// restrictedVolumes (1.0), which also lets inline CSI, ephemeral and image
// volumes through.
var VolumeTypes = &check.Check{
	ID:             "volume-types",
	Title:          "volume of a kind that reaches into the node or the network",
	Doc:            volumeTypesDoc,
	Recommendation: "POD-14",
	Severity:       guide.Medium,
	Remedy:         "put the storage behind a PersistentVolume and let the pod claim it",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(everyPod, volumeTypes),
}

const volumeTypesDoc = `With most volume kinds the author of a pod chooses what the node mounts: a disk, a
server, a directory. Such a choice belongs to an administrator, who makes it in a
PersistentVolume; the pod only claims it.

configMap, downwardAPI, emptyDir, persistentVolumeClaim, projected and secret
are harmless, and so, by the restricted Pod Security Standard, are csi, ephemeral
and image. A volume without any kind is an emptyDir. Every other kind is
reported. hostPath is among them with low severity, because the rule host-path
says how bad it is; gitRepo is high, because the node runs git as root for it.

    volumes:
      - name: data
        persistentVolumeClaim: {claimName: data}
`

func volumeTypes(_ *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	for i := range w.Pod.Volumes {
		v := &w.Pod.Volumes[i]
		kind := riskyVolume(&v.VolumeSource)
		if kind == "" {
			continue
		}
		p := check.Problem{
			Path:    w.PodPath.Field("volumes").Index(i, v.Name).Field(kind),
			Value:   kind,
			Message: fmt.Sprintf("volume %q is of the kind %s", v.Name, kind),
		}
		switch kind {
		case "hostPath":
			p.Severity, p.SeverityReason = guide.Low, "the rule host-path judges how bad it is"
		case "gitRepo":
			p.Severity, p.SeverityReason = guide.High, "the node runs git as root on a repository of the author's choice"
			p.Remedy = "clone in an init container into an emptyDir"
		}
		problems = append(problems, p)
	}
	return problems
}

// riskyVolume is the field of a volume's source when it is not a harmless kind.
func riskyVolume(v *corev1.VolumeSource) string {
	switch {
	case v.HostPath != nil:
		return "hostPath"
	case v.GitRepo != nil:
		return "gitRepo"
	case v.NFS != nil:
		return "nfs"
	case v.ISCSI != nil:
		return "iscsi"
	case v.FC != nil:
		return "fc"
	case v.FlexVolume != nil:
		return "flexVolume"
	case v.GCEPersistentDisk != nil:
		return "gcePersistentDisk"
	case v.AWSElasticBlockStore != nil:
		return "awsElasticBlockStore"
	case v.AzureDisk != nil:
		return "azureDisk"
	case v.AzureFile != nil:
		return "azureFile"
	case v.CephFS != nil:
		return "cephfs"
	case v.RBD != nil:
		return "rbd"
	case v.Glusterfs != nil:
		return "glusterfs"
	case v.Cinder != nil:
		return "cinder"
	case v.Flocker != nil:
		return "flocker"
	case v.Quobyte != nil:
		return "quobyte"
	case v.VsphereVolume != nil:
		return "vsphereVolume"
	case v.PhotonPersistentDisk != nil:
		return "photonPersistentDisk"
	case v.PortworxVolume != nil:
		return "portworxVolume"
	case v.ScaleIO != nil:
		return "scaleIO"
	case v.StorageOS != nil:
		return "storageos"
	}
	return ""
}
