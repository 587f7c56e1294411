package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

func (e *env) serviceTest() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Make one real call with the real credential, through the whole gate",
		Long: `Makes the call that the service's preset or its test setting names, through the gate that is running, or through one that
is started for it. It shows whether the way, the certificate and the credential are good; the call is on record.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := e.loadBy(serviceAlone(args[0]))
			if err != nil {
				return err
			}
			t := testOf(c, args[0], path)
			caller, err := app.Call(cmd.Context(), e.quiet(c), args[0])
			if err != nil {
				return err
			}
			e.lastProbe(cmd.Context(), c, args[0])
			return errors.Join(e.call(cmd.Context(), caller, t), caller.Close(context.WithoutCancel(cmd.Context())))
		},
	}
	cmd.Flags().StringVar(&path, "path", "", "call this path with GET instead")
	return cmd
}

// lastProbe notes what the running gate has seen of a service by itself, if anything.
func (e *env) lastProbe(ctx context.Context, c *config.Config, name string) {
	probes, err := app.Probes(ctx, c)
	if one := probes[name]; err == nil && one.Result != nil {
		e.note("the gate's last probe: %s", probed(&one, time.Now()))
	}
}

// quiet are the options of a gate that lives for one command.
func (e *env) quiet(c *config.Config) app.Options {
	return app.Options{Config: c, Reread: e.load, Log: slog.New(slog.DiscardHandler), Version: Version()}
}

// testOf is the harmless call of a service.
func testOf(c *config.Config, name, path string) config.Test {
	if path != "" {
		return config.Test{Method: http.MethodGet, Path: path}
	}
	if s, ok := c.Services[name]; ok && s.Test != nil {
		return *s.Test
	}
	return config.Test{Method: http.MethodGet, Path: "/"}
}

// tested is what service test found.
type tested struct {
	OK      bool       `json:"ok"`
	Status  int        `json:"status"`
	Code    fault.Code `json:"code,omitempty"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
	Millis  int64      `json:"duration_ms"`
}

func (e *env) call(ctx context.Context, caller *app.Caller, t config.Test) error {
	before := time.Now()
	resp, err := caller.Do(ctx, t.Method, t.Path)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	result := judge(resp, t)
	result.Millis = time.Since(before).Milliseconds()
	err = e.print(result, func(w io.Writer) error {
		_, err := cells(w, "%s %s: status %d in %d ms: %s\n", t.Method, t.Path, result.Status,
			result.Millis, result.Message)
		return err
	})
	if err != nil || result.OK {
		return err
	}
	return fault.WithExit(fault.WithHint(errors.New(result.Message), result.Hint), fault.ExitFindings)
}

// judge tells the API's word from Sallyport's.
func judge(resp *http.Response, t config.Test) tested {
	r := tested{Status: resp.StatusCode}
	switch {
	case resp.Header.Get("Content-Type") == "application/problem+json" && resp.Header.Get("Retry-After")+
		resp.Header.Get("Proxy-Status") != "" && ours(resp):
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		_ = json.Unmarshal(body, &r)
		r.OK = false
	case slices.Contains(t.Status, resp.StatusCode), len(t.Status) == 0 && resp.StatusCode < 400:
		r.OK, r.Message = true, "the API took the credential"
	case resp.StatusCode == http.StatusUnauthorized:
		r.Code, r.Message, r.Hint = fault.CredentialRejected, "the API refused the credential",
			fault.Lookup(fault.CredentialRejected).Hint
	default:
		r.Message, r.Hint = "the API answered, but not as expected", "set `test` of the service to a harmless call "+
			"and its status"
	}
	return r
}

// ours tells whether Sallyport itself answered (RFC 9209: an error parameter instead of a received status).
func ours(resp *http.Response) bool {
	const own = "sallyport; error="
	status := resp.Header.Get("Proxy-Status")
	return len(status) > len(own) && status[:len(own)] == own
}
