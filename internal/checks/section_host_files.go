package checks

import "github.com/gabion-k8s/gabion/internal/check"

// hostFiles are the checks of etcd, of certificates and keys, and of who may read and
// change the files of nodes.
func hostFiles() []*check.Check {
	return []*check.Check{
		NodeFilePermissions,
		PrivateKeyFile,
		RunningDiffers,
		EtcdClientTLS,
		EtcdClientAuth,
		EtcdClientCertificates,
		EtcdPeerTLS,
		EtcdSeparateCA,
		APIServerEtcdTLS,
		EtcdDataAccess,
		EtcdDisk,
		KubeconfigPermissions,
		KubeconfigContent,
		CertificateValidity,
		CertificateStrength,
		CertificateIssuer,
		CertificateKey,
		CertificateNames,
	}
}
