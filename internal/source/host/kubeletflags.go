package host

// A kind of value says how a flag's text becomes a field of a configuration.
type kind int

const (
	text   kind = iota // strings and durations
	truth              // bool
	number             // integers and fractions
	list               // strings with commas, which repeated flags add to
	pairs              // a=b,c=d, which repeated flags add to
	less               // a<b,c<d
	gates              // a=true, merged with those of the file
	taints             // key=value:effect,key:effect
)

// A field is the field of a configuration that a flag sets.
type field struct {
	path string
	kind kind
}

// kubeletFields are the kubelet's flags that are fields of KubeletConfiguration, as in
// its reference; the value of the flag wins over the file's.
func kubeletFields() map[string]field {
	return map[string]field{
		"address":                                      {"address", text},
		"allowed-unsafe-sysctls":                       {"allowedUnsafeSysctls", list},
		"anonymous-auth":                               {"authentication.anonymous.enabled", truth},
		"authentication-token-webhook":                 {"authentication.webhook.enabled", truth},
		"authentication-token-webhook-cache-ttl":       {"authentication.webhook.cacheTTL", text},
		"authorization-mode":                           {"authorization.mode", text},
		"authorization-webhook-cache-authorized-ttl":   {"authorization.webhook.cacheAuthorizedTTL", text},
		"authorization-webhook-cache-unauthorized-ttl": {"authorization.webhook.cacheUnauthorizedTTL", text},
		"cgroup-driver":                                {"cgroupDriver", text},
		"cgroup-root":                                  {"cgroupRoot", text},
		"cgroups-per-qos":                              {"cgroupsPerQOS", truth},
		"client-ca-file":                               {"authentication.x509.clientCAFile", text},
		"cluster-dns":                                  {"clusterDNS", list},
		"cluster-domain":                               {"clusterDomain", text},
		"container-log-max-files":                      {"containerLogMaxFiles", number},
		"container-log-max-size":                       {"containerLogMaxSize", text},
		"container-runtime-endpoint":                   {"containerRuntimeEndpoint", text},
		"contention-profiling":                         {"enableContentionProfiling", truth},
		"cpu-cfs-quota":                                {"cpuCFSQuota", truth},
		"cpu-cfs-quota-period":                         {"cpuCFSQuotaPeriod", text},
		"cpu-manager-policy":                           {"cpuManagerPolicy", text},
		"cpu-manager-policy-options":                   {"cpuManagerPolicyOptions", pairs},
		"cpu-manager-reconcile-period":                 {"cpuManagerReconcilePeriod", text},
		"enable-controller-attach-detach":              {"enableControllerAttachDetach", truth},
		"enable-debugging-handlers":                    {"enableDebuggingHandlers", truth},
		"enable-server":                                {"enableServer", truth},
		"enforce-node-allocatable":                     {"enforceNodeAllocatable", list},
		"event-burst":                                  {"eventBurst", number},
		"event-qps":                                    {"eventRecordQPS", number},
		"eviction-hard":                                {"evictionHard", less},
		"eviction-max-pod-grace-period":                {"evictionMaxPodGracePeriod", number},
		"eviction-minimum-reclaim":                     {"evictionMinimumReclaim", pairs},
		"eviction-pressure-transition-period":          {"evictionPressureTransitionPeriod", text},
		"eviction-soft":                                {"evictionSoft", less},
		"eviction-soft-grace-period":                   {"evictionSoftGracePeriod", pairs},
		"fail-cgroupv1":                                {"failCgroupV1", truth},
		"fail-swap-on":                                 {"failSwapOn", truth},
		"feature-gates":                                {"featureGates", gates},
		"file-check-frequency":                         {"fileCheckFrequency", text},
		"hairpin-mode":                                 {"hairpinMode", text},
		"healthz-bind-address":                         {"healthzBindAddress", text},
		"healthz-port":                                 {"healthzPort", number},
		"http-check-frequency":                         {"httpCheckFrequency", text},
		"image-gc-high-threshold":                      {"imageGCHighThresholdPercent", number},
		"image-gc-low-threshold":                       {"imageGCLowThresholdPercent", number},
		"image-service-endpoint":                       {"imageServiceEndpoint", text},
		"iptables-drop-bit":                            {"iptablesDropBit", number},
		"iptables-masquerade-bit":                      {"iptablesMasqueradeBit", number},
		"kernel-memcg-notification":                    {"kernelMemcgNotification", truth},
		"kube-api-burst":                               {"kubeAPIBurst", number},
		"kube-api-content-type":                        {"contentType", text},
		"kube-api-qps":                                 {"kubeAPIQPS", number},
		"kube-reserved":                                {"kubeReserved", pairs},
		"kube-reserved-cgroup":                         {"kubeReservedCgroup", text},
		"kubelet-cgroups":                              {"kubeletCgroups", text},
		"local-storage-capacity-isolation":             {"localStorageCapacityIsolation", truth},
		"logging-format":                               {"logging.format", text},
		"make-iptables-util-chains":                    {"makeIPTablesUtilChains", truth},
		"manifest-url":                                 {"staticPodURL", text},
		"max-open-files":                               {"maxOpenFiles", number},
		"max-pods":                                     {"maxPods", number},
		"memory-manager-policy":                        {"memoryManagerPolicy", text},
		"minimum-image-ttl-duration":                   {"imageMinimumGCAge", text},
		"node-status-max-images":                       {"nodeStatusMaxImages", number},
		"node-status-update-frequency":                 {"nodeStatusUpdateFrequency", text},
		"oom-score-adj":                                {"oomScoreAdj", number},
		"pod-cidr":                                     {"podCIDR", text},
		"pod-manifest-path":                            {"staticPodPath", text},
		"pod-max-pids":                                 {"podPidsLimit", number},
		"pods-per-core":                                {"podsPerCore", number},
		"port":                                         {"port", number},
		"protect-kernel-defaults":                      {"protectKernelDefaults", truth},
		"provider-id":                                  {"providerID", text},
		"qos-reserved":                                 {"qosReserved", pairs},
		"read-only-port":                               {"readOnlyPort", number},
		"register-node":                                {"registerNode", truth},
		"register-with-taints":                         {"registerWithTaints", taints},
		"registry-burst":                               {"registryBurst", number},
		"registry-qps":                                 {"registryPullQPS", number},
		"reserved-cpus":                                {"reservedSystemCPUs", text},
		"resolv-conf":                                  {"resolvConf", text},
		"rotate-certificates":                          {"rotateCertificates", truth},
		"rotate-server-certificates":                   {"serverTLSBootstrap", truth},
		"runonce":                                      {"runOnce", truth},
		"runtime-request-timeout":                      {"runtimeRequestTimeout", text},
		"serialize-image-pulls":                        {"serializeImagePulls", truth},
		"streaming-connection-idle-timeout":            {"streamingConnectionIdleTimeout", text},
		"sync-frequency":                               {"syncFrequency", text},
		"system-cgroups":                               {"systemCgroups", text},
		"system-reserved":                              {"systemReserved", pairs},
		"system-reserved-cgroup":                       {"systemReservedCgroup", text},
		"tls-cert-file":                                {"tlsCertFile", text},
		"tls-cipher-suites":                            {"tlsCipherSuites", list},
		"tls-min-version":                              {"tlsMinVersion", text},
		"tls-private-key-file":                         {"tlsPrivateKeyFile", text},
		"topology-manager-policy":                      {"topologyManagerPolicy", text},
		"topology-manager-policy-options":              {"topologyManagerPolicyOptions", pairs},
		"topology-manager-scope":                       {"topologyManagerScope", text},
		"v":                                            {"logging.verbosity", number},
		"volume-plugin-dir":                            {"volumePluginDir", text},
		"volume-stats-agg-period":                      {"volumeStatsAggPeriod", text},
	}
}

