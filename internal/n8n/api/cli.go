package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// n8n's command line starts a whole n8n each time: 2 to 10 seconds, more in a busy container.
const cliTimeout = 2 * time.Minute

// exported is one credential as n8n export:credentials writes it and import:credentials reads it. Fields that are left
// out of an import keep their value in n8n; data is replaced as a whole.
type exported struct {
	ID   string          `json:"id"`
	Name string          `json:"name"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// importValue reads the credential over the command line, sets the value and the lock in what it read, and writes it
// back.
func (c *Client) importValue(ctx context.Context, value secret.Value, lockTo string) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, cliTimeout)
	defer cancel()
	current, err := c.export(ctx)
	if err != nil {
		return Result{}, notSentError{err}
	}
	data, err := merge(current.Data, value, lockTo)
	if err != nil {
		return Result{}, notSentError{fmt.Errorf("reading the exported credential: %w", err)}
	}
	current.Data = data
	input, err := json.Marshal([]exported{current})
	if err != nil {
		return Result{}, fmt.Errorf("encoding the import: %w", err)
	}
	if _, err := c.run(ctx, input, "import:credentials", "--input=/dev/stdin"); err != nil {
		return Result{}, err
	}
	// The n8n that needs this way keeps the lock, but holds redirects to it only (1.123.81): not what Locked promises.
	return Result{CredentialID: current.ID, Locked: Unknown, Method: MethodCLI}, nil
}

// merge sets the value and, when lockTo is not empty, the lock, and keeps every other field as n8n wrote it.
func merge(data json.RawMessage, value secret.Value, lockTo string) (json.RawMessage, error) {
	fields := map[string]any{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, errors.New("its data is not a JSON object")
	}
	fields["value"] = string(value.Reveal())
	if lockTo != "" {
		fields["allowedHttpRequestDomains"], fields["allowedDomains"] = "domains", lockTo
	}
	merged, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encoding its data: %w", err)
	}
	return merged, nil
}

// export reads the one credential with its data in the clear. A name is first looked up in an export without clear
// data.
func (c *Client) export(ctx context.Context) (exported, error) {
	id := c.credential
	if !identifier.MatchString(id) {
		all, err := c.exportList(ctx, "--all")
		if err != nil {
			return exported{}, err
		}
		var ids []string
		for _, credential := range all {
			if credential.Name == c.credential && credential.Type == headerAuth {
				ids = append(ids, credential.ID)
			}
		}
		if id, err = one(ids); err != nil {
			return exported{}, err
		}
	}
	list, err := c.exportList(ctx, "--decrypted", "--id="+id)
	if err != nil {
		return exported{}, err
	}
	if len(list) != 1 || list[0].Type != headerAuth {
		return exported{}, fault.WithHint(errors.New("n8n exported something else than one Header Auth credential"),
			"point `credential` at the Header Auth credential that holds the proxy token")
	}
	return list[0], nil
}

func (c *Client) exportList(ctx context.Context, args ...string) ([]exported, error) {
	out, err := c.run(ctx, nil, append([]string{"export:credentials", "--output=/dev/stdout"}, args...)...)
	if err != nil {
		return nil, err
	}
	return findExport(out)
}

// findExport finds the JSON array in what n8n wrote: its log goes to the same place, before and after, and as JSON or
// as text.
func findExport(out []byte) ([]exported, error) {
	for rest := out; ; {
		at := bytes.IndexByte(rest, '[')
		if at < 0 {
			return nil, fault.WithHint(errors.New("n8n's command line exported nothing that can be read"),
				"run `export:credentials --all` by hand with the same command")
		}
		rest = rest[at:]
		var list []exported
		if err := json.NewDecoder(bytes.NewReader(rest)).Decode(&list); err == nil &&
			len(list) > 0 && list[0].ID != "" {
			return list, nil
		}
		rest = rest[1:]
	}
}

// run runs one command of n8n. What it printed is never part of the error: it may hold the value.
func (c *Client) run(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	line := append(append([]string(nil), c.cli...), args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...) //nolint:gosec // the operator's own command, from reviewed configuration
	cmd.Stdin = bytes.NewReader(input)
	cmd.WaitDelay = 5 * time.Second
	var out capped
	cmd.Stdout, cmd.Stderr = &out, io.Discard
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fault.WithHint(fmt.Errorf("running n8n's %s: %w", args[0], err),
			"run `"+strings.Join(c.cli, " ")+" "+args[0]+"` by hand: its output is withheld here, as it can hold "+
				"secrets")
	}
	return out.Bytes(), nil
}

// capped keeps the first maxAnswer bytes and takes the rest without a word.
type capped struct{ bytes.Buffer }

func (b *capped) Write(p []byte) (int, error) {
	if room := maxAnswer - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
