package config_test

import (
	"testing"

	"sallyport/internal/config"
)

func TestSmoke(t *testing.T) {
	c, w, err := config.Parse("sallyport.yaml", []byte(`
drain: 10s
services:
  openai:
    preset: openai
    secret: ref+builtin://openai
    limits: &l {rate: 50/s, body: 2GiB}
    allow: ["GET /v1/**"]
  other:
    upsteam: https://x.example
    limits: *l
`), nil)
	t.Log(c, w, err)
	d := config.Default()
	t.Logf("%+v", d)
}
