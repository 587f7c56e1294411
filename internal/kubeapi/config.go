// Package kubeapi makes clients of a Kubernetes API server, as one who is named: by a kubeconfig, or by the service
// account of this pod.
//
// Invariant: nothing is read from the environment, apart from the address of the API server when this is a pod; the
// token leaves for no other address; answers are bounded; client-go logs nothing.
package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// podDir is where Kubernetes mounts a service account into a pod.
const podDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// Options says which cluster, and as whom. The zero Options are those of a pod that uses its own service account.
type Options struct {
	Kubeconfig string // a file, read once; "" is the pod's own account
	Context    string // in Kubeconfig; "" is its current one
	PodDir     string // with a pod's token, ca.crt and namespace; "" is where Kubernetes mounts them
}

// Config returns how to reach the API server, and the namespace of the context or of the pod. It reads the files that o
// names and contacts nobody. The token of a file is read again for each request.
func (o Options) Config() (config *rest.Config, namespace string, err error) {
	config, namespace, err = o.load()
	if err != nil {
		return nil, "", err
	}
	config.UserAgent = "sallyport"
	config.QPS = -1 // the API server has limits of its own, and says when they are reached
	config.WarningHandlerWithContext = rest.NoWarnings{}
	if config.Proxy == nil { // that of the kubeconfig; the environment's may be Sallyport itself
		config.Proxy = func(*http.Request) (*url.URL, error) {
			return nil, nil
		} //nolint:nilnil // no proxy, says http.Transport
	}
	if file := config.BearerTokenFile; file != "" {
		config.BearerToken, config.BearerTokenFile = "", ""
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &fileToken{file: file, next: next} })
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &bounded{next} })
	return config, namespace, nil
}

// Client makes the client of a configuration. It follows no redirect.
func Client(config *rest.Config) (*http.Client, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil,
			fault.WithHint(errors.New("the certificates, keys or credentials named for the cluster cannot be used"),
				"see the user and the cluster in the kubeconfig, and the files that they name")
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client, nil
}

// Silent keeps client-go from logging what happens in a call.
func Silent(ctx context.Context) context.Context { return klog.NewContext(ctx, klog.Logger{}) }

// config says where the API server is, as whom to ask it, and which namespace goes with that.
func (o Options) load() (config *rest.Config, namespace string, err error) {
	if o.Kubeconfig == "" {
		if o.Context != "" {
			return nil, "", fault.WithHint(errors.New("a context is named, and no kubeconfig"), "add kubeconfig: FILE")
		}
		return o.podConfig()
	}
	file, err := clientcmd.LoadFromFile(o.Kubeconfig)
	if err != nil {
		if about, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, "", fmt.Errorf("reading kubeconfig: %w", about)
		}
		// the parser's text may quote a token
		return nil, "", fmt.Errorf("kubeconfig %q cannot be understood", o.Kubeconfig)
	}
	if err := clientcmd.ResolveLocalPaths(file); err != nil {
		return nil, "", fmt.Errorf("resolving the paths in kubeconfig %q: %w", o.Kubeconfig, err)
	}
	chosen := o.Context
	if chosen == "" {
		chosen = file.CurrentContext
	}
	if file.Contexts[chosen] == nil {
		return nil, "", fault.WithHint(fmt.Errorf("kubeconfig %q has no context %q", o.Kubeconfig, chosen),
			"kubectl config get-contexts --kubeconfig "+o.Kubeconfig)
	}
	client := clientcmd.NewNonInteractiveClientConfig(*file, chosen, new(clientcmd.ConfigOverrides), nil)
	if config, err = client.ClientConfig(); err != nil {
		return nil, "", fault.WithHint(fmt.Errorf("context %q of kubeconfig %q is not complete", chosen, o.Kubeconfig),
			"kubectl config view --context "+chosen)
	}
	if config.ExecProvider != nil {
		config.ExecProvider.StdinUnavailable = true
	}
	if namespace = file.Contexts[chosen].Namespace; namespace == "" {
		namespace = corev1.NamespaceDefault
	}
	return config, namespace, nil
}

// podConfig is rest.InClusterConfig with a directory of one's choice and without its log lines.
func (o Options) podConfig() (config *rest.Config, namespace string, err error) {
	dir := o.PodDir
	if dir == "" {
		dir = podDir
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, "", fault.WithHint(errors.New("this is no pod of Kubernetes: KUBERNETES_SERVICE_HOST is not set"),
			"outside of a cluster, add kubeconfig: FILE")
	}
	ca := filepath.Join(dir, corev1.ServiceAccountRootCAKey)
	if _, err := os.Stat(ca); err != nil {
		return nil, "", fault.WithHint(fmt.Errorf("reading the pod's service account: %w", err),
			"set automountServiceAccountToken: true for the pod")
	}
	namespace = corev1.NamespaceDefault
	if b, err := localfile.Read(filepath.Join(dir, corev1.ServiceAccountNamespaceKey), localfile.Small); err == nil {
		namespace = strings.TrimSpace(string(b))
	}
	return &rest.Config{
		Host:            "https://" + net.JoinHostPort(host, port),
		TLSClientConfig: rest.TLSClientConfig{CAFile: ca},
		BearerTokenFile: filepath.Join(dir, corev1.ServiceAccountTokenKey),
	}, namespace, nil
}

// fileToken authenticates each request with what stands in a file then. client-go's own looks once a minute, and logs.
type fileToken struct {
	file string
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *fileToken) RoundTrip(req *http.Request) (*http.Response, error) {
	b, err := localfile.Read(t.file, localfile.Small)
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("reading the token: %w", err),
			"Kubernetes puts it there for a pod with a service account: see automountServiceAccountToken")
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, fmt.Errorf("the file %q does not hold a token", t.file)
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	return t.next.RoundTrip(req)
}

// WrappedRoundTripper lets Close find the connections.
func (t *fileToken) WrappedRoundTripper() http.RoundTripper { return t.next }
