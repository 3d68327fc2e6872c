package carrier

import "strings"

// The table of custom kinds. A kind that is not here is found by its shape if it
// holds a whole pod spec, so the table is for those that hold something else, or
// hold it where a name is better than a path.
var table = []row{
	// Argo
	{"argoproj.io", "Rollout", []place{template("spec.template")}},
	{"argoproj.io", "Workflow WorkflowTemplate ClusterWorkflowTemplate", argo("spec")},
	{"argoproj.io", "CronWorkflow", argo("spec.workflowSpec")},
	{"argoproj.io", "EventSource Sensor", []place{{
		at: "spec.template", pod: ".", meta: "metadata",
		fields: "serviceAccountName volumes securityContext " + scheduling,
		pieces: []piece{{to: "containers", from: "container", name: "main"}}, replicas: "^replicas",
		partial: `the controller gives the container "main" its image and command`,
	}}},

	// Knative and KServe
	{"serving.knative.dev", "Service Configuration", []place{template("spec.template")}},
	{"serving.knative.dev", "Revision", []place{{at: "spec", needs: "containers", pod: ".", whole: true, meta: "/metadata"}}},
	{"sources.knative.dev", "ContainerSource", []place{template("spec.template")}},
	{"serving.kserve.io", "InferenceService", []place{
		kserve("predictor"), kserve("transformer"), kserve("explainer"),
	}},
	{"serving.kserve.io", "ServingRuntime ClusterServingRuntime", []place{{
		at: "spec", pod: ".",
		fields:  "containers volumes hostIPC " + scheduling,
		partial: "an InferenceService completes the pod",
	}}},

	// OpenKruise
	{"apps.kruise.io", "CloneSet StatefulSet DaemonSet BroadcastJob", []place{template("spec.template")}},
	{"apps.kruise.io", "AdvancedCronJob", []place{
		named("job", template("spec.template.jobTemplate.spec.template")),
		named("broadcastJob", template("spec.template.broadcastJobTemplate.spec.template")),
	}},
	{"apps.kruise.io", "UnitedDeployment", []place{
		template("spec.template.deploymentTemplate.spec.template"),
		template("spec.template.statefulSetTemplate.spec.template"),
		template("spec.template.advancedStatefulSetTemplate.spec.template"),
		template("spec.template.cloneSetTemplate.spec.template"),
	}},
	{"apps.kruise.io", "SidecarSet", []place{{
		at: "spec", pod: ".", fields: "containers initContainers volumes imagePullSecrets",
		partial: "the containers are injected into the pods that the SidecarSet selects",
	}}},

	// Kafka
	{"kafka.strimzi.io", "Kafka", []place{
		named("kafka", strimzi("spec.kafka", container("kafka", "template.kafkaContainer"), strimziInit)),
		named("zookeeper", strimzi("spec.zookeeper", container("zookeeper", "template.zookeeperContainer"))),
		named("entityOperator", strimzi("spec.entityOperator",
			container("topic-operator", "template.topicOperatorContainer"),
			container("user-operator", "template.userOperatorContainer"),
			container("tls-sidecar", "template.tlsSidecarContainer"))),
		named("cruiseControl", strimzi("spec.cruiseControl", container("cruise-control", "template.cruiseControlContainer"))),
		named("kafkaExporter", strimzi("spec.kafkaExporter", container("kafka-exporter", "template.container"))),
	}},
	{"kafka.strimzi.io", "KafkaNodePool", []place{strimzi("spec", container("kafka", "template.kafkaContainer"), strimziInit)}},
	{"kafka.strimzi.io", "KafkaConnect KafkaMirrorMaker2", []place{
		strimzi("spec", container("connect", "template.connectContainer"), strimziInit),
	}},
	{"kafka.strimzi.io", "KafkaMirrorMaker", []place{strimzi("spec", container("mirror-maker", "template.mirrorMakerContainer"))}},
	{"kafka.strimzi.io", "KafkaBridge", []place{strimzi("spec", container("bridge", "template.bridgeContainer"), strimziInit)}},

	// Tekton
	{"tekton.dev", "Task ClusterTask", []place{tekton("spec")}},
	{"tekton.dev", "Pipeline", []place{tekton("spec.tasks[name].taskSpec"), tekton("spec.finally[name].taskSpec")}},
	{"tekton.dev", "TaskRun", []place{{
		at: "spec", needs: "taskSpec|podTemplate", pod: "podTemplate", fields: tektonFields + " volumes",
		pieces:  append([]piece{{to: "serviceAccountName", from: "serviceAccountName"}}, tektonTask("taskSpec.")...),
		partial: tektonAdds,
	}}},
	{"tekton.dev", "PipelineRun", []place{
		tekton("spec.pipelineSpec.tasks[name].taskSpec", "/spec", "/spec.taskRunTemplate"),
		tekton("spec.pipelineSpec.finally[name].taskSpec", "/spec", "/spec.taskRunTemplate"),
		tektonRuns("spec"),
		tektonRuns("spec.taskRunTemplate"),
	}},

	// Virtual machines and game servers
	{"kubevirt.io", "VirtualMachine VirtualMachineInstanceReplicaSet", []place{counted("^replicas", kubevirt("spec.template"))}},
	{"kubevirt.io", "VirtualMachineInstance", []place{kubevirt(".")}},
	{"agones.dev", "GameServer", []place{template("spec.template")}},
	{"agones.dev", "Fleet GameServerSet", []place{counted("/spec.replicas", template("spec.template.spec.template"))}},

	// Batch and machine learning
	{"sparkoperator.k8s.io", "SparkApplication", spark("spec")},
	{"sparkoperator.k8s.io", "ScheduledSparkApplication", spark("spec.template")},
	{"ray.io", "RayCluster", ray("spec")},
	{"ray.io", "RayJob", append(ray("spec.rayClusterSpec"), named("submitter", template("spec.submitterPodTemplate")))},
	{"ray.io", "RayService", ray("spec.rayClusterConfig")},
	{"batch.volcano.sh", "Job", []place{template("spec.tasks[name].template")}},
	{"kubeflow.org", "PyTorchJob", []place{template("spec.pytorchReplicaSpecs.*.template")}},
	{"kubeflow.org", "TFJob", []place{template("spec.tfReplicaSpecs.*.template")}},
	{"kubeflow.org", "MPIJob", []place{template("spec.mpiReplicaSpecs.*.template")}},
	{"kubeflow.org", "XGBoostJob", []place{template("spec.xgbReplicaSpecs.*.template")}},
	{"kubeflow.org", "MXJob", []place{template("spec.mxReplicaSpecs.*.template")}},
	{"kubeflow.org", "PaddleJob", []place{template("spec.paddleReplicaSpecs.*.template")}},
	{"kubeflow.org", "JAXJob", []place{template("spec.jaxReplicaSpecs.*.template")}},
	{"kubeflow.org", "Notebook", []place{template("spec.template")}},
	{"trainer.kubeflow.org", "TrainingRuntime ClusterTrainingRuntime", []place{
		template("spec.template.spec.replicatedJobs[name].template.spec.template"),
	}},
	{"jobset.x-k8s.io", "JobSet", []place{template("spec.replicatedJobs[name].template.spec.template")}},
	{"leaderworkerset.x-k8s.io", "LeaderWorkerSet", []place{
		named("leader", template("spec.leaderWorkerTemplate.leaderTemplate")),
		named("worker", template("spec.leaderWorkerTemplate.workerTemplate")),
	}},
	{"keda.sh", "ScaledJob", []place{template("spec.jobTargetRef.template")}},
	{"flink.apache.org", "FlinkDeployment", []place{
		partial(flinkAdds, template("spec.podTemplate")),
		partial(flinkAdds, named("jobManager", template("spec.jobManager.podTemplate"))),
		partial(flinkAdds, named("taskManager", template("spec.taskManager.podTemplate"))),
	}},
	{"numaflow.numaproj.io", "MonoVertex", []place{numaflow("spec")}},
	{"numaflow.numaproj.io", "Pipeline", []place{numaflow("spec.vertices[name]")}},

	// Observability
	{"monitoring.coreos.com", "Prometheus PrometheusAgent", []place{prometheus("prometheus and config-reloader")}},
	{"monitoring.coreos.com", "Alertmanager", []place{prometheus("alertmanager and config-reloader")}},
	{"monitoring.coreos.com", "ThanosRuler", []place{prometheus("thanos-ruler and config-reloader")}},
	{"operator.victoriametrics.com", "VMAgent VMAlert VMAlertmanager VMAuth VMSingle", []place{
		victoria("spec", "", "the operator adds the container of the product"),
	}},
	{"operator.victoriametrics.com", "VMCluster", []place{
		victoria("spec.vmselect", "vmselect", "the operator adds the container vmselect"),
		victoria("spec.vminsert", "vminsert", "the operator adds the container vminsert"),
		victoria("spec.vmstorage", "vmstorage", "the operator adds the container vmstorage"),
	}},
	{"grafana.integreatly.org", "Grafana", []place{
		partial(`the operator completes the container "grafana"`, template("spec.deployment.spec.template")),
	}},
	{"opentelemetry.io", "OpenTelemetryCollector", []place{{
		at: "spec", pod: ".", replicas: "replicas",
		fields: "initContainers volumes hostNetwork shareProcessNamespace dnsConfig terminationGracePeriodSeconds " + scheduling,
		pieces: []piece{
			{to: "containers", from: ".", name: "otc-container", take: "image imagePullPolicy env envFrom resources securityContext volumeMounts lifecycle"},
			{to: "containers", from: "additionalContainers[name]"},
			{to: "securityContext", from: "podSecurityContext"},
			{to: "serviceAccountName", from: "serviceAccount"},
		},
		partial: "the operator adds the collector's arguments, ports, configuration volume and, where none is given, image and ServiceAccount",
	}}},
	{"fluentbit.fluent.io", "FluentBit", []place{{
		at: "spec", pod: ".",
		fields: "initContainers volumes securityContext hostNetwork dnsPolicy " + scheduling,
		pieces: []piece{{
			to: "containers", from: ".", name: "fluent-bit",
			take: "image imagePullPolicy command args resources containerSecurityContext>securityContext envVars>env volumesMounts>volumeMounts livenessProbe readinessProbe",
		}},
		partial: "the operator adds host paths of the node's logs, the configuration and a ServiceAccount",
	}}},

	// Databases and queues
	{"elasticsearch.k8s.elastic.co", "Elasticsearch", []place{
		partial(elasticAdds, counted("^count", template("spec.nodeSets[name].podTemplate"))),
	}},
	{"kibana.k8s.elastic.co", "Kibana", elastic},
	{"apm.k8s.elastic.co", "ApmServer", elastic},
	{"enterprisesearch.k8s.elastic.co", "EnterpriseSearch", elastic},
	{"maps.k8s.elastic.co", "ElasticMapsServer", elastic},
	{"logstash.k8s.elastic.co", "Logstash", elastic},
	{"beat.k8s.elastic.co", "Beat", elasticSets},
	{"agent.k8s.elastic.co", "Agent", elasticSets},
	{"postgresql.cnpg.io", "Cluster", []place{{
		at: "spec", pod: ".", replicas: "instances",
		fields: "priorityClassName schedulerName topologySpreadConstraints imagePullSecrets",
		pieces: []piece{
			{to: "containers", from: ".", name: "postgres", take: "imageName>image imagePullPolicy resources env envFrom securityContext"},
			{to: "securityContext", from: "podSecurityContext"},
		},
		partial: "the operator adds the instance manager, its security context, volumes and a ServiceAccount",
	}}},
	{"postgresql.cnpg.io", "Pooler", []place{
		partial(`the operator completes the container "pgbouncer"`, counted("^instances", template("spec.template"))),
	}},
	{"acid.zalan.do", "postgresql", []place{{
		at: "spec", pod: ".", replicas: "numberOfInstances", fields: "initContainers tolerations",
		pieces: []piece{
			{to: "containers", from: ".", name: "postgres", take: "dockerImage>image resources env"},
			{to: "containers", from: "sidecars[name]"},
			{to: "priorityClassName", from: "podPriorityClassName"},
		},
		partial: "the operator adds image, security context, volumes and a ServiceAccount from its own configuration",
	}}},
	{"postgres-operator.crunchydata.com", "PostgresCluster", []place{{
		at: "spec.instances[name]", pod: ".", meta: "metadata", replicas: "replicas",
		fields:  "containers affinity tolerations topologySpreadConstraints priorityClassName",
		partial: `the operator adds the containers "database", "replication-cert-copy" and those of the backups`,
	}}},
	{"mongodbcommunity.mongodb.com", "MongoDBCommunity", []place{
		partial(mongoAdds, counted("/spec.members", template("spec.statefulSet.spec.template"))),
	}},
	{"mongodb.com", "MongoDB", []place{
		partial(mongoAdds, counted("/spec.members", template("spec.podSpec.podTemplate"))),
	}},
	{"rabbitmq.com", "RabbitmqCluster", []place{
		partial(`the operator adds the containers "setup-container" and "rabbitmq"`,
			counted("/spec.replicas", template("spec.override.statefulSet.spec.template"))),
	}},
	{"cassandra.datastax.com", "CassandraDatacenter", []place{
		partial(`the operator completes the containers "cassandra" and "server-system-logger"`,
			counted("/spec.size", template("spec.podTemplateSpec"))),
	}},

	// Continuous delivery, platforms
	{"apps.openshift.io", "DeploymentConfig", []place{template("spec.template")}},
	{"actions.summerwind.dev", "Runner", []place{runner("spec", "/metadata", "")}},
	{"actions.summerwind.dev", "RunnerDeployment", []place{runner("spec.template.spec", "/spec.template.metadata", "/spec.replicas")}},
	{"actions.summerwind.dev", "RunnerSet", []place{partial(runnerAdds, template("spec.template"))}},
	{"actions.github.com", "AutoscalingRunnerSet", []place{
		template("spec.template"),
		partial(`the controller completes the container "listener"`, named("listener", template("spec.listenerTemplate"))),
	}},
	{"actions.github.com", "EphemeralRunnerSet", []place{template("spec.ephemeralRunnerSpec")}},
	{"actions.github.com", "EphemeralRunner", []place{template("spec")}},
	{"pkg.crossplane.io", "DeploymentRuntimeConfig", []place{
		partial(`Crossplane completes the container "package-runtime"`, template("spec.deploymentTemplate.spec.template")),
	}},
	{"cert-manager.io", "Issuer ClusterIssuer", []place{
		partial(solverAdds, named("ingress", template("spec.acme.solvers[].http01.ingress.podTemplate"))),
		partial(solverAdds, named("gateway", template("spec.acme.solvers[].http01.gatewayHTTPRoute.podTemplate"))),
	}},
	{"agents.x-k8s.io", "Sandbox", []place{template("spec.podTemplate")}},
	{"extensions.agents.x-k8s.io", "SandboxTemplate", []place{template("spec.podTemplate")}},
}

