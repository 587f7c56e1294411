package check

import (
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// TestCredentialSeen: a proxy token has to be limited to domains, and what is no proxy token is counted.
func TestCredentialSeen(t *testing.T) {
	for text, want := range map[string]doctor.Status{
		`{"name":"a","value":"spt_x"}`:                                                                      doctor.Failed,
		`{"value":"Bearer spt_x","allowedHttpRequestDomains":"all"}`:                                        doctor.Failed,
		`{"value":"spt_x","allowedHttpRequestDomains":"domains"}`:                                           doctor.Failed,
		`{"value":"spt_x","allowedHttpRequestDomains":"domains","allowedDomains":"*"}`:                      doctor.Failed,
		`{"value":"spt_x","allowedHttpRequestDomains":"domains","allowedDomains":"gate.internal"}`:          doctor.OK,
		`{"apiKey":"spt_x","url":"http://gate","allowedHttpRequestDomains":"domains","allowedDomains":"g"}`: doctor.OK,
		`{"value":"sk-other"}`: "",
		`["spt_x"]`:            doctor.Failed,
	} {
		item := survey.Item{Row: database.Row{Key: []string{"id"}}, Values: []survey.Value{{
			Opened: survey.Opened{Plain: secret.NewValue([]byte(text))},
		}}}
		seen, other := credentialSeen(item)
		switch {
		case want == "" && (other != 1 || len(seen) > 0), want != "" && (len(seen) != 1 || seen[0].Status != want):
			t.Errorf("%s: got %+v, %d", text, seen, other)
		}
	}
}
