package config

import (
	"reflect"
	"time"

	"sallyport/internal/secret"
)

// The kinds of credential.
const (
	KindBearer = "bearer"
	KindHeader = "header"
	KindBasic  = "basic"
	KindQuery  = "query"
	KindCookie = "cookie"
	KindPath   = "path"
	KindBody   = "body"
	KindNone   = "none"

	KindClientCredentials = "oauth2_client_credentials"
	KindRefreshToken      = "oauth2_refresh_token"
	KindJWTBearer         = "jwt_bearer"
	KindGitHubApp         = "github_app"
	KindExchange          = "exchange"

	KindSigV4  = "aws_sigv4"
	KindHMAC   = "hmac"
	KindOAuth1 = "oauth1"
	KindDigest = "digest"
)

// Credential says what is injected, and where. Which keys go with which kind is in credentialKeys. After Load the fields that
// its kind takes are filled in, Header and Format too; inputs are in their places, and URLs are absolute.
type Credential struct {
	Kind string `yaml:"kind" enum:"bearer header basic query cookie path body none oauth2_client_credentials oauth2_refresh_token jwt_bearer github_app exchange aws_sigv4 hmac oauth1 digest" doc:"Where the secret goes (bearer to body), how a token is obtained (oauth2_client_credentials to exchange; place says where it goes), or how requests are signed (aws_sigv4 to digest). none: nothing. docs/credentials.md has an example of each. Default: bearer, if there is a secret."`

	// Where a secret goes.
	Secret         secret.Ref `yaml:"secret" eg:"ref+builtin://example#api_key" doc:"Kinds bearer to body, hmac and digest: the secret, by reference; never the secret itself."`
	Header         string     `yaml:"header" eg:"X-API-Key" doc:"Kinds header and hmac: the header's name."`
	Param          string     `yaml:"param" eg:"key" doc:"Kinds query and hmac: the query parameter's name."`
	Cookie         string     `yaml:"cookie" eg:"session" doc:"Kind cookie: the cookie's name."`
	Pointer        string     `yaml:"pointer" eg:"/auth/api_key" doc:"Kind body: the field that the secret goes into, as a JSON pointer; in a form /NAME."`
	As             string     `yaml:"as" enum:"json form" doc:"Kind body: what the body is. Default: json."`
	Username       string     `yaml:"username" eg:"api" doc:"Kinds basic and digest: the user, where it is not secret. The secret is the password."`
	UsernameSecret secret.Ref `yaml:"username_secret" eg:"ref+builtin://twilio#sid" doc:"Kinds basic and digest: the user by reference, instead of username."`
	UserPass       string     `yaml:"user_pass" eg:"\"{secret}:X\"" doc:"Kind basic: user and password as one, where the secret is not the password alone."`
	Format         string     `yaml:"format" eg:"\"Token {secret}\"" doc:"Kinds bearer, header, query, cookie, path and body: how the value is written; {secret} stands for the secret. Kind path: what goes before the path, such as /bot{secret}. Kind hmac: {signature} stands for the signature, beside {timestamp}, {timestamp_ms} and {nonce}. Default: Bearer {secret} for bearer, {signature} for hmac, {secret} for the others."`

	// How a token is obtained.
	TokenURL        string          `yaml:"token_url" eg:"https://auth.example.com/oauth/token" doc:"Kinds oauth2_client_credentials, oauth2_refresh_token and jwt_bearer: the token endpoint. A path, such as /oauth/token, is one on the upstream's host."`
	AuthorizeURL    string          `yaml:"authorize_url" eg:"https://auth.example.com/oauth/authorize" doc:"Kind oauth2_refresh_token: the page of consent that service connect opens."`
	RefreshURL      string          `yaml:"refresh_url" eg:"https://auth.example.com/oauth/refresh" doc:"Kind oauth2_refresh_token: where refresh tokens are sent, if that is not token_url, which then takes the codes of service connect alone."`
	PKCE            string          `yaml:"pkce" enum:"on off" doc:"Kind oauth2_refresh_token: whether service connect sends a code_challenge and a code_verifier (RFC 7636). off is for providers that refuse them, such as LinkedIn; then the client needs a secret or a key. Default: on."`
	ClientID        Text            `yaml:"client_id" eg:"sallyport" doc:"Kinds oauth2_client_credentials, oauth2_refresh_token and jwt_bearer: the client."`
	ClientSecret    secret.Ref      `yaml:"client_secret" eg:"ref+builtin://crm#client_secret" doc:"Its secret, for auth basic and post."`
	Auth            string          `yaml:"auth" enum:"basic post private_key_jwt mtls none" doc:"How the client shows who it is: basic (header), post (form), private_key_jwt (an assertion that it signs with key), mtls (the service's tls), none (a public client). Default: basic with a client_secret, private_key_jwt with a key, mtls with the service's tls, else none."`
	Key             secret.Ref      `yaml:"key" eg:"ref+builtin://crm#private_key" doc:"Auth private_key_jwt, kinds jwt_bearer and github_app: the private key, PEM."`
	KeyID           Text            `yaml:"key_id" eg:"2026-01" doc:"Its id (kid), where the API asks for one."`
	Alg             string          `yaml:"alg" enum:"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA" doc:"The algorithm. Default: RS256 for an RSA key, that of its curve for another."`
	Scopes          []string        `yaml:"scopes" eg:"[contacts.read]" doc:"The scopes to ask for."`
	Params          map[string]Text `yaml:"params" keys:"text" eg:"{audience: https://api.example.com}" doc:"Further parameters for the token endpoint."`
	TokenHeaders    map[string]Text `yaml:"token_headers" keys:"header" eg:"{X-Tenant: acme}" doc:"Further headers for the token endpoint."`
	AuthorizeParams map[string]Text `yaml:"authorize_params" keys:"text" eg:"{access_type: offline}" doc:"Kind oauth2_refresh_token: further parameters of the page of consent."`
	RefreshToken    secret.Ref      `yaml:"refresh_token" eg:"ref+builtin://crm#refresh_token" doc:"Kind oauth2_refresh_token: the first one. Absent: service connect brings it. Later ones are kept in the database, sealed."`
	ReuseGrace      time.Duration   `yaml:"reuse_grace" eg:"30s" max:"24h" doc:"Kind oauth2_refresh_token: how long the provider takes a refresh token once more after its use, so that a lost answer can be made up for, once. Absent: a second use counts as theft, and there is none."`
	Rotates         bool            `yaml:"rotates" eg:"false" doc:"Kind oauth2_refresh_token: whether the use of a refresh token ends it, as far as is known. false: the provider takes it again, however often; a lost answer, or a 5xx, costs nothing but another call. true: a refresh token is sent once, until the provider has shown that it does not rotate them. Default: true, and false at the token endpoints of docs/credentials.md that are known for it."`
	ServiceAccount  secret.Ref      `yaml:"service_account" eg:"ref+builtin://google-service-account" doc:"Kind jwt_bearer: Google's JSON file of a service account, as it comes; instead of issuer and key."`
	Issuer          Text            `yaml:"issuer" eg:"3MVG9…" doc:"Kind jwt_bearer: who signs (iss). Kind oauth2_refresh_token: the provider's issuer (RFC 9207), such as https://auth.example.com, where it sends iss with the answer of the page of consent; an answer without it, or with another, is refused. Absent: an iss that comes must be on the host of authorize_url."`
	Subject         Text            `yaml:"subject" eg:"n8n@example.com" doc:"Kind jwt_bearer: for whom (sub)."`
	Audience        Text            `yaml:"audience" eg:"https://login.example.com" doc:"Kind jwt_bearer and auth private_key_jwt: to whom (aud). Default: token_url."`
	Claims          map[string]Text `yaml:"claims" keys:"text" eg:"{tenant: acme}" doc:"Kind jwt_bearer: further claims, as strings."`
	AppID           Text            `yaml:"app_id" eg:"123456" doc:"Kind github_app: the app's ID, or its client ID."`
	InstallationID  Text            `yaml:"installation_id" eg:"12345678" doc:"Kind github_app: the installation's ID."`
	APIURL          string          `yaml:"api_url" eg:"https://github.example.com/api/v3" doc:"Kind github_app: the API. Default: https://api.github.com."`
	Request         *LoginRequest   `yaml:"request" doc:"Kind exchange: the login call."`
	Token           string          `yaml:"token" eg:"/tenant_access_token" doc:"Where the answer has the token. Kind exchange: a JSON pointer, header:NAME, cookie:NAME, or body. Kinds oauth2_client_credentials, oauth2_refresh_token and jwt_bearer: a JSON pointer; refresh_token, expires_in and scope are read from beside it. Default for these: /access_token."`
	Lifetime        string          `yaml:"lifetime" eg:"/expire" doc:"How long a token lives: a duration, and for kind exchange also a JSON pointer to a number of seconds in the answer. For the other kinds it counts where the answer says nothing."`
	ExpiresAt       string          `yaml:"expires_at" eg:"/expires" doc:"Kind exchange: a JSON pointer to the point in time at which the token ends."`
	Place           *Place          `yaml:"place" doc:"Where the token goes. Default: Authorization: Bearer TOKEN."`
	ExpiredWhen     *ExpiredWhen    `yaml:"expired_when" doc:"How the API says that a token has expired; then a new one is obtained and the request sent once more. Default: status 401."`

	// How a request is signed.
	AccessKey       Text              `yaml:"access_key" eg:"ref+builtin://aws#access_key" doc:"Kind aws_sigv4: the access key's ID."`
	SecretKey       secret.Ref        `yaml:"secret_key" eg:"ref+builtin://aws#secret_key" doc:"Kind aws_sigv4: the secret access key."`
	SessionToken    secret.Ref        `yaml:"session_token" eg:"ref+builtin://aws#session_token" doc:"Kind aws_sigv4: the session token of temporary credentials."`
	Region          string            `yaml:"region" eg:"eu-central-1" doc:"Kind aws_sigv4: the region. Default: from the upstream's host."`
	Service         string            `yaml:"service" eg:"s3" doc:"Kind aws_sigv4: the service's signing name. Default: from the upstream's host."`
	UnsignedLarge   bool              `yaml:"unsigned_large" eg:"true" doc:"Kind aws_sigv4, S3 over https: send a body that is too large to be kept as UNSIGNED-PAYLOAD instead of refusing it."`
	Algorithm       string            `yaml:"algorithm" enum:"sha256 sha512 sha384 sha1" doc:"Kind hmac: the hash. Default: sha256."`
	Encoding        string            `yaml:"encoding" enum:"hex base64 base64url" doc:"Kind hmac: how the signature is written. Default: hex."`
	Message         string            `yaml:"message" lines:"true" eg:"\"{timestamp}.{body}\"" doc:"Kind hmac: what is signed: text with {method} {scheme} {host} {path} {query} {target} {body} {body_sha256} {timestamp} {timestamp_ms} {nonce} {header:NAME}; other braces are doubled."`
	SignedHeaders   map[string]string `yaml:"set_headers" keys:"header" eg:"{X-Timestamp: \"{timestamp}\"}" doc:"Kind hmac: headers that are set beside the signature: text with {timestamp}, {timestamp_ms} and {nonce}."`
	SecretEncoding  string            `yaml:"secret_encoding" enum:"hex base64" doc:"Kind hmac: how the secret's bytes are written. Default: as they are."`
	ConsumerKey     Text              `yaml:"consumer_key" eg:"ref+builtin://x#consumer_key" doc:"Kind oauth1: the consumer's key."`
	ConsumerSecret  secret.Ref        `yaml:"consumer_secret" eg:"ref+builtin://x#consumer_secret" doc:"Kind oauth1: its secret."`
	AccessToken     secret.Ref        `yaml:"access_token" eg:"ref+builtin://x#access_token" doc:"Kind oauth1: the token."`
	TokenSecret     secret.Ref        `yaml:"token_secret" eg:"ref+builtin://x#token_secret" doc:"Kind oauth1: its secret."`
	SignatureMethod string            `yaml:"signature_method" enum:"HMAC-SHA1 HMAC-SHA256 PLAINTEXT" doc:"Kind oauth1: the method. Default: HMAC-SHA1."`
	Realm           string            `yaml:"realm" eg:"Photos" doc:"Kind oauth1: the realm, where the API asks for one."`

	Inputs map[string]Text `yaml:"inputs" keys:"text" eg:"{tenant: contoso.onmicrosoft.com}" doc:"What a preset asks for (docs/presets.md): {NAME} stands for it in URLs, parameters, claims, headers, login calls and the format of kind path. {upstream} stands for the service's upstream."`
}

