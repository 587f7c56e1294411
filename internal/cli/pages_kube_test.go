package cli_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"sallyport/internal/testkit/kube"
)

// manifests are the blocks of the pages that a person gives to Kubernetes. around is the manifest that a part of one
// belongs in: %s is the block, behind indent.
var manifests = []struct{ page, has, around, indent string }{
	{"docs/stores/kubernetes.md", "kind: RoleBinding", "%s", ""},
	{"docs/masterkey-install.md", "secretKeyRef:", deployment + "    spec:\n      containers:\n        - name: n8n\n          image: n8n\n%s", "          "},
	{"docs/entrypoint.md", "initContainers:", deployment + "%s", "    "},
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: n8n-worker, namespace: n8n}
spec:
  selector: {matchLabels: {app: n8n}}
  template:
    metadata: {labels: {app: n8n}}
`

// TestManifestsOfThePages: a real API server takes each of them, and knows every field in it.
func TestManifestsOfThePages(t *testing.T) {
	server := kube.Start(t)
	server.Call(t, http.MethodPost, "/api/v1/namespaces", kube.Object{"metadata": kube.Object{"name": "n8n"}})
	for _, m := range manifests {
		t.Run(m.page, func(t *testing.T) {
			for _, object := range objects(t,
				strings.ReplaceAll(m.around, "%s", indented(blockWith(t, m.page, m.has), m.indent))) {
				server.Call(t, http.MethodPost, pathOf(t, object)+"?dryRun=All&fieldValidation=Strict", object)
			}
		})
	}
	wrong := objects(t, blockWith(t, "docs/stores/kubernetes.md", "kind: RoleBinding"))[0]
	wrong["rule"] = wrong["rules"]
	if _, err := server.Ask(http.MethodPost, pathOf(t, wrong)+"?dryRun=All&fieldValidation=Strict", wrong); err == nil {
		t.Error("the API server takes a field that Kubernetes does not have, so that this test holds nothing")
	}
}

func blockWith(t *testing.T, page, has string) string {
	t.Helper()
	for _, b := range blocksOf(t, page) {
		if b.lang == "yaml" && strings.Contains(b.text, has) {
			return b.text
		}
	}
	t.Fatalf("%s has no block with %q", page, has)
	return ""
}

func indented(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by) + "\n"
}

func objects(t *testing.T, text string) (list []kube.Object) {
	t.Helper()
	documents := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	for {
		var object kube.Object
		switch err := documents.Decode(&object); {
		case errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatalf("%v in\n%s", err, text)
		}
		list = append(list, object)
	}
}

// pathOf is where an object of a namespace is made: its group, and its kind in the plural.
func pathOf(t *testing.T, object kube.Object) string {
	t.Helper()
	group, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	metadata, _ := object["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	if group == "" || kind == "" || namespace == "" {
		t.Fatalf("no object of a namespace: %v", object)
	}
	return "/apis/" + group + "/namespaces/" + namespace + "/" + strings.ToLower(kind) + "s"
}