// scheduling are fields that kinds with pod settings of their own mostly take
// over from the pod spec under the same names.
const scheduling = "affinity imagePullSecrets nodeSelector priorityClassName runtimeClassName schedulerName " +
	"tolerations topologySpreadConstraints"

const (
	elasticAdds = "the operator adds the product's container, security context, volumes and certificates"
	flinkAdds   = `the operator completes the container "flink-main-container"`
	mongoAdds   = "the operator adds the database's containers, volumes and a ServiceAccount"
	runnerAdds  = `the controller completes the container "runner" and adds a privileged container "docker" unless it is turned off`
	solverAdds  = `cert-manager adds the container "acmesolver"`
	tektonAdds  = "Tekton adds init containers, and fields from its own configuration and from the TaskRun"
)

var (
	elastic     = []place{partial(elasticAdds, counted("^count", template("spec.podTemplate")))}
	elasticSets = []place{
		partial(elasticAdds, named("daemonSet", template("spec.daemonSet.podTemplate"))),
		partial(elasticAdds, named("deployment", template("spec.deployment.podTemplate"))),
		partial(elasticAdds, named("statefulSet", template("spec.statefulSet.podTemplate"))),
	}
)

// template is a place with a whole pod template: metadata and spec.
func template(at string) place {
	return place{at: at, pod: "spec", whole: true, meta: "metadata", replicas: "^replicas"}
}