// LoginRequest is a login call. At most one of JSON and Form is its body.
type LoginRequest struct {
	Method  string          `yaml:"method" eg:"POST" doc:"The method. Default: POST."`
	URL     string          `yaml:"url" eg:"/open-apis/auth/v3/tenant_access_token/internal" doc:"Where: https://…, or a path on the upstream's host."`
	Headers map[string]Text `yaml:"headers" keys:"header" eg:"{X-API-Version: \"2\"}" doc:"Headers."`
	Query   map[string]Text `yaml:"query" keys:"text" eg:"{grant_type: client_credentials}" doc:"Query parameters."`
	Basic   *LoginBasic     `yaml:"basic" doc:"User and password of Basic authentication."`
	JSON    any             `yaml:"json" eg:"{app_id: cli_1, app_secret: \"ref+builtin://lark#app_secret\"}" doc:"A JSON body: objects, lists, strings, numbers. A string that is a reference stands for the secret."` // leaves are Text, json.Number, bool and nil
	Form    map[string]Text `yaml:"form" keys:"text" eg:"{user: n8n, password: \"ref+builtin://erp#password\"}" doc:"A form as body."`
}

// LoginBasic is the pair of Basic authentication.
type LoginBasic struct {
	Username Text `yaml:"username" eg:"n8n" doc:"The user."`
	Password Text `yaml:"password" eg:"ref+builtin://erp#password" doc:"The password."`
}

