package swarm_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/secret/swarm"
)

const canary = "canary-s3cret"

func open(t *testing.T, dir string) *swarm.Store {
	t.Helper()
	store, err := swarm.New(swarm.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func manage(t *testing.T, o swarm.Options) *swarm.Manager {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	m, err := swarm.NewManager(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// seeded puts files where Docker would mount them.
type seeded struct {
	*swarm.Store
	dir string
}

func (s seeded) Seed(_ context.Context, path string, value []byte) error {
	name := filepath.Join(s.dir, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, append(value, '\n'), 0o600)
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) secret.Store {
		dir := t.TempDir()
		return seeded{open(t, dir), dir}
	})
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func want(t *testing.T, store secret.Store, path, version, value string) secret.Version {
	t.Helper()
	got, v, err := store.Get(t.Context(), path, version)
	if err != nil || string(got.Reveal()) != value {
		t.Errorf("%s version %q: got %q, %+v, %v (hint %q); want %q", path, version, got.Reveal(), v, err,
			fault.HintOf(err), value)
	}
	return v
}

// wantErr checks the sentinel, that there is a hint with a part, and that no secret shows.
func wantErr(t *testing.T, err, want error, part string) {
	t.Helper()
	if !errors.Is(err, want) || fault.HintOf(err) == "" || !strings.Contains(err.Error()+" "+fault.HintOf(err), part) {
		t.Errorf("got %v (hint %q), want %v with %q", err, fault.HintOf(err), want, part)
	}
	if err != nil && strings.Contains(err.Error()+fault.HintOf(err), canary) {
		t.Errorf("%v shows a secret", err)
	}
	if errors.Is(want, secret.ErrUnavailable) && fault.ExitOf(err) != fault.ExitStore {
		t.Errorf("%v: exit code %d", err, fault.ExitOf(err))
	}
}

func TestWhatIsMounted(t *testing.T) {
	dir := t.TempDir()
	write(t, dir,
		map[string]string{
			"key": "two\n", "key_v1": "one", "key_v2": "two", "only_v4": "four",
			"sub/key": "below", "empty": "",
		})
	store := open(t, dir)
	v := want(t, store, "key", "", "two")
	want(t, store, "key", v.ID, "two")
	if old := want(t, store, "key", "1", "one"); old.ID != "1" || old.Current {
		t.Errorf("got %+v", old)
	}
	want(t, store, "only", "4", "four")
	want(t, store, "sub/key", "", "below")
	for _, c := range []struct {
		path, version string
		want          error
		text          string
	}{
		{"key", "3", secret.ErrVersionGone, "--secret-add"},
		{"key", "01", secret.ErrVersionGone, "--secret-add"},
		{"only", "", secret.ErrNotFound, "--secret-add"},
		{"only", "5", secret.ErrNotFound, "--secret-add"},
		{"sub", "", secret.ErrNotFound, "folder"},
		{"empty", "", secret.ErrUnavailable, "empty"},
		{"../key", "", secret.ErrNotFound, "'..'"},
		{"", "1", secret.ErrNotFound, "up to 200"},
	} {
		_, _, err := store.Get(t.Context(), c.path, c.version)
		wantErr(t, err, c.want, c.text)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	_, _, err := store.Get(t.Context(), "out", "")
	wantErr(t, err, secret.ErrDenied, "leads out")
	_, _, err = open(t, filepath.Join(dir, "nowhere")).Get(t.Context(), "key", "")
	wantErr(t, err, secret.ErrNotFound, "not mounted here")
}

func TestDockerNames(t *testing.T) {
	valid := regexp.MustCompile(`^[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?$`)
	seen := make(map[string]string)
	for _, path := range []string{
		"key", "a.b-c_d", "_key", "-", "...", "prod/stripe", "prod-stripe", "prod.stripe", "/", "a=b", strings.Repeat("x", 57), strings.Repeat("x", 58),
		strings.Repeat("x", 199) + "y", strings.Repeat("x", 199) + "z", strings.Repeat("/", 100), "key_v1", "É",
	} {
		for _, number := range []int{1, 2, 999999} {
			name := swarm.DockerName(path, number)
			if !valid.MatchString(name) || len(name) > 64 {
				t.Errorf("%q version %d: Docker does not take %q", path, number, name)
			}
			if other, taken := seen[name]; taken {
				t.Errorf("%q and %q are both %q", path, other, name)
			}
			seen[name] = path
		}
	}
	if got := swarm.DockerName("n8n_key", 3); got != "n8n_key_v3" {
		t.Errorf("got %q", got)
	}
}

func TestNewManagerChecksTheHost(t *testing.T) {
	for _, host := range []string{
		"", "/var/run/docker.sock", "ssh://x", "tcp://192.0.2.1:2375",
		"http://docker.example.com", "\x00",
	} {
		if _, err := swarm.NewManager(swarm.Options{Host: host}); err == nil || fault.HintOf(err) == "" {
			t.Errorf("host %q: got %v", host, err)
		}
	}
	for _, host := range []string{
		"unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "http://localhost:2375",
		"https://docker.example.com:2376",
	} {
		if _, err := swarm.NewManager(swarm.Options{Host: host}); err != nil {
			t.Errorf("host %q: got %v", host, err)
		}
	}
}

// serve is an engine that answers everything but its ping with answer.
func serve(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/_ping" {
				w.Header().Set("Api-Version", "1.41")
				return
			}
			answer(w, r)
		}),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return "tcp://" + l.Addr().String()
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "http://192.0.2.1/")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// TestHTTPSIsTLS: to a host that is written as https nothing is said in the clear, whatever it is.
func TestHTTPSIsTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan []byte, 16)
	go func() {
		defer close(began)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			first := make([]byte, 1)
			_, _ = io.ReadFull(conn, first)
			_ = conn.Close()
			began <- first
		}
	}()
	m := manage(t, swarm.Options{Dir: t.TempDir(), Host: "https://" + l.Addr().String(), Timeout: time.Minute})
	_, err = m.Put(t.Context(), "key", secret.NewValue([]byte(canary)))
	wantErr(t, err, secret.ErrUnavailable, "")
	_ = l.Close()
	heard := 0
	for first := range began {
		heard++
		if first[0] != 0x16 { // the record of a handshake, RFC 8446 section 5.1
			t.Errorf("a connection began with %q", first)
		}
	}
	if heard == 0 {
		t.Error("nobody called")
	}
}

