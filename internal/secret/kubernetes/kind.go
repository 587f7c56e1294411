package kubernetes

import (
	"context"
	_ "embed" // the page

	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind kubernetes.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "kubernetes", Summary: "Secrets of a Kubernetes cluster, which tells of changes by itself.", Page: page,
		Settings: func() secret.Settings { return new(Settings) },
		Withhold: []string{"KUBECONFIG", "KUBE_TOKEN"},
	}
}

// Settings are the keys of a store of kind kubernetes.
type Settings struct {
	Kubeconfig string `yaml:"kubeconfig" path:"file" eg:"./kubeconfig" doc:"A kubeconfig. Default: the pod's service account."`
	Context    string `yaml:"context" eg:"prod" doc:"The context in kubeconfig. Default: the current one."`
	Namespace  string `yaml:"namespace" eg:"n8n" doc:"The namespace of paths that name none. Default: the pod's own, or the context's."`
}

// Check implements secret.Settings.
func (s *Settings) Check(r secret.Report) {
	if s.Context != "" && s.Kubeconfig == "" {
		r.Fail("context", "has no kubeconfig beside it", "add kubeconfig: FILE")
	}
}

// Files implements secret.Settings.
func (s *Settings) Files() []string { return []string{s.Kubeconfig} }

// Variables implements secret.Settings.
func (*Settings) Variables([]string) []string { return nil }

// Open implements secret.Settings.
func (s *Settings) Open(context.Context, secret.Host) (secret.Store, error) {
	return New(Options{Kubeconfig: s.Kubeconfig, Context: s.Context, Namespace: s.Namespace})
}
