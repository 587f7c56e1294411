package secret_test

import (
	"fmt"

	"sallyport/internal/secret"
)

// A value prints in no format; Reveal is the one door to its bytes.
func ExampleValue() {
	key := secret.NewValue([]byte("sk-live-4711"))
	fmt.Println(key)
	fmt.Printf("%s %q %x %+v\n", key, key, key, struct{ Key secret.Value }{key})
	fmt.Println(len(key.Reveal()))
	// Output:
	// [redacted]
	// [redacted] [redacted] [redacted] {Key:[redacted]}
	// 12
}

func ExampleParseRef() {
	ref, err := secret.ParseRef("ref+corp://Sales%20Team/openai?version=3#api_key")
	fmt.Printf("%q %q %q %q %v\n", ref.Store, ref.Path, ref.Version, ref.Field, err)
	// Output: "corp" "Sales Team/openai" "3" "api_key" <nil>
}

func ExampleField() {
	key, err := secret.Field(secret.NewValue([]byte(`{"data": {"keys": ["old", "new"]}}`)), "/data/keys/1")
	fmt.Println(string(key.Reveal()), err)
	// Output: new <nil>
}