// TestDockerFailure: nothing that the other side says gets into an error, and what is mounted can be read all the same.
func TestDockerFailure(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"key": "mounted"})
	release := make(chan struct{})
	defer close(release)
	message := `{"message":"` + canary + `"}`
	for name, c := range map[string]struct {
		host string
		want error
		text string
	}{
		"not there":    {"unix://" + dir + "/docker.sock", secret.ErrUnavailable, "cannot be reached"},
		"refused":      {"tcp://127.0.0.1:1", secret.ErrUnavailable, "cannot be reached"},
		"no manager":   {serve(t, status(503, message)), secret.ErrUnavailable, "swarm init"},
		"broken":       {serve(t, status(500, message)), secret.ErrUnavailable, ""},
		"garbage":      {serve(t, status(200, canary)), secret.ErrUnavailable, ""},
		"half":         {serve(t, status(200, `[{"ID":"`)), secret.ErrUnavailable, ""},
		"a redirect":   {serve(t, status(307, "")), secret.ErrUnavailable, ""},
		"a proxy's no": {serve(t, status(403, canary)), secret.ErrDenied, "/secrets"},
		"who are you":  {serve(t, status(401, canary)), secret.ErrDenied, "/secrets"},
		"throttling":   {serve(t, status(429, message)), secret.ErrUnavailable, ""},
		"does not answer": {serve(t, func(_ http.ResponseWriter, r *http.Request) {
			waitFor(r, release)
		}), secret.ErrUnavailable, "in time"},
	} {
		t.Run(name, func(t *testing.T) {
			limit := time.Minute
			if name == "does not answer" {
				limit = 300 * time.Millisecond
			}
			m := manage(t, swarm.Options{Dir: dir, Host: c.host, Timeout: limit})
			value := secret.NewValue([]byte(canary))
			for call, do := range map[string]func() error{
				"Put":      func() error { _, err := m.Put(t.Context(), "key", value); return err },
				"PutIf":    func() error { _, err := m.PutIf(t.Context(), "key", value, "1"); return err },
				"Rollback": func() error { _, err := m.Rollback(t.Context(), "key", ""); return err },
				"Delete":   func() error { return m.Delete(t.Context(), "key") },
				"List":     func() error { _, err := m.List(t.Context(), ""); return err },
				"History":  func() error { _, err := m.History(t.Context(), "key"); return err },
				"Prune":    func() error { _, err := m.Prune(t.Context(), "key", 1); return err },
				"Roll":     func() error { _, err := m.Roll(t.Context(), "service", "key", ""); return err },
			} {
				t.Run(call, func(t *testing.T) { wantErr(t, do(), c.want, c.text) })
			}
			if v := want(t, m, "key", "", "mounted"); !v.Current {
				t.Errorf("got %+v", v)
			}
			_, _, err := m.Get(t.Context(), "other", "")
			wantErr(t, err, secret.ErrNotFound, "not mounted")
		})
	}
}

func waitFor(r *http.Request, release <-chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-release:
	}
}

func TestValuesThatDockerDoesNotTake(t *testing.T) {
	m := manage(t, swarm.Options{Host: "tcp://127.0.0.1:1"})
	for path, value := range map[string]secret.Value{
		"empty": {}, "big": secret.NewValue(make([]byte, swarm.MaxValue+1)), "a b": secret.NewValue([]byte("x")), "../x": secret.NewValue([]byte("x")), "": secret.NewValue([]byte("x")),
	} {
		if _, err := m.Put(t.Context(), path, value); err == nil || errors.Is(err, secret.ErrUnavailable) ||
			fault.HintOf(err) == "" {
			t.Errorf("%q: got %v", path, err)
		}
	}
}

var (
	_ secret.Store = (*swarm.Store)(nil)
	_ interface {
		secret.Store
		secret.Writer
		secret.Lister
		secret.CheckAndSetter
	} = (*swarm.Manager)(nil)
)
