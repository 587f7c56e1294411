package install

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// DefaultNomadPath is the variable that the job "n8n" may read without a policy.
const DefaultNomadPath = "nomad/jobs/n8n"

var nomadPath = regexp.MustCompile(`^[a-zA-Z0-9_~/-]{1,128}$`)

// nomad is items of one of Nomad's variables: https://developer.hashicorp.com/nomad/api-docs/variables/variables
type nomad struct {
	numbered
	client *nomadClient
	family string
	path   string
}

// NewNomad is a variable of Nomad. Its items are called after o.Name; "" is DefaultName. What else is in the variable
// stays.
func NewNomad(o *NomadOptions) (Target, error) {
	family, err := named(o.Name, identifier,
		"a-z, A-Z, 0-9 and '_', not beginning with a digit: the name stands in a template")
	if err != nil {
		return nil, err
	}
	path := o.Path
	if path == "" {
		path = DefaultNomadPath
	}
	if !nomadPath.MatchString(path) {
		return nil, fault.WithExit(fault.WithHint(fmt.Errorf("%q cannot be a variable of Nomad", path),
			"use up to 128 of a-z, A-Z, 0-9, '-', '_', '~' and '/'"), fault.ExitUsage)
	}
	client, err := o.client()
	return &nomad{client: client, family: family, path: path}, err
}

func (n *nomad) String() string {
	return fmt.Sprintf("variable %q of Nomad's namespace %q", n.path, n.client.namespace)
}

func (n *nomad) Name(version int) string { return versioned(n.family, version) }

// Held implements Target.
func (n *nomad) Held(ctx context.Context) ([]int, error) {
	v, err := n.client.read(ctx, n.path)
	return n.numbers(v), err
}

func (n *nomad) numbers(v nomadVariable) (held []int) {
	for name := range v.Items {
		if number, ok := numberOf(name, n.family+"_v"); ok {
			held = append(held, number)
		}
	}
	return held
}

// Create implements Target: the item is added to what the variable has then, unless another process writes it
// meanwhile.
func (n *nomad) Create(ctx context.Context, _ []int, key secret.Value) (int, error) {
	for range maxTaken {
		v, err := n.client.read(ctx, n.path)
		if err != nil {
			return 0, err
		}
		number := n.Next(n.numbers(v))
		items := maps.Clone(v.Items)
		if items == nil {
			items = make(map[string]string)
		}
		items[n.Name(number)] = string(key.Reveal())
		if err := n.client.write(ctx, n.path, items, v.ModifyIndex); !errors.Is(err, secret.ErrConflict) {
			return number, err
		}
	}
	return 0, secret.ErrConflict
}

// Read implements Target.
func (n *nomad) Read(ctx context.Context, version int) (secret.Value, string, error) {
	v, err := n.client.read(ctx, n.path)
	return secret.NewValue([]byte(v.Items[n.Name(version)])),
		"read back from Nomad and compared: it is the same key", err
}

// Snippet implements Target.
func (n *nomad) Snippet(version int) string {
	return fmt.Sprintf(`# in every task that runs n8n: main, webhook, worker
template {
  destination = "${NOMAD_SECRETS_DIR}/%[1]s"
  data        = <<EOT
{{ with nomadVar "%[3]s" }}{{ .%[2]s }}{{ end }}
EOT
}
env {
  N8N_ENCRYPTION_KEY_FILE = "${NOMAD_SECRETS_DIR}/%[1]s"
}
`, n.family, n.Name(version), n.path)
}

// Notes implements Target.
func (n *nomad) Notes(int) []string {
	if n.path == DefaultNomadPath {
		return []string{
			`the job "n8n" may read this variable by itself; a job of another name needs --path nomad/jobs/JOB, or a policy`,
		}
	}
	return nil
}

// nomadVariable is what the API says of a variable, as far as it matters here.
type nomadVariable struct {
	Namespace   string            `json:",omitempty"`
	Path        string            `json:",omitempty"`
	ModifyIndex uint64            `json:",omitempty"`
	Items       map[string]string `json:",omitempty"`
}