// Place is where a token goes.
type Place struct {
	Kind   string `yaml:"kind" default:"bearer" enum:"bearer header query cookie" doc:"As the credential's kinds of these names."`
	Header string `yaml:"header" eg:"X-Auth-Token" doc:"Kind header: the header's name."`
	Param  string `yaml:"param" eg:"access_token" doc:"Kind query: the query parameter's name."`
	Cookie string `yaml:"cookie" eg:"session" doc:"Kind cookie: the cookie's name."`
	Format string `yaml:"format" eg:"\"Token {secret}\"" doc:"How the token is written; {secret} stands for it. Default: Bearer {secret} for bearer, {secret} for the others."`
}

// ExpiredWhen is how an API says that a token has expired: by one of the statuses, or by a value in the body whatever the
// status.
type ExpiredWhen struct {
	Status []int        `yaml:"status" default:"401" min:"400" max:"599" doc:"The statuses that say so."`
	Body   *ExpiredBody `yaml:"body" doc:"A field of a JSON body that says so, whatever the status."`
}

// ExpiredBody is a field of a JSON body and the values, numbers and strings alike, that say that the token has expired.
type ExpiredBody struct {
	Pointer string   `yaml:"pointer" eg:"/code" doc:"The field, as a JSON pointer."`
	In      []string `yaml:"in" eg:"[99991663]" doc:"The values that say so: numbers, strings, true or false."`
	Within  Size     `yaml:"within" default:"64KiB" min:"1KiB" max:"1MiB" doc:"How much of a body is looked at. The rest streams."`
}

