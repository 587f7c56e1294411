package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/cli"
	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/testkit/recorded"
)

// verify runs `sallyport key verify --json ARG…` and returns the report.
func verify(t *testing.T, args ...string) (r nodes.Report, exit fault.Exit, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	exit = cli.Main(t.Context(), append([]string{"key", "verify", "--json"}, args...),
		cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, &out)
		}
	}
	return r, exit, errs.String()
}

func keyFile(t *testing.T, key string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestVerifyDatabase tries keys on databases that real n8n versions have made.
func TestVerifyDatabase(t *testing.T) {
	wrong := string(masterkey.Generate().Reveal())
	for _, rec := range recorded.Of(t, recorded.SQLite) {
		t.Run(rec.Name, func(t *testing.T) {
			path := rec.SQLite(t)
			args := []string{"--database", "sqlite://" + path}
			if rec.Prefix != "" {
				args = append(args, "--table-prefix", rec.Prefix)
			}
			r, exit, stderr := verify(t, append(args, "--key-file", keyFile(t, rec.Master))...)
			if db := r.Reference.Database; exit != fault.ExitOK || db.Result != nodes.Match || db.Readable == 0 ||
				db.Unreadable != 0 {
				t.Errorf("the right key: exit %d, %+v, %s", exit, db, stderr)
			}
			r, exit, stderr = verify(t, append(args, "--key-file", keyFile(t, wrong))...)
			if db := r.Reference.Database; exit != fault.ExitKeyMismatch || db.Result != nodes.Mismatch ||
				!strings.Contains(stderr, "does not open the database") {
				t.Errorf("a wrong key: exit %d, %+v, %s", exit, db, stderr)
			}
			if strings.Contains(stderr, wrong) || strings.Contains(stderr, rec.Master) {
				t.Error("a key stands in the error")
			}
			// The key of this environment, and from a file an address.
			address := keyFile(t, "sqlite://"+path)
			t.Setenv("N8N_USER_FOLDER", t.TempDir())
			t.Setenv("N8N_ENCRYPTION_KEY", rec.Master)
			args[0], args[1] = "--database-file", address
			if r, exit, stderr = verify(t, args...); exit != fault.ExitOK || r.Reference.From != "N8N_ENCRYPTION_KEY" {
				t.Errorf("from the environment: exit %d, %s", exit, stderr)
			}
		})
	}
}

// TestVerifyAgent asks a real agent over TLS, with a canary for a key.
func TestVerifyAgent(t *testing.T) {
	const token = "agents-token-canary"
	key := string(masterkey.Generate().Reveal())
	t.Setenv("N8N_USER_FOLDER", t.TempDir())
	t.Setenv("N8N_ENCRYPTION_KEY", key)
	certFile, certKey := selfSigned(t)
	tokenFile := keyFile(t, token)
	address, log, stop := runAgent(t, "--listen", "127.0.0.1:0", "--token-file", tokenFile, "--cert", certFile, "--key",
		certKey, "--role", "worker")
	ask := []string{
		"--node", "edge=" + address, "--agent-token-file", tokenFile, "--agent-ca", certFile,
		"--key-file", keyFile(t, key),
	}
	r, exit, stderr := verify(t, ask...)
	if exit != fault.ExitOK || len(r.Nodes) != 1 || r.Nodes[0].Match != nodes.Yes || r.Nodes[0].Role != "worker" {
		t.Errorf("exit %d, %+v, %s", exit, r, stderr)
	}
	ask[3] = keyFile(t, token+"x")
	r, exit, stderr = verify(t, ask...)
	if exit != fault.ExitError || !strings.Contains(r.Nodes[0].Error, "refuses the token") {
		t.Errorf("with another token: exit %d, %+v, %s", exit, r, stderr)
	}
	if exit := stop(); exit != fault.ExitOK {
		t.Errorf("the agent ends with %d", exit)
	}
	shown, _ := json.Marshal(r)
	for _, text := range []string{string(shown), stderr, log()} {
		if strings.Contains(text, key) || strings.Contains(text, token) {
			t.Errorf("a secret stands in %s", text)
		}
	}
}

// runAgent runs `sallyport key agent ARG…` and returns where it listens, what it has written, and how to end it.
func runAgent(t *testing.T, args ...string) (address string, log func() string, stop func() fault.Exit) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan fault.Exit, 1)
	go func() {
		exit := cli.Main(ctx, append([]string{"key", "agent"}, args...),
			cli.Streams{In: strings.NewReader(""), Out: writer, Err: writer})
		_ = writer.Close()
		ended <- exit
	}()
	lines := bufio.NewReader(reader)
	first, err := lines.ReadString('\n')
	_, address, found := strings.Cut(strings.TrimSpace(first), "listens on ")
	if err != nil || !found {
		cancel()
		t.Fatalf("the agent does not listen: %q, %v", first, err)
	}
	rest := make(chan string, 1)
	go func() { // ends with the agent
		more, _ := io.ReadAll(lines)
		rest <- first + string(more)
	}()
	t.Cleanup(cancel)
	return address, func() string { return <-rest }, func() fault.Exit { cancel(); return <-ended }
}

// selfSigned makes a certificate of 127.0.0.1.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agent"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert},
		keyFile:  {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