// nomadClient speaks with one server or agent.
type nomadClient struct {
	http      *http.Client
	address   *url.URL
	token     secret.Value
	namespace string
	region    string
}

const (
	nomadTimeout = 10 * time.Second
	maxAnswer    = 1 << 20 // a variable has 64 KiB at most
)

// read returns a variable; without items and with index 0 when there is none.
func (c *nomadClient) read(ctx context.Context, path string) (nomadVariable, error) {
	status, body, err := c.call(ctx, http.MethodGet, path, url.Values{}, nil)
	var v nomadVariable
	switch {
	case err != nil:
		return v, err
	case status == http.StatusNotFound:
		return v, nil
	case status != http.StatusOK:
		return v, c.refused(status, "read", path)
	case json.Unmarshal(body, &v) != nil || v.ModifyIndex == 0:
		return nomadVariable{}, errNoNomad // the decoder's text may quote an item
	}
	return v, nil
}

// write stores the items if the variable is still at index; 0 is for one that is not there.
func (c *nomadClient) write(ctx context.Context, path string, items map[string]string, index uint64) error {
	body, err := json.Marshal(nomadVariable{Namespace: c.namespace, Path: path, Items: items})
	if err != nil {
		return fmt.Errorf("writing the variable as JSON: %w", err)
	}
	status, _, err := c.call(ctx, http.MethodPut, path, url.Values{"cas": {strconv.FormatUint(index, 10)}}, body)
	switch {
	case err != nil:
		return err
	case status == http.StatusConflict:
		return secret.ErrConflict
	case status != http.StatusOK:
		return c.refused(status, "write", path)
	}
	return nil
}

func (c *nomadClient) call(ctx context.Context, method, path string, query url.Values, body []byte) (status int,
	answer []byte, err error,
) {
	ctx, cancel := context.WithTimeout(ctx, nomadTimeout)
	defer cancel()
	query.Set("namespace", c.namespace)
	if c.region != "" {
		query.Set("region", c.region)
	}
	at := c.address.JoinPath("v1", "var", path)
	at.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, errNoNomad
	}
	if !c.token.IsZero() {
		req.Header.Set("X-Nomad-Token", string(c.token.Reveal()))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, unreachable(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	if answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return 0, nil, unreachable(err)
	}
	return resp.StatusCode, answer, nil
}

var errNoNomad = unavailable(errors.New("what answers is not understood"),
	"is the address that of a Nomad agent? Nomad has variables since 1.4")

func unreachable(err error) error {
	if about, ok := errors.AsType[*url.Error](err); ok {
		err = about.Err // the rest repeats the address
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return unavailable(err, "see --nomad-addr or NOMAD_ADDR, and NOMAD_CACERT for a certificate authority of its own")
}

func unavailable(err error, hint string) error {
	return fault.WithExit(fault.WithHint(fmt.Errorf("%w: %w", secret.ErrUnavailable, err), hint), fault.ExitStore)
}

// refused is a response that says no. What the server wrote stays out of it.
func (c *nomadClient) refused(status int, doing, path string) error {
	err := fmt.Errorf("nomad answered %d to %s it", status, doing)
	switch {
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return fault.WithHint(fmt.Errorf("%w: %w", secret.ErrDenied, err),
			fmt.Sprintf(
				`set NOMAD_TOKEN to a token whose policy has: namespace %q { variables { path %q { capabilities = ["read", "write"] } } }`, c.namespace, path))
	case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge:
		return fault.WithHint(err, "a variable holds at most 64 KiB in all its items; --path names another")
	case status < http.StatusInternalServerError:
		return fault.WithHint(err, "is there such a namespace? `nomad namespace list`")
	}
	return unavailable(err,
		"see the log of Nomad's servers, and that there is such a namespace: `nomad namespace list`")
}