// ClientTLS is a client certificate for the upstream, and for token endpoints that know the client by it.
type ClientTLS struct {
	Cert secret.Ref `yaml:"cert" eg:"ref+file://sallyport-client.crt" doc:"The certificate chain, PEM, leaf first."`
	Key  secret.Ref `yaml:"key" eg:"ref+file://sallyport-client.key" doc:"Its private key, PEM."`
}

// Replay is how much of a request's body is kept, for sending it once more or for signing it.
type Replay struct {
	Memory Size `yaml:"memory" default:"1MiB" max:"1GiB" doc:"In memory. All requests together keep no more than 256MiB there and 4GiB in files; what finds no room is as if it were too long. The beginnings of bodies (32KiB) that are kept for a dead connection count as well."`
	Total  Size `yaml:"total" default:"64MiB" max:"64GiB" doc:"In memory and in an unlinked temporary file. A longer body streams: it is not sent once more, and where it has to be signed it is refused."`
}

// Placements returns the service's credentials as a list: one, or several.
func (s *Service) Placements() []Credential {
	if len(s.Credentials) > 0 {
		return s.Credentials
	}
	return []Credential{s.Credential}
}

// Refs returns every reference of the service: of its credentials, client certificate and proxy.
func (s *Service) Refs() []secret.Ref {
	var out []secret.Ref
	if s.TLS != nil {
		out = appendRefs(out, reflect.ValueOf(s.TLS).Elem())
	}
	if !s.ProxySecret.IsZero() {
		out = append(out, s.ProxySecret)
	}
	if len(s.Credentials) == 0 {
		return s.Credential.appendRefs(out)
	}
	for i := range s.Credentials {
		out = s.Credentials[i].appendRefs(out)
	}
	return out
}