func named(key string, p place) place        { p.key = key; return p }
func partial(adds string, p place) place     { p.partial = adds; return p }
func counted(replicas string, p place) place { p.replicas = replicas; return p }

// argo are the templates of an Argo workflow whose spec is at. Those without a
// container, such as dag and steps, run no pod.
func argo(at string) []place {
	under, pieces := "/"+at+".templateDefaults", []piece(nil)
	for _, from := range []string{"/" + at + ".", under + ".", ""} {
		for _, field := range []string{
			"affinity", "automountServiceAccountToken", "hostAliases", "nodeSelector", "priorityClassName",
			"schedulerName", "securityContext", "serviceAccountName", "tolerations",
		} {
			pieces = append(pieces, piece{to: field, from: from + field})
		}
		pieces = append(pieces, piece{to: "volumes", from: from + "volumes[name]"})
	}
	for _, field := range []string{"dnsConfig", "dnsPolicy", "hostNetwork", "imagePullSecrets"} {
		pieces = append(pieces, piece{to: field, from: "/" + at + "." + field})
	}
	pieces = append(pieces,
		piece{to: "initContainers", from: "initContainers[name]"},
		piece{to: "containers", from: "container", name: "main", under: under + ".container"},
		piece{to: "containers", from: "script", name: "main", under: under + ".script"},
		piece{to: "containers", from: "containerSet.containers[name]"},
		piece{to: "containers", from: "sidecars[name]"},
	)
	return []place{{
		at: at + ".templates[name]", needs: "container|script|containerSet", pod: ".", meta: "metadata",
		pieces: pieces, patch: "podSpecPatch|" + under + ".podSpecPatch|/" + at + ".podSpecPatch",
	}}
}

