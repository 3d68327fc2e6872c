package yamldoc_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// stream returns about size bytes of Deployments, Services and Roles.
func stream(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `---
# The front of team %[1]d.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-%[1]d
  namespace: team-%[1]d
  labels: {app: web-%[1]d, tier: front}
  annotations:
    example.com/owner: "team-%[1]d@example.com"
spec:
  replicas: %[1]d
  selector:
    matchLabels:
      app: web-%[1]d
  template:
    metadata:
      labels:
        app: web-%[1]d
    spec:
      serviceAccountName: web
      automountServiceAccountToken: false
      containers:
      - name: web
        image: registry.example.com/web:1.2.%[1]d
        args: ["--port", "8080", "--log=info"]
        ports:
        - containerPort: 8080
          protocol: TCP
        env:
        - name: HOME
          value: /tmp
        - name: TOKEN
          valueFrom:
            secretKeyRef:
              name: token
              key: value
        securityContext:
          runAsNonRoot: true # as the guide wants it
          allowPrivilegeEscalation: false
          capabilities:
            drop:
            - ALL
        resources:
          limits:
            cpu: 500m
            memory: 128Mi
---
apiVersion: v1
kind: Service
metadata:
  name: web-%[1]d
  namespace: team-%[1]d
spec:
  selector:
    app: web-%[1]d
  ports:
  - port: 80
    targetPort: 8080
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: web-%[1]d
  namespace: team-%[1]d
rules:
- apiGroups: [""]
  resources: ["configmaps", "pods"]
  verbs: ["get", "list"]
`, i)
	}
	return b.Bytes()
}

func BenchmarkDocuments(b *testing.B) {
	data := stream(1 << 20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var d yamldoc.Decoder
		for _, err := range d.Documents("file.yaml", data) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkNodesOnly is the limit: the YAML library alone, on the same bytes.
func BenchmarkNodesOnly(b *testing.B) {
	data := stream(1 << 20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		decoder := yaml.NewDecoder(bytes.NewReader(data))
		for {
			var n yaml.Node
			if err := decoder.Decode(&n); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	data := stream(1 << 20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := yamldoc.Split(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSON(b *testing.B) {
	var text bytes.Buffer
	var d yamldoc.Decoder
	for doc := range d.Documents("file.yaml", stream(1<<20)) {
		text.Write(doc.JSON)
		text.WriteByte('\n')
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range d.Documents("file.json", text.Bytes()) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
