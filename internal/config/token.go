package config

import (
	"net/netip"
	"net/url"
	"time"

	"sallyport/internal/secret"
)

// Token is what the configuration says of a proxy token. The token itself is made by token issue and never stands here.
type Token struct {
	Services []string       `yaml:"services" eg:"[openai, github]" doc:"The services it may call; [\"*\"] for all."`
	Methods  []string       `yaml:"methods" eg:"[GET, POST]" doc:"The methods it may use. Absent: all."`
	From     []netip.Prefix `yaml:"from" eg:"[10.0.0.0/8]" doc:"The networks it may come from. Absent: any."`
	Expires  time.Duration  `yaml:"expires" eg:"90d" min:"1m" doc:"The life of a generation. Absent: until revoked or rotated."`
	Rotate   *Rotate        `yaml:"rotate" doc:"Rotation by itself."`
}

// Rotate is the schedule of a token's rotation.
type Rotate struct {
	Every   time.Duration `yaml:"every" eg:"24h" min:"1m" doc:"How often a new generation is made."`
	Overlap time.Duration `yaml:"overlap" default:"1h" min:"1s" doc:"How long the old generation stays valid beside the new one. Shorter than every."`
	Push    *Push         `yaml:"push" doc:"Where the new value is written."`
}

// Push names the consumers of a token.
type Push struct {
	N8N *PushN8N `yaml:"n8n" doc:"A Header Auth credential in n8n."`
}

// PushN8N is one n8n and the Header Auth credential in it.
type PushN8N struct {
	URL        *url.URL   `yaml:"url" eg:"http://n8n-main:5678" doc:"n8n's base URL."`
	APIKey     secret.Ref `yaml:"api_key" eg:"ref+builtin://n8n-api-key" doc:"An API key of n8n with the scope credential:update, by reference."`
	Credential string     `yaml:"credential" eg:"Sallyport" doc:"The Header Auth credential's id or name."`
	Gate       *url.URL   `yaml:"gate" eg:"http://gate:8470" doc:"The gateway as n8n reaches it; the credential has to be locked to its host. Default: the gateway listener."`
	CAFile     string     `yaml:"ca_file" path:"file" eg:"./n8n-ca.pem" doc:"PEM certificates to trust for n8n instead of the system's."`
	CLI        []string   `yaml:"cli" free:"true" eg:"[docker, exec, n8n, n8n]" doc:"The n8n command, for n8n 1.x, whose API cannot update credentials."`
}
