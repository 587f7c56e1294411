package fault_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
)

// registered is the HTTP Proxy Error Types registry as RFC 9209 section 2.3 filled it.
var registered = []string{
	"dns_timeout", "dns_error", "destination_not_found", "destination_unavailable", "destination_ip_prohibited", "destination_ip_unroutable", "connection_refused", "connection_terminated",
	"connection_timeout", "connection_read_timeout", "connection_write_timeout", "connection_limit_reached", "tls_protocol_error", "tls_certificate_error", "tls_alert_received", "http_request_error",
	"http_request_denied", "http_response_incomplete", "http_response_header_section_size", "http_response_header_size", "http_response_body_size", "http_response_trailer_section_size",
	"http_response_trailer_size", "http_response_transfer_coding", "http_response_content_coding", "http_response_timeout", "http_upgrade_failed", "http_protocol_error", "proxy_internal_response",
	"proxy_internal_error", "proxy_configuration_error", "proxy_loop_detected",
}

// declared reads the constants of type Code from the source, so that none is forgotten here.
func declared(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "table.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Code" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, value)
		}
		return true
	})
	return codes
}

func TestTable(t *testing.T) {
	codes := declared(t)
	var rows []string
	for _, row := range fault.Table() {
		rows = append(rows, string(row.Code))
		t.Run(string(row.Code), func(t *testing.T) { checkRow(t, row) })
	}
	if !slices.Equal(codes, rows) || len(codes) < 20 {
		t.Errorf("the codes and the rows differ:\n%v\n%v", codes, rows)
	}
	slices.Sort(codes)
	if len(slices.Compact(codes)) != len(rows) {
		t.Error("a code stands twice")
	}
}

func checkRow(t *testing.T, row fault.Row) {
	if row.Meaning == "" || row.Hint == "" || !strings.HasSuffix(row.Meaning, ".") {
		t.Errorf("meaning %q and hint %q: want both, the first a sentence", row.Meaning, row.Hint)
	}
	if strings.Trim(string(row.Code), "abcdefghijklmnopqrstuvwxyz_45") != "" {
		t.Errorf("the code is no metric label: %q", row.Code)
	}
	passedThrough := row.Status == 0
	if !passedThrough && (row.Status < 400 || row.Status > 599) {
		t.Errorf("status %d is no error", row.Status)
	}
	answered := !passedThrough && row.Code != fault.ClientGone // nobody is left to answer
	if answered != (row.ProxyError != "") {
		t.Errorf("Proxy-Status error %q with status %d", row.ProxyError, row.Status)
	}
	if row.ProxyError != "" && !slices.Contains(registered, row.ProxyError) {
		t.Errorf("%q is not a registered proxy error type", row.ProxyError)
	}
	if !slices.Contains([]fault.Blame{
		fault.BlameCaller, fault.BlameCredential, fault.BlameUpstream,
		fault.BlameSallyport,
	}, row.Blame) {
		t.Errorf("blame %q", row.Blame)
	}
	if row.RetryAfter != 0 && row.RetryAfter < time.Second {
		t.Errorf("Retry-After counts in seconds, got %v", row.RetryAfter)
	}
	if row.Exit == 0 {
		t.Error("a command that ends with a fault may not exit 0")
	}
	if f := fault.New(row.Code, "message"); f.Hint != row.Hint || f.RetryAfter != row.RetryAfter || f.Row() != row ||
		f.Error() != string(row.Code)+": message" {
		t.Errorf("New gives %+v", f)
	}
}

func TestTableIsACopy(t *testing.T) {
	fault.Table()[0].Status = 200
	if fault.Lookup(fault.TokenMissing).Status != 407 {
		t.Error("the table can be written to")
	}
}

func TestUnknownCodeIsInternal(t *testing.T) {
	if got := fault.Lookup("nonsense"); got.Code != fault.Internal {
		t.Errorf("got %+v", got)
	}
}

// TestCauseStaysInside: a cause may quote what an outsider sent, so it is there for errors.Is and logs alone.
func TestCauseStaysInside(t *testing.T) {
	cause := errors.New("quotes a secret")
	f := fault.New(fault.UpstreamTLS, "the handshake failed").Wrap(cause)
	if !errors.Is(f, cause) || strings.Contains(fmt.Sprintf("%v %s", f, f), "secret") {
		t.Errorf("got %v", f)
	}
	if got := fault.From(fmt.Errorf("wrapped: %w", f)); got != f {
		t.Errorf("From: got %v", got)
	}
	if got := fault.From(cause); got.Code != fault.Internal || !errors.Is(got, cause) ||
		strings.Contains(got.Error(), "secret") {
		t.Errorf("From a stranger: got %v", got)
	}
}
