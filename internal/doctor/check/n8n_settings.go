package check

import (
	"context"
	_ "embed" // the page
	"net/url"
	"strings"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
)

//go:embed n8n-settings.md
var n8nSettingsPage string

func n8nSettings() doctor.Check {
	return doctor.Check{
		ID: "n8n-settings", Title: "n8n's own barriers are up", Severity: doctor.High,
		Asks: "The variables of each n8n that runs: access to the environment, the SSRF guard, community packages, " +
			"files, " +
			"proxies, overwritten credentials.",
		Page: n8nSettingsPage,
		Look: func(ctx context.Context, on *site.Site) ([]doctor.Seen, error) { return each(ctx, on, settingsSeen) },
	}
}

// barrier is one variable of n8n, and what is to be said of its values. Defaults are those of n8n 1.123 and 2.41.
type barrier struct {
	name string
	// judge says what is wrong with a value ("" is nothing): set tells whether there is one, major is n8n's first
	// number
	// or 0
	judge  func(value string, set bool, major int) (status doctor.Status, evidence string)
	remedy string
}

func barriers() []barrier {
	return []barrier{
		{"N8N_BLOCK_ENV_ACCESS_IN_NODE", func(value string, set bool, major int) (doctor.Status, string) {
			switch {
			case isTrue(value) || !set && major >= 2:
				return doctor.OK, ""
			case !set && major == 0:
				return doctor.Warning, "is not set, and n8n's version, which decides, is not known"
			}
			return doctor.Failed, "is not true: every workflow reads n8n's environment"
		}, "N8N_BLOCK_ENV_ACCESS_IN_NODE=true"},
		{"N8N_SSRF_PROTECTION_ENABLED", func(value string, _ bool, _ int) (doctor.Status, string) {
			if isTrue(value) {
				return doctor.OK, ""
			}
			return doctor.Warning, "is not true: a workflow reaches the cloud's metadata service and hosts inside"
		}, "N8N_SSRF_PROTECTION_ENABLED=true, with the gate in N8N_SSRF_ALLOWED_HOSTNAMES, or in " +
			"N8N_SSRF_ALLOWED_IP_RANGES"},
		{"N8N_COMMUNITY_PACKAGES_ENABLED", func(value string, _ bool, _ int) (doctor.Status, string) {
			if strings.EqualFold(value, "false") {
				return doctor.OK, ""
			}
			return doctor.Warning, "is not false: a package of the community runs with all of n8n's rights, and " +
				"packages that " +
				"steal credentials were found"
		}, "N8N_COMMUNITY_PACKAGES_ENABLED=false, or at least N8N_UNVERIFIED_PACKAGES_ENABLED=false"},
		{"N8N_OUTBOUND_PROXY_MODE", func(value string, _ bool, _ int) (doctor.Status, string) {
			if strings.EqualFold(value, "main-only") {
				return doctor.Failed, "is main-only: workers go out directly"
			}
			return doctor.OK, ""
		}, "N8N_OUTBOUND_PROXY_MODE=all"},
		{"CREDENTIALS_OVERWRITE_DATA", func(_ string, set bool, _ int) (doctor.Status, string) {
			if set {
				return doctor.Failed, "is set: whoever makes an empty credential of such a type sends its value " +
					"where he likes"
			}
			return doctor.OK, ""
		}, "keep the value behind the gate, and the proxy token in one credential that is locked to the gate's host"},
		{"NODE_FUNCTION_ALLOW_BUILTIN", everyModule, "list the modules that workflows need"},
		{"NODE_FUNCTION_ALLOW_EXTERNAL", everyModule, "list the modules that workflows need"},
		{"HTTP_PROXY", passwordInProxy, proxyRemedy},
		{"HTTPS_PROXY", passwordInProxy, proxyRemedy},
	}
}

const proxyRemedy = "let the proxy know n8n by its address; n8n's log has the variable with N8N_LOG_LEVEL=debug"

func everyModule(value string, _ bool, _ int) (doctor.Status, string) {
	if strings.TrimSpace(value) == "*" {
		return doctor.Warning, "is *: a Code node loads any module, those that open sockets and files too"
	}
	return doctor.OK, ""
}

func passwordInProxy(value string, _ bool, _ int) (doctor.Status, string) {
	if u, err := url.Parse(value); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return doctor.Warning, "has a password in it"
		}
	}
	return doctor.OK, ""
}

func isTrue(value string) bool { return strings.EqualFold(strings.TrimSpace(value), "true") }

func settingsSeen(w site.Workload) (seen []doctor.Seen) {
	major := 0
	if v, ok := parseVersion(w.Version); ok {
		major = v[0]
	}
	for _, b := range barriers() {
		value, set := w.Lookup(b.name)
		v, named := w.Vars[b.name]
		if named && v.From != "" || !named && w.Blind != "" {
			seen = append(seen, doctor.Dark(w.Name, b.name+" is not known: it may come from elsewhere",
				"write it into the "+
					"workload itself"))
			continue
		}
		if status, evidence := b.judge(value, set, major); status != doctor.OK {
			seen = append(seen, doctor.Seen{
				Subject: w.Name, Status: status, Evidence: b.name + " " + evidence, Remedy: b.remedy,
			})
		}
	}
	if len(seen) == 0 {
		seen = append(seen, doctor.Good(w.Name, "its barriers are up"))
	}
	return seen
}
