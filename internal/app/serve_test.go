package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"sallyport/internal/app"
	"sallyport/internal/boundary/ca"
	"sallyport/internal/fault"
)

// TestMetrics are what Prometheus's own linter wants, and hold no secret and no token.
func TestMetrics(t *testing.T) {
	b := newBed(t, one(""))
	a := b.serve()
	b.get(a.GatewayURL()+"/s/crm/?key=sk-live-canary-1").is(t, 200, "")
	b.get(a.GatewayURL() + "/s/sk-live-canary-1/")
	b.until("the token's age is told", func() bool {
		return strings.Contains(b.get(a.AdminURL()+"/metrics").body, `sallyport_token_age_seconds{token="n8n"}`)
	})
	text := b.get(a.AdminURL() + "/metrics").body
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, want := range []string{
		`sallyport_requests_total{blame="none",outcome="ok",service="crm"} 1`,
		`sallyport_requests_total{blame="caller",outcome="service_unknown",service=""} 1`,
		"\nsallyport_in_flight_requests 0\n", "\nsallyport_audit_healthy 1\n", `sallyport_build_info{version="test"} 1`,
		"sallyport_gate_duration_seconds_count", "sallyport_upstream_duration_seconds_count",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	for what, canary := range map[string]string{"secret": "sk-live-canary", "token": b.token} {
		if strings.Contains(text, canary) || strings.Contains(b.log.String(), canary) {
			t.Errorf("the %s is in the metrics or in the log", what)
		}
	}
}

// TestReadyNamesThePart takes the parts away one at a time.
func TestReadyNamesThePart(t *testing.T) {
	t.Run("audit", func(t *testing.T) {
		b := newBed(t, one(""))
		a := b.serve()
		b.get(a.AdminURL()+"/readyz").is(t, 200, `"ready":true`)
		if err := os.Remove(b.load().Audit.File); err != nil {
			t.Fatal(err)
		}
		b.get(a.GatewayURL()+"/s/crm/").is(t, 503, string(fault.AuditUnavailable))
		if got := b.api.last(); got != "" {
			t.Errorf("the API was called with %q", got)
		}
		b.get(a.AdminURL()+"/readyz").is(t, 503, `{"part":"audit","ready":false`)
		b.get(a.AdminURL()+"/metrics").is(t, 200, "\nsallyport_audit_healthy 0\n")
		b.get(a.AdminURL()+"/healthz").is(t, 200, "alive")
	})
	t.Run("database", func(t *testing.T) {
		b := newBed(t, one(""))
		a := b.serve()
		file := filepath.Join(b.load().Data, "sallyport.db")
		if err := os.Rename(file, file+".away"); err != nil {
			t.Fatal(err)
		}
		b.until("the gate says what is away", func() bool {
			return strings.Contains(b.get(a.AdminURL()+"/readyz").body, `"degraded":["database"]`)
		})
		b.get(a.AdminURL()+"/readyz").is(t, 200, `{"part":"database","ready":true,"why":`)
		b.get(a.AdminURL()+"/metrics").is(t, 200, `sallyport_degraded{part="database"} 1`)
		b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "the API's answer") // the hot path needs no database
		if err := os.Rename(file+".away", file); err != nil {
			t.Fatal(err)
		}
		b.until("all is well again", func() bool {
			return strings.Contains(b.get(a.AdminURL()+"/readyz").body, `"degraded":[]`)
		})
	})
}

// TestStopFinishesWhatIsInFlight and answers everything new.
func TestStopFinishesWhatIsInFlight(t *testing.T) {
	b := newBed(t, one(""))
	a := b.serve()
	gate, admin := a.GatewayURL(), a.AdminURL()
	held, stopped := make(chan answer, 1), make(chan error, 1)
	go func() {
		got, err := b.try(gate+"/s/crm/held", b.token)
		if err != nil {
			t.Error(err)
		}
		held <- got
	}()
	<-b.api.arrived
	go func() { stopped <- a.Stop(t.Context()) }()
	b.until("the gate says that it is stopping", func() bool { return b.get(admin+"/readyz").status == 503 })
	b.get(admin+"/readyz").is(t, 503, `{"part":"draining","ready":false`)
	late := b.get(gate + "/s/crm/")
	late.is(t, 503, string(fault.Draining))
	if late.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(b.api.release)
	got := <-held
	got.is(t, 200, "the API's answer")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := b.try(gate+"/s/crm/", b.token); err == nil {
		t.Error("the listener is still open")
	}
}