func kserve(component string) place {
	return place{
		at: "spec." + component, key: component, pod: ".", whole: true,
		pieces: []piece{{to: "containers", from: "model", name: "kserve-container"}}, replicas: "minReplicas",
		partial: `KServe completes the container "kserve-container" from a ServingRuntime`,
	}
}

// container is a piece that configures a regular container.
func container(name, from string) piece { return piece{to: "containers", from: from, name: name} }

var strimziInit = piece{to: "initContainers", from: "template.initContainer", name: "kafka-init"}

// strimzi is one component of a Kafka cluster.
func strimzi(at string, containers ...piece) place {
	return place{
		at: at, pod: "template.pod", meta: "template.pod.metadata", replicas: "replicas",
		fields:  "securityContext terminationGracePeriodSeconds hostAliases enableServiceLinks volumes dnsPolicy dnsConfig " + scheduling,
		pieces:  containers,
		partial: "the operator adds images, commands, ports, volumes, resources and a ServiceAccount",
	}
}

// tektonFields are the fields of the pod that a Tekton podTemplate may set.
const tektonFields = "automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostNetwork hostUsers " +
	"securityContext " + scheduling

// tektonTask are the pieces of the pod that a Tekton task says.
func tektonTask(prefix string) []piece {
	const take = "* computeResources>resources"
	return []piece{
		{to: "containers", from: prefix + "steps[name]", take: take, under: prefix + "stepTemplate"},
		{to: "containers", from: prefix + "sidecars[name]", take: take},
		{to: "volumes", from: prefix + "volumes[name]"},
	}
}

