package config

import (
	"fmt"
	"strings"

	"sallyport/internal/config/notation"
	"sallyport/internal/config/wording"
)

func (k *checker) token(name string) {
	t, key := k.cfg.Tokens[name], "tokens."+name
	if len(t.Services) == 0 {
		k.missing(key, "has no services", `name them, such as services: [openai], or ["*"] for all`)
	}
	for i, service := range t.Services {
		k.tokenService(fmt.Sprintf("%s.services.%d", key, i), service, len(t.Services))
	}
	for i, m := range t.Methods {
		at := fmt.Sprintf("%s.methods.%d", key, i)
		switch {
		case notation.IsMethod(m):
			k.methodsOf(at, m)
		case notation.IsMethod(strings.ToUpper(m)):
			k.fail(at, "is not a method", "did you mean \""+strings.ToUpper(m)+"\"?")
		default:
			k.fail(at, "is not a method",
				"write methods in capitals, such as [GET, POST]; leave methods out to allow all")
		}
	}
	if t.Rotate != nil {
		k.rotate(t, key)
	}
}

func (k *checker) tokenService(at, service string, count int) {
	if service == "*" {
		if count > 1 {
			k.fail(at, `is "*" beside other services`, "keep it alone, or name the services")
		}
		return
	}
	if _, ok := k.cfg.Services[service]; ok || k.rep.Broken["services."+service] {
		return
	}
	k.fail(at, "is a service that is not configured: "+wording.Show(service),
		wording.Suggestion(service, k.cfg.ServiceNames()))
}

func (k *checker) rotate(t *Token, owner string) {
	r, key := t.Rotate, owner+".rotate"
	switch {
	case r.Every == 0:
		k.missing(key, "has no every", "say how often, such as every: 24h")
	case r.Overlap >= r.Every:
		k.fail(key+".overlap", "is not shorter than every ("+notation.FormatDuration(r.Every)+
			"): more than two generations would be valid", "shorten it, or rotate less often")
	case t.Expires != 0 && t.Expires < r.Every+r.Overlap:
		k.fail(owner+".expires", "ends a generation before its rotation and overlap are over",
			"make it at least "+notation.FormatDuration(r.Every+r.Overlap)+", or leave it out")
	}
	if t.Expires != 0 && r.Every != 0 && t.Expires >= r.Every+r.Overlap && t.Expires < 2*r.Every {
		k.warn(owner+".expires",
			"leaves "+notation.FormatDuration(t.Expires-r.Every)+
				" to repair a rotation that fails: after that n8n's calls are refused",
			"make it at least twice every ("+notation.FormatDuration(2*r.Every)+")")
	}
	if r.Push != nil && r.Push.N8N != nil {
		k.pushN8N(r.Push.N8N, key+".push.n8n")
	} else if r.Every != 0 {
		k.warn(key, "writes the new value nowhere: consumers stop when the overlap ends",
			"add push: {n8n: …}, or rotate by hand")
	}
}

func (k *checker) pushN8N(p *PushN8N, key string) {
	if p.URL == nil && len(p.CLI) == 0 {
		k.missing(key, "has neither url nor cli", "write url: http://n8n-main:5678")
	}
	if p.URL != nil && p.APIKey.IsZero() && len(p.CLI) == 0 {
		k.missing(key, "has no api_key",
			"write api_key: ref+builtin://NAME; the key needs the scope credential:update alone")
	}
	if p.Credential == "" {
		k.missing(key, "has no credential", "write the id or the name of the Header Auth credential in n8n")
	}
	k.ref(key+".api_key", p.APIKey.Store)
	k.caFile(key+".ca_file", p.CAFile)
	if p.URL != nil && p.URL.Scheme == "http" && !isInternal(p.URL.Hostname()) {
		k.warn(key+".url", "is plain HTTP to a public host: the token can be read on the way", "use https")
	}
}
