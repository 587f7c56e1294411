package check

import (
	"context"
	_ "embed" // the page
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/masterkey/survey"
	n8ndatabase "sallyport/internal/n8n/database"
)

//go:embed credential-locks.md
var credentialLocksPage string

func credentialLocks() doctor.Check {
	return doctor.Check{
		ID: "credential-locks", Title: "The proxy token in n8n can be sent to the gate alone, and no other key is " +
			"in n8n",
		Severity: doctor.High,
		Asks: "n8n's credentials, decrypted here with the master key: which hold a proxy token, are these limited " +
			"to domains, " +
			"and which hold other keys?",
		Page: credentialLocksPage, Look: lookAtCredentials,
	}
}

func lookAtCredentials(ctx context.Context, on *site.Site) ([]doctor.Seen, error) {
	if on.N8NDatabase == nil || on.N8NKey == nil {
		return nil, errNobody("n8n's database or its master key was not named",
			"--database-file FILE with --key-file FILE")
	}
	key, err := on.N8NKey(ctx)
	if err != nil {
		return nil, err
	}
	db, err := on.N8NDatabase(ctx)
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // nothing was written
	tx, err := db.Begin(ctx, false)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck,contextcheck // nothing was written, and it has a context of its own
	rows, err := tx.DeploymentKeys(ctx)
	if err != nil {
		return nil, err
	}
	ring, err := survey.NewKeyring(rows, key)
	if err != nil {
		return nil, err
	}
	var found []doctor.Seen
	others := 0
	for _, place := range n8ndatabase.Inventory() {
		if place.Table != "credentials_entity" {
			continue
		}
		err = errors.Join(err, tx.Rows(ctx, place, func(batch []n8ndatabase.Row) error {
			for _, item := range ring.OpenRows(place, batch) {
				s, other := credentialSeen(item)
				found = append(found, s...)
				others += other
			}
			return nil
		}))
	}
	if err != nil {
		return nil, err
	}
	at := db.Name()
	if others > 0 {
		found = append(found, doctor.Doubtful(at, fmt.Sprintf("%d credentials are keys of APIs themselves, and not "+
			"the proxy "+
			"token", others), "move them behind the gate: docs/n8n-setup.md; what is not HTTP stays"))
	}
	if len(found) == 0 {
		found = append(found, doctor.Dark(at, "n8n has no credential", "look again once it has one"))
	}
	return found, nil
}

// credentialSeen says how a credential is, and whether it holds something else than a proxy token. Nothing of it is
// quoted.
func credentialSeen(item survey.Item) (seen []doctor.Seen, other int) {
	at := "credential " + strings.Join(item.Key, " ")
	for i := range item.Values {
		v := &item.Values[i]
		if v.Err != nil {
			return []doctor.Seen{doctor.Dark(at, "the master key does not open it",
				"`sallyport key verify` tells of all")}, 0
		}
		var data struct {
			Value   string `json:"value"`
			Mode    string `json:"allowedHttpRequestDomains"`
			Domains string `json:"allowedDomains"`
		}
		text := v.Plain.Reveal()
		_ = json.Unmarshal(text, &data) // fields of other types hold no token
		switch {
		case !strings.Contains(string(text), "spt_"):
			other++
		case data.Mode == "domains" && strings.TrimSpace(data.Domains) != "" && data.Domains != "*":
			seen = append(seen, doctor.Good(at, "it holds a proxy token, and is limited to "+data.Domains))
		default:
			seen = append(seen, doctor.Bad(at, "it holds a proxy token, and a workflow may send it to any host",
				"in n8n: Allowed HTTP Request Domains: Specific Domains, with the gate's host alone"))
		}
	}
	if item.Err != nil {
		seen = append(seen, doctor.Dark(at, "it is not what n8n writes", "`sallyport key verify` tells of all"))
	}
	return seen, other
}
