package kubernetes

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"sallyport/internal/fault"
	"sallyport/internal/kubeapi"
)

// callTimeout bounds a call whose context has no earlier end.
const callTimeout = 10 * time.Second

const resource = "secrets"

// Options says which cluster, and as whom. The zero Options are those of a pod that uses its own service account.
type Options struct {
	// Kubeconfig is a file, read once by New, which may name certificates and a tokenFile, or a program that gets a
	// token. It is never found by itself: the variable KUBECONFIG and ~/.kube/config mean nothing here. "" is the pod's
	// own account.
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
	config, namespace, err := kubeapi.Options{Kubeconfig: o.Kubeconfig, Context: o.Context, PodDir: o.PodDir}.Config()
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

// connect makes the two clients, over one pool of connections.
func (s *Store) connect(config *rest.Config) error {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, new(corev1.Secret), new(corev1.SecretList))
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON

	client, err := kubeapi.Client(config)
	if err != nil {
		return err
	}
	if s.api, err = rest.RESTClientForConfigAndClient(config, client); err != nil {
		// Its text quotes the address, into which a person may have put a password.
		return fault.WithHint(errors.New("the address of the API server cannot be used"),
			"write it as https://host:6443")
	}
	about, err := metadata.NewForConfigAndClient(config, client)
	if err != nil {
		return fmt.Errorf("making a client for metadata: %w", err)
	}
	s.http = client
	s.about = about.Resource(corev1.SchemeGroupVersion.WithResource(resource))
	return nil
}

// in is the client for metadata of a namespace.
func (s *Store) in(namespace string) metadata.ResourceInterface { return s.about.Namespace(namespace) }
