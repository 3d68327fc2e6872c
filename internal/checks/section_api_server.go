package checks

import "github.com/gabion-k8s/gabion/internal/check"

// apiServer is what the flags and documents of the API server, the scheduler and the
// controller manager decide.
func apiServer() []*check.Check {
	return []*check.Check{
		PodSecurityAdmission,
		PodSecurityExemptions,
		ImagePolicyWebhook,
		TokenLifetime,
		InsecurePortOpen,
		ControlPlaneBindAddress,
		APIServerCertificates,
		ControllerManagerRootCA,
		FrontProxyCA,
		TLSVersion,
		TLSCipherSuites,
		AnonymousRequests,
		UserAuthentication,
		StaticCredentials,
		AuthenticationMethods,
		AuthorizationMode,
		NodeRestriction,
	}
}
