package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestReloadRefusesLoss is what files look like while they are written: none of it takes a service away.
func TestReloadRefusesLoss(t *testing.T) {
	t.Parallel()
	b := newBed(t, one(""))
	a := b.serve()
	for text, want := range map[string]string{
		"":                                 "the file is empty",
		" \n\n":                            "the file is empty",
		"# soon\n":                         "there are no services",
		listen:                             "there are no services",
		listen + "services:\n":             "there are no services",
		listen + "tokens: {}\nservices:\n": "there are no services",
	} {
		b.write(text)
		if err := a.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "sallyport.yaml") {
			t.Errorf("reloading %q: got %v, want %q and the file", text, err, want)
		}
		b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
	}
	b.write(listen + "services: {}\n")
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(a.GatewayURL()+"/s/crm/").is(t, 404, "")
}

// TestReloadDuringWrite has a writer that truncates and writes two pieces, and reloads in between; no request is lost.
func TestReloadDuringWrite(t *testing.T) {
	t.Parallel()
	b := newBed(t, one(""))
	a := b.serve()
	text := one("")(b.api.URL)
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if got := b.get(a.GatewayURL() + "/s/crm/"); got.status != 200 {
					t.Errorf("a request during a write: got %d %s", got.status, got.body)
					return
				}
			}
		}
	})
	for range 5 {
		f, err := os.Create(b.path)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- a.Reload(t.Context()) }()
		time.Sleep(10 * time.Millisecond) // the writer's own pace; nothing waits for it
		_, _ = f.WriteString(text[:len(listen)])
		time.Sleep(10 * time.Millisecond)
		_, _ = f.WriteString(text[len(listen):])
		_ = f.Close()
		if err := <-done; err != nil {
			t.Logf("refused: %v", err) // a slow machine sees the half: refused is right, a lost service is not
		}
	}
	close(stop)
	work.Wait()
}

// TestReloadFileBack has a file of services.d that is away for a moment, as between two renames.
func TestReloadFileBack(t *testing.T) {
	t.Parallel()
	b := newBed(t, one(""))
	beside := filepath.Join(b.dir, "services.d", "beside.yaml")
	if err := os.Mkdir(filepath.Dir(beside), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "services:\n" + strings.Replace(strings.SplitAfter(one("")(b.api.URL), "services:\n")[1],
		"crm:", "beside:", 1)
	if err := os.WriteFile(beside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := b.serve()
	if err := os.Rename(beside, beside+"~"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Reload(t.Context()) }()
	b.get(a.GatewayURL()+"/s/beside/").is(t, 200, "")
	if err := os.Rename(beside+"~", beside); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.get(a.GatewayURL()+"/s/beside/").is(t, 200, "")
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(a.GatewayURL()+"/s/beside/").is(t, 404, "")
}