// TestPlainHTTPBeyondLoopback wants a word for it, and is warned of.
func TestPlainHTTPBeyondLoopback(t *testing.T) {
	b := newBed(t, func(url string) string {
		return "insecure: true\n" + strings.Replace(one("")(url), "gateway: 127.0.0.1:0", "gateway: 0.0.0.0:0", 1)
	})
	b.serve()
	if !strings.Contains(b.log.String(), "INSECURE: plain HTTP beyond loopback") {
		t.Errorf("no warning in the log:\n%s", b.log)
	}
	o := b.options()
	o.Config.Insecure = false
	o.Config.Data = t.TempDir()
	o.Config.Audit.File, o.Config.Audit.CheckpointFile = filepath.Join(o.Config.Data,
		"audit"), filepath.Join(o.Config.Data, "checkpoints")
	a, err := app.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err == nil || !strings.Contains(fault.HintOf(err), "insecure: true") {
		t.Errorf("without a word for it: got %v, hint %q", err, fault.HintOf(err))
	}
}

// TestTLS: both ways to a certificate, TLS 1.2 or newer alone, and commands find their way although the certificate
// does not name the address that they call.
func TestTLS(t *testing.T) {
	authority := t.TempDir()
	if err := ca.Create(authority); err != nil {
		t.Fatal(err)
	}
	pool, certFile, keyFile := issued(t, authority, "gate.internal")
	for name, text := range map[string]string{
		"builtin CA": "tls: {ca: builtin, hosts: [gate.internal]}\n",
		"own files":  "tls: {cert_file: " + certFile + ", key_file: " + keyFile + "}\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			data := filepath.Join(dir, "sallyport-data")
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
			copyFile(t, filepath.Join(authority, ca.CertFile), filepath.Join(data, ca.CertFile))
			copyFile(t, filepath.Join(authority, ca.KeyFile), filepath.Join(data, ca.KeyFile))
			b := newBedIn(t, dir, func(url string) string { return text + one("")(url) })
			a := b.serve()
			for _, url := range []string{a.GatewayURL() + "/whoami", a.AdminURL() + "/healthz"} {
				if !strings.HasPrefix(url, "https://") {
					t.Errorf("%s is not https", url)
				}
				for version, want := range map[uint16]bool{
					tls.VersionTLS11: false, tls.VersionTLS12: true,
					tls.VersionTLS13: true,
				} {
					err := handshake(url, &tls.Config{
						RootCAs: pool, ServerName: "gate.internal",
						MinVersion: tls.VersionTLS10, MaxVersion: version,
					})
					if (err == nil) != want {
						t.Errorf("%s with %s: %v", url, tls.VersionName(version), err)
					}
				}
				if err := handshake(url, &tls.Config{RootCAs: pool, ServerName: "other.internal"}); err == nil {
					t.Errorf("%s takes a name that it is not", url)
				}
			}
			caller, err := app.Call(t.Context(), b.options(), "crm")
			if err != nil {
				t.Fatal(err)
			}
			resp, err := caller.Do(t.Context(), http.MethodGet, "/")
			if err != nil {
				t.Fatal(err)
			}
			if resp.Body.Close(); resp.StatusCode != http.StatusOK {
				t.Errorf("service test answers %s", resp.Status)
			}
			if err := caller.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCallerAsksForJSON: an API that takes a key of calls for JSON alone, and leads others to its login, takes that of
// a Caller.
func TestCallerAsksForJSON(t *testing.T) {
	b := newBed(t, one(""))
	caller, err := app.Call(t.Context(), b.options(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := caller.Do(t.Context(), http.MethodGet, "/json")
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Errorf("got %s", resp.Status)
	}
	if err := caller.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

var hostPort = regexp.MustCompile(`//([^/]+)`)

func handshake(url string, c *tls.Config) error {
	conn, err := tls.Dial("tcp", hostPort.FindStringSubmatch(url)[1], c)
	if err != nil {
		return err
	}
	return conn.Close()
}

// issued writes a certificate of the authority for a name, and its key.
func issued(t *testing.T, authority, name string) (pool *x509.CertPool, certFile, keyFile string) {
	t.Helper()
	signer, err := ca.Load(authority)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := signer.ServerConfig([]string{name}).GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := os.WriteFile(certFile, chain, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		0o600); err != nil {
		t.Fatal(err)
	}
	return signer.Pool(), certFile, keyFile
}