// tekton is a task whose pod template and ServiceAccount, if known, stand in
// the objects that runs refer to.
func tekton(at string, runs ...string) place {
	p := place{at: at, needs: "steps", pod: ".", partial: tektonAdds}
	for _, run := range runs {
		p.pieces = append(p.pieces, piece{to: "serviceAccountName", from: run + ".serviceAccountName"})
		p.pieces = append(p.pieces, piece{to: "volumes", from: run + ".podTemplate.volumes[name]"})
		for field := range strings.FieldsSeq(tektonFields) {
			p.pieces = append(p.pieces, piece{to: field, from: run + ".podTemplate." + field})
		}
	}
	p.pieces = append(p.pieces, tektonTask("")...)
	return p
}

// tektonRuns is the pod template of tasks that stand in other objects.
func tektonRuns(at string) place {
	return place{
		at: at, key: "podTemplate", needs: "podTemplate", pod: "podTemplate", fields: tektonFields + " volumes",
		pieces: []piece{{to: "serviceAccountName", from: "serviceAccountName"}}, partial: tektonAdds,
	}
}

// kubevirt is a virtual machine's template: its pod runs the hypervisor.
func kubevirt(at string) place {
	return place{
		at: at, pod: "spec", meta: "metadata",
		fields: "affinity dnsConfig dnsPolicy hostname nodeSelector priorityClassName schedulerName subdomain " +
			"terminationGracePeriodSeconds tolerations topologySpreadConstraints",
		pieces: []piece{{
			to: "volumes", from: "spec.volumes[name]",
			take: "name configMap hostDisk>hostPath persistentVolumeClaim secret",
		}},
		partial: `KubeVirt adds the containers of the hypervisor ("compute") and of container disks`,
	}
}

