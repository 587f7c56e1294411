package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/boundary/ca"
	"sallyport/internal/cli"
	"sallyport/internal/testkit/recorded"
)

// block is one fenced block of a page.
type block struct {
	page string // path below the top of the repository
	line int    // of the fence, from 1
	lang string
	text string
}

func (b block) where() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

var fence = regexp.MustCompile("^```([a-z0-9]*)$")

// blocksOf reads the blocks of a page, in order. A fence stands at the beginning of a line.
func blocksOf(t *testing.T, page string) []block {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	var open *block
	for i, line := range strings.Split(string(source), "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open == nil && m != nil:
			open = &block{page: page, line: i + 1, lang: m[1]}
		case open != nil && line == "```":
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s: the block is not closed", open.where())
	}
	return blocks
}

// use is what becomes of one block; of a block without one, sh is run and yaml is checked as a configuration.
type use struct {
	has  string // a text that this block of the page has, and no other
	skip string // why it cannot run here, or is no configuration of ours
	// saveAs is where a person saves it, below the home folder; with >> it goes to the end of that file.
	saveAs string
	then   string // what the shell does after that
	// within makes a configuration of a part of one: %s is the block, each line behind indent.
	within, indent string
}

// replacement is a text of a page that cannot run as it is written, and what runs instead.
type replacement struct {
	old, instead string
	why          string
}

// page is a document whose blocks are run in their order, in one shell, as someone does who follows it.
type page struct {
	path string
	// has are the files that the reader is taken to have, by path below the home folder, where the shell begins.
	has map[string]string
	// recorded is the recording of n8n's database that the reader has, as database.sqlite, with its master key in
	// old.key.
	recorded string
	// first is what the reader is taken to have done before.
	first        string
	replacements []replacement
	uses         []use
	// says are texts that the output has to have: what the page promises.
	says []string
}

// The keys of the stand-in APIs. None may be in the output.
const (
	pageKey    = "sk-canary-of-the-pages-1"
	pageNewKey = "sk-canary-of-the-pages-2"
	pageN8NKey = "n8n_api_key_value"
)

// serving runs the gate beside the shell and goes on when it is ready, or ends when it has ended.
const serving = `sallyport serve 2>serve.log & gate=$!
until curl -sf http://127.0.0.1:8472/readyz >ready; do kill -0 $gate || { cat serve.log; exit 1; }; sleep 0.1; done`

var (
	built = replacement{
		"make build", `mkdir -p bin && cp "$(command -v sallyport)" bin/sallyport`,
		"the tests have the program built already",
	}
	served = replacement{
		"\nsallyport serve\n", "\n" + serving + "\n",
		"a person has a second terminal for what comes next",
	}
	tailed = replacement{
		"sallyport audit tail -f", "sallyport audit tail",
		"it goes on until Ctrl-C; audit.txtar follows",
	}
)

