package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// perFile is how many objects stand in one file, about what a team keeps together.
const perFile = 50

// write generates n objects into a folder and returns their size in bytes. The
// same n gives the same bytes.
func write(dir string, n int) (size int, err error) {
	var b strings.Builder
	for i := 0; i < n; {
		b.Reset()
		end := min(i+perFile, n)
		for ; i < end; i++ {
			b.WriteString("---\n")
			object(&b, i)
		}
		name := filepath.Join(dir, fmt.Sprintf("%06d.yaml", i))
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			return 0, err
		}
		size += b.Len()
	}
	return size, nil
}

// object writes the i-th object: of ten, four workloads, two Services, a
// ConfigMap, a Role, a binding and a policy. One workload in four is hardened.
func object(b *strings.Builder, i int) {
	team, app := i/400, i/10
	ns := fmt.Sprintf("team-%d", team)
	switch i % 10 {
	case 0, 1, 2, 3:
		workload(b, ns, fmt.Sprintf("app-%d-%d", app, i%10), i)
	case 4, 5:
		fmt.Fprintf(b, `apiVersion: v1
kind: Service
metadata:
  name: app-%[2]d-%[3]d
  namespace: %[1]s
  labels: {app: app-%[2]d-%[3]d}
spec:
  selector:
    app: app-%[2]d-%[3]d
  ports:
    - name: http
      port: 80
      targetPort: 8080
`, ns, app, i%10-4)
	case 6:
		fmt.Fprintf(b, `apiVersion: v1
kind: ConfigMap
metadata:
  name: app-%[2]d
  namespace: %[1]s
data:
  LOG_LEVEL: info
  config.yaml: |
    server:
      port: 8080
      timeout: 30s
    features:
      - search
      - recommendations
`, ns, app)
	case 7:
		fmt.Fprintf(b, `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: app-%[2]d
  namespace: %[1]s
rules:
  - apiGroups: [""]
    resources: ["configmaps", "services"]
    verbs: ["get", "list", "watch"]
  - apiGroups: ["apps"]
    resources: ["deployments"]
    verbs: ["get"]
`, ns, app)
	case 8:
		fmt.Fprintf(b, `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: app-%[2]d
  namespace: %[1]s
subjects:
  - kind: ServiceAccount
    name: app-%[2]d
    namespace: %[1]s
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: app-%[2]d
`, ns, app)
	case 9:
		fmt.Fprintf(b, `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: app-%[2]d
  namespace: %[1]s
spec:
  podSelector:
    matchLabels:
      app: app-%[2]d-0
  policyTypes: ["Ingress"]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: app-%[2]d-1
      ports:
        - protocol: TCP
          port: 8080
`, ns, app)
	}
}

func workload(b *strings.Builder, ns, name string, i int) {
	fmt.Fprintf(b, `apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[2]s
  namespace: %[1]s
  labels:
    app: %[2]s
    team: %[1]s
spec:
  replicas: 2
  selector:
    matchLabels:
      app: %[2]s
  template:
    metadata:
      labels:
        app: %[2]s
    spec:
`, ns, name)
	if i%5 == 0 {
		b.WriteString(`      automountServiceAccountToken: false
      hostUsers: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        supplementalGroups: [10001]
        seccompProfile:
          type: RuntimeDefault
        appArmorProfile:
          type: RuntimeDefault
`)
	}
	fmt.Fprintf(b, `      serviceAccountName: app-%[2]d
      containers:
        - name: main
          image: registry.example.com/%[1]s/app:1.%[2]d
          ports:
            - name: http
              containerPort: 8080
          env:
            - name: LOG_LEVEL
              value: info
            - name: BACKEND
              value: "http://backend.%[1]s.svc:8080"
          readinessProbe:
            httpGet:
              path: /ready
              port: http
          resources:
            requests:
              cpu: 100m
              memory: 128Mi
            limits:
              memory: 256Mi
`, ns, i)
	if i%5 == 0 {
		b.WriteString(`          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: ["ALL"]
`)
	}
}
