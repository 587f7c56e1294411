package credential_test

import (
	"context"
	"fmt"
	"net/http"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/secret"
)

// A credential is put onto a request, and knows every shape in which an API could send it back.
func ExampleMaterial() {
	spec := credential.Spec{Kind: credential.KindBasic, Username: "n8n"}
	m, err := credential.Build(spec, secret.NewValue([]byte("s3cret-4711")), "crm@2")
	if err != nil {
		panic(err)
	}
	out := credential.Outgoing{
		Method: "GET", Scheme: "https", Host: "api.example.com", Path: "/v1",
		Header: http.Header{},
	}
	fmt.Println(m.Inject(context.Background(), &out))
	fmt.Println(out.Header.Get("Authorization"))
	masked, _ := m.Forms().String("you sent " + out.Header.Get("Authorization"))
	fmt.Println(masked)
	fmt.Println(m.Versions, m) // nor does it print
	// Output:
	// <nil>
	// Basic bjhuOnMzY3JldC00NzEx
	// you sent Basic ********************
	// [crm@2] [credential]
}