// pages are those whose blocks run. What of docs/ is not here: credentials.md, of which app.TestCredentialExamplesWork
// makes a call by each example; cli.md, configuration.md, errors.md and presets.md, which are generated; and what has
// no sh and no yaml.
var pages = append([]page{
	{
		path:         "README.md",
		has:          map[string]string{"key.txt": pageKey + "\n"},
		replacements: []replacement{built, served},
		uses: []use{
			{has: "make demo", skip: "make test is what runs this test, and .ci/run all three; the demo is in demo.txtar"},
		},
		says: []string{"spt_"},
	},
	{
		path: "docs/quickstart.md",
		has: map[string]string{
			"sallyport/key.txt":     pageKey + "\n",
			"sallyport/new-key.txt": pageNewKey + "\n",
		},
		replacements: []replacement{built, served, tailed, {
			"DELETE /v1/files/x  ", "DELETE /v1/files/x || test $? = 3  ",
			"it shows a refusal, with the exit code of one, which would end `sh -e`",
		}, {
			"sallyport token rotate n8n --push n8n", "true",
			"it wants the settings of n8n-setup.md, where it runs",
		}},
		uses: []use{
			{has: "preset: openai", saveAs: "sallyport/services.d/openai.yaml"},
			{has: "upstream: https://crm.example.com", saveAs: "sallyport/services.d/crm.yaml"},
		},
		says: []string{"Proxy-Status: sallyport; received-status=200", "spt_", `sallyport_requests_total{`},
	},
	{
		path: "docs/n8n-setup.md",
		has: map[string]string{
			"key.txt": pageKey, "n8n-key.txt": pageN8NKey,
			"sallyport.yaml": `services:
  crm: {upstream: "https://crm.example.com/api/v2", credential: {kind: header, header: X-API-Key, secret: ref+builtin://crm}}
  openai: {preset: openai, secret: ref+builtin://crm}
`,
		},
		first: "sallyport init\nsallyport secret set crm < key.txt",
		replacements: []replacement{{
			"sallyport secret set n8n-api-key ", "sallyport secret set n8n-api-key < n8n-key.txt ",
			"no terminal is here on which it could ask; prompt.txtar has one",
		}},
		uses: []use{
			{has: "every: 24h", saveAs: ">>sallyport.yaml", then: serving},
			{has: "cli: [docker", within: "services: {crm: {upstream: https://crm.example.com, credential: {kind: none}}}\ntokens:\n  n8n:\n    services: [crm]\n    rotate:\n      every: 24h\n%s", indent: "      "},
		},
	},
	{
		path: "docs/from-the-guide.md",
		has: map[string]string{
			"sallyport.yaml":       "stores:\n  corp: {kind: file, dir: corp}\n",
			"corp/secret/n8n/db":   `{"password": "canary-of-the-pages-3"}`,
			"corp/secret/n8n/core": `{"master_key": "canary-of-the-pages-4"}`,
		},
		first:        "sallyport init",
		replacements: []replacement{{"sallyport audit tail --follow", "sallyport audit tail", tailed.why}},
		uses: []use{
			{has: "--new-key-file new.key --dry-run", skip: "it wants a database of n8n's; key_rekey.txtar has one"},
			{has: "key rekey --stop-fleet", skip: "no fleet is here; TestRekeyFleetFromStore has one"},
			{has: "  openai: {preset: openai", within: "stores: {corp: {kind: file, dir: /corp}}\n%s"},
			{has: "secret set --store corp", skip: "it writes into Vault; store.txtar writes into a store"},
			{has: "token rotate n8n --push n8n", skip: "it runs with the settings of n8n-setup.md, there"},
			{has: "secret import --from env-file", skip: "it writes into Vault; secret_import.txtar imports"},
		},
	},
	{
		path: "docs/entrypoint.md",
		has: map[string]string{
			"sallyport.yaml": "stores:\n  corp: {kind: file, dir: corp}\n",
			"corp/n8n":       `{"master_key": "canary-of-the-pages-4"}`,
		},
		uses: []use{
			{has: "docker build", skip: "it fetches n8n's image"},
			{has: "image: n8n-with-sallyport", skip: "a Compose file"},
			{has: "initContainers", skip: "a Deployment's part"},
		},
	},
	{
		path:         "docs/audit.md",
		has:          map[string]string{"key.txt": pageKey, "syslog-ca.pem": authority},
		first:        "sallyport init\nsallyport secret set crm < key.txt",
		replacements: []replacement{tailed},
		uses: []use{{
			has:  "/mnt/worm",
			skip: "it wants a log that was copied elsewhere; audit.txtar verifies one",
		}},
	},
	{
		path: "docs/operations.md",
		has: map[string]string{
			"sallyport_database": "postgres://sallyport:canary-of-the-pages-5@db/sallyport",
			"sallyport_seal_key": "canary-of-the-pages-6",
		},
		replacements: []replacement{{
			"/run/secrets/", "$HOME/",
			"no Docker mounts them here, and config check reads them",
		}},
		uses: []use{
			{has: "mkdir gate", skip: "TestGateInAContainer has an engine"},
			{has: "docker run -d --name gate", skip: "TestGateInAContainer has an engine"},
		},
	},
	{
		path:     "docs/masterkey.md",
		recorded: "2.41.1-sqlite",
		first:    `sallyport init; printf '{"encryptionKey": "%s"}' "$(cat old.key)" > config`,
		replacements: []replacement{
			{"postgres://n8n@db/n8n", "sqlite://$HOME/database.sqlite", "the recording; rekey.TestEveryValueIsThereAfterwards has PostgreSQL"},
			{"/home/node/.n8n/config", "$HOME/config", "this user has no such folder"},
			{" --docker-label n8n.fleet=prod", "", "no containers are here; masterkey/nodes has them asked"},
			{"n8n-rekey-20261121T101500Z.backup", "n8n-rekey-*.backup", "the time is another one"},
		},
		uses: []use{{has: "--stop-fleet", skip: "no fleet is here; TestRekeyFleetFromStore has one"}},
		says: []string{
			"nothing is in its way; nothing was changed", "is under the new master key", "has the new key",
			"The key of new.key is the one of", "the old master key is active again",
		},
	},
	{
		path: "docs/masterkey-install.md",
		has: map[string]string{
			"docker-compose.yml": "services:\n  n8n:\n    environment:\n      - N8N_ENCRYPTION_KEY=/run/secrets/n8n_key\n", ".vault-password": "pw\n",
		},
		first: "sallyport init; sallyport key generate --out n8n.key",
		replacements: []replacement{
			{"&& chown 1000", "&& test -s", "whoever runs this is not root in every place"},
			{"corp", "builtin", "no store of another kind can be written to here; install.TestStore has them"},
			{"--check-snippet docker-compose.yml ", "--check-snippet docker-compose.yml || test $? = 3 ", "it finds something, which would end `sh -e`"},
		},
		uses: []use{
			{has: "--target TARGET", skip: "TARGET is one of those that follow"},
			{has: "--target swarm", skip: "no swarm is here; install's tests have Docker's API"},
			{has: "target: n8n_encryption_key", skip: "a stack file"},
			{has: "--target kubernetes", skip: "no cluster is here; install's tests have a real API server"},
			{has: "secretKeyRef", skip: "a Deployment's part"},
			{has: "--target nomad", skip: "no Nomad is here; install's tests have its API"},
			{has: "--target systemd", skip: "it writes into /etc; install's tests run systemd-creds"},
		},
		says: []string{
			"made secrets/n8n_encryption_key_v1", "the vault was decrypted again and compared", `made n8n_encryption_key_v1 in store "builtin"`,
			"n8n start", "docker-compose.yml:4: N8N_ENCRYPTION_KEY is the name of a file",
		},
	},
	{
		path:     "docs/masterkey-verify.md",
		recorded: "2.41.1-sqlite",
		first: `cp old.key candidate.key; cp old.key n8n.key; mkdir answers; export N8N_ENCRYPTION_KEY_FILE="$HOME/n8n.key"
openssl req -x509 -newkey ed25519 -nodes -keyout tls.key -out tls.crt -subj /CN=n8n-3 -addext subjectAltName=DNS:n8n-3 2>/dev/null; cp tls.crt ca.crt`,
		replacements: []replacement{
			{"/home/node/.n8n/database.sqlite", "$HOME/database.sqlite", "the recording"},
			{"--out worker-1.json", "--out answers/worker-1.json", "both sites are this folder"},
			{"--role worker\n", "--role worker 2>agent.log & gate=$!\nuntil curl -sf --cacert ca.crt https://n8n-3:8473/healthz; do kill -0 $gate; sleep 0.1; done\n", "a person has a second terminal for what comes next"},
		},
		uses: []use{
			{has: "--docker-label", skip: "no containers are here; masterkey/nodes has them asked"},
			{has: "docker cp", skip: "no containers are here"},
		},
		says: []string{"The key of candidate.key is the one of", "1 of 1 nodes have the key of n8n.key"},
	},
	{
		path: "docs/stores/README.md",
	},
}, storePages()...)

