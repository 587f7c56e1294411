package app_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/ca"
	"sallyport/internal/fault"
)

// TestReload is what SIGHUP does: a good configuration is active when it returns, a bad one changes nothing and shows.
func TestReload(t *testing.T) {
	b := newBed(t, one(""))
	a := b.serve()
	gate, metrics := a.GatewayURL(), a.AdminURL()+"/metrics"
	good := func(name string) string { return strings.Replace(one("")(b.api.URL), "crm:", name+":", 1) }

	b.write(good("erp"))
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(gate+"/s/erp/").is(t, 200, "")
	b.get(gate+"/s/crm/").is(t, 404, string(fault.ServiceUnknown))

	b.write("services: {erp: {upsteram: x}}\n")
	if err := a.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "sallyport.yaml:1:") {
		t.Errorf("reloading a bad file: got %v, want its line", err)
	}
	b.get(gate+"/s/erp/").is(t, 200, "")
	b.get(metrics).is(t, 200, "\nsallyport_config_last_reload_successful 0\n")

	b.write(good("crm"))
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(gate+"/s/crm/").is(t, 200, "")
	b.get(metrics).is(t, 200, "\nsallyport_config_last_reload_successful 1\n")
}

// TestWatch does without a signal: the files are watched.
func TestWatch(t *testing.T) {
	t.Parallel()
	b := newBed(t, one(""))
	a := b.serve()
	says := func(text string) func() bool {
		return func() bool { return strings.Contains(b.get(a.AdminURL()+"/metrics").body, text) }
	}
	b.write("servcies: {}\n")
	b.until("the bad file shows in the metrics", says("\nsallyport_config_last_reload_successful 0\n"))
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
	b.write(strings.Replace(one("")(b.api.URL), "crm:", "erp:", 1))
	b.until("the good file is active", says("\nsallyport_config_last_reload_successful 1\n"))
	b.get(a.GatewayURL()+"/s/erp/").is(t, 200, "")

	// A file beside it counts too.
	if err := os.Mkdir(filepath.Join(b.dir, "services.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	beside := "services:\n" + strings.Replace(strings.SplitAfter(one("")(b.api.URL), "services:\n")[1],
		"crm:", "beside:", 1)
	if err := os.WriteFile(filepath.Join(b.dir, "services.d", "beside.yaml"), []byte(beside), 0o600); err != nil {
		t.Fatal(err)
	}
	b.until("the service beside is there", func() bool { return b.get(a.GatewayURL()+"/s/beside/").status == 200 })
}

// TestUnchangedServiceLivesOn: its connections, its limits and its credential are not begun again.
func TestUnchangedServiceLivesOn(t *testing.T) {
	limited := ", limits: {rate: 2/h, burst: 2}"
	b := newBed(t, one(limited))
	a := b.serve()
	gate := a.GatewayURL()
	b.get(gate+"/s/crm/").is(t, 200, "")
	b.write(one(limited)(b.api.URL) + "tokens: {other: {services: [crm]}}\n")
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(gate+"/s/crm/").is(t, 200, "")
	if n := b.api.opened(); n != 1 {
		t.Errorf("the API saw %d connections, want the one that was there", n)
	}
	b.get(gate+"/s/crm/").is(t, 429, string(fault.RateLimited))

	b.write(one(", limits: {rate: 3/h, burst: 3}")(b.api.URL))
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(gate+"/s/crm/").is(t, 200, "")
}

// TestScopeOfReload: the scope in the configuration holds at once for the tokens that are out.
func TestScopeOfReload(t *testing.T) {
	b := newBed(t, one(""))
	a := b.serve()
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
	b.write(one("")(b.api.URL) + "tokens: {n8n: {services: [crm], methods: [POST]}}\n")
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(a.GatewayURL()+"/s/crm/").is(t, 403, string(fault.RequestDenied))
}

// TestNewCAFileContent: the file's name is the same and its content is not.
func TestNewCAFileContent(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("over TLS"))
	}))
	defer server.Close()
	other := t.TempDir()
	if err := ca.Create(other); err != nil {
		t.Fatal(err)
	}
	pemFile := filepath.Join(t.TempDir(), "api-ca.pem")
	copyFile(t, filepath.Join(other, ca.CertFile), pemFile)
	b := newBed(t, func(string) string { return one(", server_name: example.com, ca_file: " + pemFile)(server.URL) })
	a := b.serve()
	b.get(a.GatewayURL()+"/s/crm/").is(t, 502, string(fault.UpstreamTLS))
	writePEM(t, pemFile, server.Certificate())
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "over TLS")
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writePEM(t *testing.T, file string, cert *x509.Certificate) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
	// A modification time of its own, on file systems that keep whole seconds too.
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
}