// spark is an application whose spec is at.
func spark(at string) []place {
	pod := func(role string) place {
		return place{
			at: at + "." + role, key: role, pod: ".", replicas: "instances",
			fields: "affinity dnsConfig hostAliases hostNetwork initContainers nodeSelector priorityClassName " +
				"runtimeClassName schedulerName shareProcessNamespace terminationGracePeriodSeconds tolerations",
			pieces: []piece{
				{
					to: "containers", from: ".", name: "spark-kubernetes-" + role,
					take:  "image env envFrom lifecycle securityContext volumeMounts",
					under: "/" + at, underTake: "image imagePullPolicy",
				},
				{to: "containers", from: "sidecars[name]"},
				{to: "securityContext", from: "podSecurityContext"},
				{to: "serviceAccountName", from: "serviceAccount"},
				{to: "volumes", from: "/" + at + ".volumes[name]"},
			},
			partial: "Spark adds commands, resources and what sparkConf and the pod template say",
		}
	}
	extra := func(role string) place {
		return partial("Spark completes the pod from the other settings of the "+role,
			named(role+".template", template(at+"."+role+".template")))
	}
	return []place{pod("driver"), pod("executor"), extra("driver"), extra("executor")}
}

// ray is a Ray cluster whose spec is at.
func ray(at string) []place {
	return []place{
		named("head", template(at+".headGroupSpec.template")),
		template(at + ".workerGroupSpecs[groupName].template"),
	}
}

// numaflow is one vertex of a pipeline.
func numaflow(at string) place {
	return place{
		at: at, pod: ".", meta: "metadata",
		fields: "automountServiceAccountToken dnsConfig dnsPolicy initContainers securityContext serviceAccountName volumes " +
			"affinity imagePullSecrets nodeSelector priorityClassName runtimeClassName tolerations",
		pieces: []piece{
			container("udf", "udf.container"),
			container("udsource", "source.udsource.container"),
			container("transformer", "source.transformer.container"),
			container("udsink", "sink.udsink.container"),
			{to: "containers", from: "sidecars[name]"},
		},
		partial: `the controller adds the container "numa"`,
	}
}

// prometheus is a kind of the Prometheus operator. What it lists as containers
// is added to those of the operator, or patches them by name.
func prometheus(containers string) place {
	return place{
		at: "spec", pod: ".", meta: "podMetadata", replicas: "replicas",
		fields: "automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks hostAliases hostNetwork " +
			"hostUsers initContainers securityContext serviceAccountName terminationGracePeriodSeconds volumes " + scheduling,
		partial: "the operator adds or completes the containers " + containers,
	}
}

func victoria(at, key, adds string) place {
	return place{
		at: at, key: key, pod: ".", meta: "podMetadata", replicas: "replicaCount",
		fields: "containers dnsConfig dnsPolicy hostNetwork initContainers securityContext " +
			"terminationGracePeriodSeconds volumes " + scheduling,
		pieces:  []piece{{to: "serviceAccountName", from: "/spec.serviceAccountName"}},
		partial: adds,
	}
}

// runner is a self-hosted runner with pod settings of its own.
func runner(at, meta, replicas string) place {
	return place{
		at: at, pod: ".", meta: meta, replicas: replicas,
		fields: "automountServiceAccountToken containers dnsConfig hostAliases initContainers securityContext " +
			"serviceAccountName terminationGracePeriodSeconds volumes " + scheduling,
		pieces: []piece{
			{to: "containers", from: ".", name: "runner", take: "image imagePullPolicy resources env envFrom volumeMounts"},
			{to: "containers", from: "sidecarContainers[name]"},
		},
		partial: runnerAdds,
	}
}
