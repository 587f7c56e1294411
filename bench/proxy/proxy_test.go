package proxy_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/bench/load"
	"sallyport/bench/proxy"
	"sallyport/bench/upstream"
)

// TestMain lets the test binary stand in for the bench program, which ReverseProxy starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "reverseproxy" {
		if err := proxy.Reverse(context.Background(), os.Args[2], os.Args[3], os.Args[4]); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestReverseProxyPassesTheKeyAndIsMeasured(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	plain, secure := apis(t)
	for name, api := range map[string]proxy.API{"plain": plain, "TLS": secure} {
		t.Run(name, func(t *testing.T) {
			p, err := proxy.ReverseProxy(self).Start(t.Context(), t.TempDir(), api)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Stop()
			result, err := load.Run(t.Context(), load.Options{
				Address: p.Address, Request: p.Request("/v1/items"), Connections: 2,
				BodyBytes: upstream.DocumentBytes, Requests: 2000,
			})
			if err != nil {
				t.Fatal(err)
			}
			used, err := p.Usage()
			if err != nil {
				t.Fatal(err)
			}
			// CPU time comes in steps of 10 ms: 2000 requests take some of them on any machine.
			if result.Requests < 2000 || used.CPU <= 0 || used.RSS < 1<<20 || used.Peak < used.RSS/2 {
				t.Errorf("implausible figures: %d requests, %+v", result.Requests, used)
			}
		})
	}
}

func TestStartTellsWhyAProxyDoesNotCome(t *testing.T) {
	plain, _ := apis(t)
	broken := filepath.Join(t.TempDir(), "gate")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho the seal key is missing >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := proxy.Gate(broken).Start(t.Context(), t.TempDir(), plain)
	if err == nil || !strings.Contains(err.Error(), "the seal key is missing") {
		t.Errorf("got error %v, want what the program said", err)
	}
}

// apis starts a stand-in API and returns its two addresses.
func apis(t *testing.T) (plain, secure proxy.API) {
	t.Helper()
	certificate, authority, err := upstream.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := upstream.Start(t.Context(), certificate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return proxy.API{Address: server.Plain}, proxy.API{Address: server.TLS, TLS: true, AuthorityFile: file}
}
