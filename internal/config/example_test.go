package config_test

import (
	"errors"
	"fmt"
	"io/fs"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

func noFiles(string) ([]byte, error) { return nil, fs.ErrNotExist }

// A preset fills in what the file does not say.
func ExampleParse() {
	c, _, err := config.Parse(app.Kinds(), "sallyport.yaml", []byte(`
services:
  openai: {preset: openai, secret: ref+builtin://openai, allow: ["GET /v1/**"]}
`), noFiles)
	fmt.Println(c.Services["openai"].Upstream, c.Services["openai"].Credential.Kind, err)
	// Output: https://api.openai.com bearer <nil>
}

// A mistake has its position, and the words that were meant.
func ExampleErrors() {
	_, _, err := config.Parse(app.Kinds(), "sallyport.yaml",
		[]byte("services:\n  openai: {presett: openai}\n"), noFiles)
	if all, ok := errors.AsType[config.Errors](err); ok {
		fmt.Println(all[0])
	}
	// Output: sallyport.yaml:2:12: unknown key "presett" in service "openai": did you mean "preset"?
}
