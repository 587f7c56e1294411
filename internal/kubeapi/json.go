package kubeapi

import (
	"errors"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"sallyport/internal/fault"
)

// JSON makes a client for whole paths of the API, whose answers the caller reads as JSON.
func JSON(config *rest.Config, client *http.Client) (*rest.RESTClient, error) {
	config = rest.CopyConfig(config)
	config.APIPath = "/"
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	config.ContentType = runtime.ContentTypeJSON
	config.AcceptContentTypes = runtime.ContentTypeJSON
	api, err := rest.UnversionedRESTClientForConfigAndClient(config, client)
	if err != nil {
		// Its text quotes the address, into which a person may have put a password.
		return nil, fault.WithHint(errors.New("the address of the API server cannot be used"),
			"write it as https://host:6443")
	}
	return api, nil
}
