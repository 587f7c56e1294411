package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// callTimeout bounds a call whose context has no earlier end.
const callTimeout = 10 * time.Second

const resource = "secrets"

// podDir is where Kubernetes mounts a service account into a pod.
const podDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// Options says which cluster, and as whom. The zero Options are those of a pod that uses its own service account.
type Options struct {
	// Kubeconfig is a file, read once by New, which may name certificates and a tokenFile, or a program that gets a token. It
	// is never found by itself: the variable KUBECONFIG and ~/.kube/config mean nothing here. "" is the pod's own account.
	Kubeconfig string
	Context    string // in Kubeconfig; "" is its current one
	Namespace  string // of paths that name none; "" is the context's or the pod's, else default

	// PodDir holds a pod's token, ca.crt and namespace; "" is where Kubernetes mounts them. The token is read for each
	// request, since Kubernetes rotates it. The address comes from KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
	PodDir string

	Timeout time.Duration // of one request; 0 is 10 s
}

// New checks o and returns the store. It reads the files that o names and contacts nobody.
func New(o Options) (*Store, error) {
	s, err := o.open()
	if err != nil {
		return nil, fmt.Errorf("setting up the kubernetes store: %w", err)
	}
	return s, nil
}

func (o Options) open() (*Store, error) {
	config, namespace, err := o.config()
	if err != nil {
		return nil, err
	}
	if o.Namespace != "" {
		namespace = o.Namespace
	}
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		return nil, fmt.Errorf("namespace %q is not a name that Kubernetes gives", namespace)
	}
	s := &Store{namespace: namespace, timeout: o.Timeout, known: make(map[object]string)}
	if s.timeout <= 0 {
		s.timeout = callTimeout
	}
	return s, s.connect(config)
}

// config says where the API server is, as whom to ask it, and which namespace goes with that.
func (o Options) config() (config *rest.Config, namespace string, err error) {
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
		return nil, "", fmt.Errorf("kubeconfig %q cannot be understood", o.Kubeconfig) // the parser's text may quote a token
	}
	if err := clientcmd.ResolveLocalPaths(file); err != nil {
		return nil, "", fmt.Errorf("resolving the paths in kubeconfig %q: %w", o.Kubeconfig, err)
	}
	chosen := o.Context
	if chosen == "" {
		chosen = file.CurrentContext
	}
	if file.Contexts[chosen] == nil {
		return nil, "", fault.WithHint(fmt.Errorf("kubeconfig %q has no context %q", o.Kubeconfig, chosen), "kubectl config get-contexts --kubeconfig "+o.Kubeconfig)
	}
	client := clientcmd.NewNonInteractiveClientConfig(*file, chosen, new(clientcmd.ConfigOverrides), nil)
	if config, err = client.ClientConfig(); err != nil {
		return nil, "", fault.WithHint(fmt.Errorf("context %q of kubeconfig %q is not complete", chosen, o.Kubeconfig), "kubectl config view --context "+chosen)
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
		return nil, "", fault.WithHint(errors.New("this is no pod of Kubernetes: KUBERNETES_SERVICE_HOST is not set"), "outside of a cluster, add kubeconfig: FILE")
	}
	ca := filepath.Join(dir, corev1.ServiceAccountRootCAKey)
	if _, err := os.Stat(ca); err != nil {
		return nil, "", fault.WithHint(fmt.Errorf("reading the pod's service account: %w", err), "set automountServiceAccountToken: true for the pod")
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

// connect makes the two clients, over one pool of connections.
func (s *Store) connect(config *rest.Config) error {
	config.UserAgent = "sallyport"
	config.QPS = -1 // the API server has limits of its own, and says when they are reached
	config.WarningHandlerWithContext = rest.NoWarnings{}
	if config.Proxy == nil { // that of the kubeconfig; the environment's may be Sallyport itself
		config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } //nolint:nilnil // no proxy, says http.Transport
	}
	if file := config.BearerTokenFile; file != "" {
		config.BearerToken, config.BearerTokenFile = "", ""
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &fileToken{file: file, next: next} })
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &bounded{next} })
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, new(corev1.Secret), new(corev1.SecretList))
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON

	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fault.WithHint(errors.New("the certificates, keys or credentials named for the cluster cannot be used"), "see the user and the cluster in the kubeconfig, and the files that they name")
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if s.api, err = rest.RESTClientForConfigAndClient(config, client); err != nil {
		// Its text quotes the address, into which a person may have put a password.
		return fault.WithHint(errors.New("the address of the API server cannot be used"), "write it as https://host:6443")
	}
	about, err := metadata.NewForConfigAndClient(config, client)
	if err != nil {
		return fmt.Errorf("making a client for metadata: %w", err)
	}
	s.http = client
	s.about = about.Resource(corev1.SchemeGroupVersion.WithResource(resource))
	return nil
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
		return nil, fault.WithHint(fmt.Errorf("reading the token: %w", err), "Kubernetes puts it there for a pod with a service account: see automountServiceAccountToken")
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

// in is the client for metadata of a namespace.
func (s *Store) in(namespace string) metadata.ResourceInterface { return s.about.Namespace(namespace) }