// Derived tells kinds that mint a token from kinds that put the secret itself on the wire.
func (c *Credential) Derived() bool {
	switch c.Kind {
	case KindClientCredentials, KindRefreshToken, KindJWTBearer, KindGitHubApp, KindExchange:
		return true
	}
	return false
}

// Signing tells kinds that sign each request.
func (c *Credential) Signing() bool {
	switch c.Kind {
	case KindSigV4, KindHMAC, KindOAuth1, KindDigest:
		return true
	}
	return false
}

// Refs returns every reference in the credential, in the order of the declaration and of names. Inputs are left out: they are
// in their places.
func (c *Credential) Refs() []secret.Ref { return c.appendRefs(nil) }

func (c *Credential) appendRefs(out []secret.Ref) []secret.Ref {
	fields, _ := fieldsOf(reflect.TypeFor[Credential]())
	v := reflect.ValueOf(c).Elem()
	for i := range fields {
		switch fields[i].typ.Kind() { //nolint:exhaustive // most fields, and this is asked for often
		case reflect.String, reflect.Bool:
			continue
		}
		if fields[i].name != "inputs" {
			out = appendRefs(out, v.Field(fields[i].index))
		}
	}
	return out
}

// appendRefs makes no copy of what it looks at: a reload asks for the references of every service several times.
func appendRefs(out []secret.Ref, v reflect.Value) []secret.Ref {
	if x, ok := reflect.TypeAssert[secret.Ref](v); ok {
		if !x.IsZero() {
			out = append(out, x)
		}
		return out
	}
	if x, ok := reflect.TypeAssert[Text](v); ok {
		return append(out, x.Refs()...)
	}
	switch v.Kind() { //nolint:exhaustive // the declaration has references nowhere else
	case reflect.Struct:
		for i := range v.NumField() {
			out = appendRefs(out, v.Field(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out = appendRefs(out, v.Elem())
		}
	case reflect.Map:
		for _, key := range mapKeys(v) {
			out = appendRefs(out, v.MapIndex(reflect.ValueOf(key)))
		}
	case reflect.Interface:
		return refsWithin(out, v.Interface())
	}
	return out
}
