package config_test

import (
	"reflect"
	"time"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/exchange"
	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/setting"
)

// view is what a credential's settings say, whatever its kind, under the names of their keys.
type view struct {
	Kind string

	Secret         secret.Ref              `yaml:"secret"`
	Header         string                  `yaml:"header"`
	Param          string                  `yaml:"param"`
	Format         string                  `yaml:"format"`
	Pointer        string                  `yaml:"pointer"`
	UserPass       string                  `yaml:"user_pass"`
	TokenURL       string                  `yaml:"token_url"`
	AuthorizeURL   string                  `yaml:"authorize_url"`
	RefreshURL     string                  `yaml:"refresh_url"`
	PKCE           string                  `yaml:"pkce"`
	ClientID       config.Text             `yaml:"client_id"`
	ClientSecret   secret.Ref              `yaml:"client_secret"`
	Auth           string                  `yaml:"auth"`
	Key            secret.Ref              `yaml:"key"`
	KeyID          config.Text             `yaml:"key_id"`
	Alg            string                  `yaml:"alg"`
	Audience       config.Text             `yaml:"audience"`
	Scopes         []string                `yaml:"scopes"`
	Params         map[string]config.Text  `yaml:"params"`
	AuthorizeParam map[string]config.Text  `yaml:"authorize_params"`
	TokenHeaders   map[string]config.Text  `yaml:"token_headers"`
	Rotates        bool                    `yaml:"rotates"`
	ReuseGrace     time.Duration           `yaml:"reuse_grace"`
	ServiceAccount secret.Ref              `yaml:"service_account"`
	APIURL         string                  `yaml:"api_url"`
	Request        *exchange.LoginRequest  `yaml:"request"`
	Token          string                  `yaml:"token"`
	Lifetime       string                  `yaml:"lifetime"`
	Place          *credential.Place       `yaml:"place"`
	ExpiredWhen    *credential.ExpiredWhen `yaml:"expired_when"`
	Algorithm      string                  `yaml:"algorithm"`
	Encoding       string                  `yaml:"encoding"`
	Message        string                  `yaml:"message"`
}

// of looks at a credential.
func of(c config.Credential) view {
	v := view{Kind: c.Kind}
	to := reflect.ValueOf(&v).Elem()
	for i := range to.NumField() {
		if key := to.Type().Field(i).Tag.Get("yaml"); key != "" {
			if from := setting.Value(&c, key); from.IsValid() {
				to.Field(i).Set(from)
			}
		}
	}
	return v
}

func allOf(list []config.Credential) []view {
	out := make([]view, len(list))
	for i := range list {
		out[i] = of(list[i])
	}
	return out
}