// storePages are those of all kinds of store.
func storePages() (list []page) {
	elsewhere := map[string]string{
		"gcpsm": "gcloud secrets", "azurekv": "az keyvault show", "swarm": "fleet restart prod", "kubernetes": "kind: RoleBinding",
	}
	for _, kind := range app.Kinds().Stores {
		list = append(list, storePage(kind.Name, elsewhere[kind.Name]))
	}
	return list
}

// authority stands for the certificate of some certificate authority.
const authority = "a certificate"

func newAuthority(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := ca.Create(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, ca.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// storePage is the page of a store. Its configuration is read; what it says of the store itself is tested beside the
// store, against a real server where there is one: Vault, Kubernetes, Docker. elsewhere is in the block that wants a
// tool or a server that is not here.
func storePage(kind, elsewhere string) page {
	p := page{path: "docs/stores/" + kind + ".md", has: map[string]string{"vault-ca.pem": authority, "kubeconfig": ""}}
	if elsewhere != "" {
		p.uses = append(p.uses,
			use{has: elsewhere, skip: "it wants the provider's own tools, or a server that is not here"})
	}
	return p
}

// TestPagesAreUsed: every block of a table exists, once.
func TestPagesAreUsed(t *testing.T) {
	for _, p := range pages {
		blocks := blocksOf(t, p.path)
		for _, u := range p.uses {
			var hits []string
			for _, b := range blocks {
				if (b.lang == "sh" || b.lang == "yaml") && strings.Contains(b.text, u.has) {
					hits = append(hits, b.where())
				}
			}
			if len(hits) != 1 {
				t.Errorf("%s: blocks that have %q: %v, want one", p.path, u.has, hits)
			}
		}
		for _, r := range p.replacements {
			found := false
			for _, b := range blocks {
				found = found || (b.lang == "sh" || b.lang == "yaml") && p.useOf(b).skip == "" &&
					strings.Contains("\n"+b.text, r.old)
			}
			if !found {
				t.Errorf("%s: no block that runs has %q any more: take the replacement away", p.path, r.old)
			}
		}
	}
}

func (p page) useOf(b block) use {
	for _, u := range p.uses {
		if strings.Contains(b.text, u.has) {
			return u
		}
	}
	return use{}
}

// script is what someone types who follows the page, with a line before each block that says where it stands.
func (p page) script(blocks []block) string {
	var s strings.Builder
	s.WriteString("gate=\ntrap '[ -z \"$gate\" ] || { kill $gate || true; wait $gate || true; }' EXIT\n" + p.first +
		"\n")
	for _, b := range blocks {
		u := p.useOf(b)
		text := "\n" + b.text
		for _, r := range p.replacements {
			text = strings.ReplaceAll(text, r.old, r.instead)
		}
		switch {
		case u.skip != "":
		case u.saveAs != "":
			to := "> ~/" + u.saveAs
			if rest, appends := strings.CutPrefix(u.saveAs, ">>"); appends {
				to = ">> ~/" + rest
			}
			fmt.Fprintf(&s, "echo '=== %s'\ncat %s <<'END OF BLOCK'\n%sEND OF BLOCK\n%s\n", b.where(),
				to, b.text, u.then)
		case b.lang == "sh":
			fmt.Fprintf(&s, "echo '=== %s'%s\n", b.where(), text)
		}
	}
	return s.String()
}

// TestPagesConfigure: the yaml of the pages is a configuration that Sallyport takes.
func TestPagesConfigure(t *testing.T) {
	for _, p := range pages {
		for _, b := range blocksOf(t, p.path) {
			u := p.useOf(b)
			if b.lang != "yaml" || u.skip != "" || u.saveAs != "" { // what is saved is checked where it is used
				continue
			}
			t.Run(b.where(), func(t *testing.T) {
				text := b.text
				if u.within != "" {
					text = fmt.Sprintf(u.within, u.indent+strings.ReplaceAll(b.text, "\n", "\n"+u.indent))
				}
				for _, r := range p.replacements {
					text = strings.ReplaceAll(text, r.old, r.instead)
				}
				home := t.TempDir()
				p.settle(t, home)
				file := filepath.Join(home, "page.yaml")
				write(t, file, strings.ReplaceAll(text, "$HOME", home), 0o600)
				var out bytes.Buffer
				if exit := cli.Main(t.Context(), []string{"config", "check", "--config", file},
					cli.Streams{In: &bytes.Buffer{}, Out: &out, Err: &out}); exit != 0 {
					t.Errorf("config check ends with %d:\n%s\n%s", exit, &out, text)
				}
			})
		}
	}
}

// settle puts into the home folder what the reader is taken to have.
func (p page) settle(t *testing.T, home string) {
	t.Helper()
	for name, content := range p.has {
		if content == authority {
			content = newAuthority(t)
		}
		write(t, filepath.Join(home, name), content, 0o600)
	}
	if p.recorded == "" {
		return
	}
	r := recorded.Named(t, p.recorded)
	content, err := os.ReadFile(r.SQLite(t))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, "database.sqlite"), string(content), 0o600)
	write(t, filepath.Join(home, "old.key"), r.Master, 0o600)
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
