package kubernetes

import (
	"context"
	_ "embed" // the page
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/fleet"
	"sallyport/internal/kubeapi"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind kubernetes.
func Kind() fleet.Kind {
	return fleet.Kind{
		Name: "kubernetes", Summary: "Deployments and StatefulSets of a Kubernetes namespace.", Page: page,
		Settings: func() fleet.Settings { return new(Settings) },
	}
}

// Settings are the keys of a fleet of kind kubernetes.
type Settings struct {
	Kubeconfig string   `yaml:"kubeconfig" path:"file" eg:"./kubeconfig" doc:"A kubeconfig. Default: the pod's service account."`
	Context    string   `yaml:"context" eg:"prod" doc:"The context in kubeconfig. Default: the current one."`
	Namespace  string   `yaml:"namespace" eg:"n8n" doc:"The namespace of the workloads. Default: the pod's own, or the context's."`
	Workloads  []string `yaml:"workloads" needed:"write workloads: [deployment/n8n-worker, deployment/n8n-main]" eg:"[deployment/n8n-worker, deployment/n8n-webhook, deployment/n8n-main]" doc:"The Deployments and StatefulSets, in the order in which they are restarted."`
}

// Check implements fleet.Settings.
func (s *Settings) Check(r secret.Report) {
	if s.Context != "" && s.Kubeconfig == "" {
		r.Fail("context", "has no kubeconfig beside it", "add kubeconfig: FILE")
	}
	for i, name := range s.Workloads {
		if !isWorkload.MatchString(name) || slices.Contains(s.Workloads[:i], name) {
			r.Fail("workloads."+strconv.Itoa(i), "is no workload, or stands there twice", hintOf(name))
		}
	}
}

// hintOf is what to write instead of something that is no workload here.
func hintOf(name string) string {
	kind, name, named := strings.Cut(name, "/")
	short := map[string]string{
		"deploy": "deployment", "deployments": "deployment", "deployment.apps": "deployment", "sts": "statefulset",
		"statefulsets": "statefulset", "statefulset.apps": "statefulset",
	}
	switch meant := short[strings.ToLower(kind)]; {
	case named && meant != "":
		return "write " + meant + "/NAME"
	case slices.Contains([]string{"daemonset", "daemonsets", "ds", "pod", "po", "job", "cronjob", "replicaset", "rs"},
		strings.ToLower(kind)) && name != "":
		return "n8n runs as Deployments and StatefulSets here: for anything else, kind: command with kubectl"
	}
	return "write deployment/NAME or statefulset/NAME"
}

// Secrets implements fleet.Settings.
func (*Settings) Secrets() []secret.Ref { return nil }

// Open implements fleet.Settings.
func (s *Settings) Open(context.Context, fleet.Host) (fleet.Orchestrator, error) {
	return New(Options{
		Options: kubeapi.Options{Kubeconfig: s.Kubeconfig, Context: s.Context}, Namespace: s.Namespace,
		Workloads: s.Workloads,
	})
}
