package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

var _ secret.Prober = (*Store)(nil)

// maxProbed bounds how many paths Vault is asked about; the answer says so when there are more.
const maxProbed = 500

// question is one path of Vault's API about whose capabilities is asked, and the right that they make.
type question struct {
	path  string
	any   []string // one of them is the right
	right secret.Right
}

// Probe implements secret.Prober, by sys/capabilities-self: Vault says what the token's policies grant, and nothing is
// read. What lies beside a secret is asked for under a name that is not there.
func (s *Store) Probe(ctx context.Context, uses []secret.Use) (secret.Probe, error) {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	questions, err := s.questions(bounded, uses)
	if err != nil {
		return secret.Probe{}, s.failed(ctx, "asking about the rights to", "secrets", err)
	}
	var probe secret.Probe
	root := false
	for chunk := range slices.Chunk(questions, 100) {
		var paths []string
		for _, q := range chunk {
			paths = append(paths, q.path)
		}
		granted, err := s.ask(bounded, request{
			method: http.MethodPost, path: "sys/capabilities-self", body: map[string][]string{"paths": paths},
		})
		if err != nil {
			return secret.Probe{}, s.failed(ctx, "asking about the rights to", "secrets", fault.WithHint(err,
				`the policy "default" lets a token ask what it may do; or add: path "sys/capabilities-self" { capabilities = ["update"] }`))
		}
		for _, q := range chunk {
			has := capabilities(granted, q.path)
			root = root || slices.Contains(has, "root")
			q.right.Held = slices.ContainsFunc(has, func(c string) bool {
				return c == "root" ||
					slices.Contains(q.any, c)
			})
			probe.Rights = append(probe.Rights, q.right)
		}
	}
	probe.Rights = append(probe.Rights, secret.Right{
		What: "do everything, as root", Held: root, Want: secret.Excess,
		Fix: "make a policy for Sallyport alone, and log in by approle, kubernetes or jwt",
	})
	probe.Identity = s.identity(bounded)
	probe.Audit = s.trail(bounded)
	return probe, nil
}

// questions are what to ask about the paths in use, and about Vault itself.
func (s *Store) questions(ctx context.Context, uses []secret.Use) (list []question, err error) {
	absent := "sallyport-probe-" + rand.Text()[:8]
	asked := make(map[string]bool)
	add := func(q question) {
		if !asked[q.path+q.right.What] && len(list) < maxProbed {
			asked[q.path+q.right.What] = true
			list = append(list, q)
		}
	}
	for _, use := range uses {
		m, key, err := s.locate(ctx, use.Path)
		if err != nil {
			if errors.Is(err, secret.ErrUnavailable) || s.lockedOut(err) {
				return nil, err
			}
			continue // what names nothing of Vault's fails where it is read, and says why there
		}
		s.aboutSecret(add, m, key, absent, use)
	}
	for _, one := range []struct {
		path, what string
		any        []string
	}{
		{"sys/policies/acl/" + absent, "write policies", []string{"create", "update"}},
		{"sys/auth/" + absent, "enable ways to log in", []string{"create", "update"}},
		{"sys/mounts/" + absent, "mount secrets engines", []string{"create", "update"}},
		{"sys/audit/" + absent, "turn off audit devices", []string{"create", "update", "delete"}},
		{"auth/token/create", "make tokens", []string{"create", "update", "sudo"}},
		{"sys/raw/" + absent, "read Vault's own storage", []string{"read", "list"}},
	} {
		add(question{one.path, one.any, secret.Right{
			What: fmt.Sprintf("%s (%s)", one.what, strings.TrimSuffix(one.path, "/"+absent)),
			Want: secret.Excess, Fix: "take " + strings.TrimSuffix(one.path, absent) +
				" out of the policies of Sallyport's login",
		}})
	}
	return list, nil
}

// aboutSecret asks about one secret, what lies beside it, and the rest of its engine.
func (s *Store) aboutSecret(add func(question), m mount, key, absent string, use secret.Use) {
	data := m.path
	if m.kv == 2 {
		data += "data/"
	}
	at := data + key
	rule := func(capabilities ...string) string {
		return fmt.Sprintf(`path "%s" { capabilities = ["%s"] }`, escape(at), strings.Join(capabilities, `", "`))
	}
	read := rule("read")
	add(question{at, []string{"read"}, secret.Right{What: "read " + use.Path, Want: secret.Needed, Fix: "add " + read}})
	if use.Writes {
		add(question{at, []string{"update", "create"}, secret.Right{
			What: "write " + use.Path, Want: secret.Needed, Fix: "add " + rule("read", "create", "update"),
		}})
	} else {
		add(question{at, []string{"create", "update", "patch"}, secret.Right{
			What: "write " + use.Path, Want: secret.Wide, Fix: "it is only read: " + read,
		}})
	}
	add(question{at, []string{"delete"}, secret.Right{
		What: "delete " + use.Path, Want: secret.Wide, Fix: "leave delete out: " + read,
	}})
	if m.kv == 0 {
		return // what another engine has beside a path, only it knows
	}
	folder := path.Dir(key)
	if folder != "." {
		add(question{data + folder + "/" + absent, []string{"read"}, secret.Right{
			What: "read anything in " + m.path + folder + "/", Want: secret.Wide,
			Fix: "name the secrets that are used, each by a rule: " + read,
		}})
	}
	want := secret.Excess
	if folder == "." {
		want = secret.Wide // the engine itself is the folder
	}
	add(question{data + absent, []string{"read"}, secret.Right{
		What: "read anything in " + m.path, Want: want, Fix: "name the secrets that are used, each by a rule: " + read,
	}})
}

// identity is the display name of the token, or "".
func (s *Store) identity(ctx context.Context) string {
	self, err := s.ask(ctx, request{method: http.MethodGet, path: "auth/token/lookup-self"})
	if err != nil {
		return ""
	}
	name, _ := self.Data["display_name"].(string)
	return name
}

// trail asks which audit devices there are. Few identities may, and Sallyport's need not.
func (s *Store) trail(ctx context.Context) secret.Trail {
	devices, err := s.ask(ctx, request{method: http.MethodGet, path: "sys/audit"})
	switch {
	case err != nil:
		return secret.Trail{
			Evidence: "Vault does not tell this identity which audit devices there are",
			Hint:     "`vault audit list -detailed`, as one who may, tells; one device at least has to be on",
		}
	case len(devices.Data) == 0:
		return secret.Trail{
			State: secret.TrailOff, Evidence: "no audit device is on: nobody can tell who has read what",
			Hint: "vault audit enable file file_path=/var/log/vault/audit.log",
		}
	}
	return secret.Trail{State: secret.TrailOn, Evidence: fmt.Sprintf("%d audit devices are on", len(devices.Data))}
}