// kubeProxyFields are kube-proxy's flags that are fields of KubeProxyConfiguration.
// They count only where no file is given.
func kubeProxyFields() map[string]field {
	return map[string]field{
		"bind-address":                 {"bindAddress", text},
		"bind-address-hard-fail":       {"bindAddressHardFail", truth},
		"cluster-cidr":                 {"clusterCIDR", text},
		"detect-local-mode":            {"detectLocalMode", text},
		"feature-gates":                {"featureGates", gates},
		"healthz-bind-address":         {"healthzBindAddress", text},
		"hostname-override":            {"hostnameOverride", text},
		"iptables-localhost-nodeports": {"iptables.localhostNodePorts", truth},
		"kube-api-burst":               {"clientConnection.burst", number},
		"kube-api-qps":                 {"clientConnection.qps", number},
		"kubeconfig":                   {"clientConnection.kubeconfig", text},
		"masquerade-all":               {"iptables.masqueradeAll", truth},
		"metrics-bind-address":         {"metricsBindAddress", text},
		"nodeport-addresses":           {"nodePortAddresses", list},
		"profiling":                    {"enableProfiling", truth},
		"proxy-mode":                   {"mode", text},
	}
}

// schedulerFields are kube-scheduler's flags that are fields of
// KubeSchedulerConfiguration. They count only where no file is given.
func schedulerFields() map[string]field {
	return map[string]field{
		"contention-profiling": {"enableContentionProfiling", truth},
		"kube-api-burst":       {"clientConnection.burst", number},
		"kube-api-qps":         {"clientConnection.qps", number},
		"kubeconfig":           {"clientConnection.kubeconfig", text},
		"leader-elect":         {"leaderElection.leaderElect", truth},
		"profiling":            {"enableProfiling", truth},
	}
}

// etcdSections are the sections of etcd's configuration file, and what the names of
// the flags begin with that mean the same as the fields in them.
func etcdSections() map[string]string {
	return map[string]string{"client-transport-security": "", "peer-transport-security": "peer-"}
}
