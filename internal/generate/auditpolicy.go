package generate

const auditPolicy = `
What the API server records, by the first rule that matches.
Serves AUD-01 (auditing on), AUD-02 (every request gets the level that is meant), AUD-03
(no secrets in the log) and LOG-04 (what anonymous users do is recorded).

Nothing is at level None, so nobody goes unseen. The bodies of reads are left out: who
read what is in the metadata, and the answers to lists are what fills a disk.

To put it in place, on every control plane node:
1. Write this to /etc/kubernetes/gabion/audit-policy.yaml, mode 0600, root.
2. Have it named by --audit-policy-file, with a log path, rotation and mounts that agree:
   gabion generate apiserver-flags does all of that.
3. The API server reads it when it starts: a change needs a restart.`

// AuditPolicy is an audit policy that needs to know nothing of the cluster.
func AuditPolicy() string {
	var p page
	p.comment(auditPolicy)
	p.WriteString(`apiVersion: audit.k8s.io/v1
kind: Policy
# The stage repeats what the later ones say.
omitStages: [RequestReceived]
rules:
  # Bodies that hold credentials: the values of Secrets, those that people put into
  # ConfigMaps, and tokens on their way to be issued or reviewed.
  - level: Metadata
    resources:
      - group: ""
        resources: [secrets, configmaps, serviceaccounts/token]
      - group: authentication.k8s.io
        resources: [tokenreviews]

  # What every node and controller writes every few seconds, with nothing in it.
  - level: Metadata
    resources:
      - group: coordination.k8s.io
        resources: [leases]
      - group: ""
        resources: [events]
      - group: events.k8s.io
        resources: [events]

  # Every other change, with what was asked for and what came of it.
  - level: RequestResponse
    verbs: [create, update, patch, delete, deletecollection]

  # Reads, exec, attach, port-forward, proxies, and requests for no resource.
  - level: Metadata
`)
	return p.String()
}
