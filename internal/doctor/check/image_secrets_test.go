package check_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/check"
	"sallyport/internal/doctor/site"
)

// packed is an archive of files.
func packed(t *testing.T, files ...[2]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{
			Name: f[0], Mode: 0o600, Size: int64(len(f[1])), Typeflag: tar.TypeReg,
			Format: tar.FormatUSTAR,
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func imageConfigOf(t *testing.T, env, history []string) string {
	t.Helper()
	var steps []map[string]string
	for _, step := range history {
		steps = append(steps, map[string]string{"created_by": step})
	}
	text, err := json.Marshal(map[string]any{
		"config": map[string]any{"Env": env}, "history": steps, "rootfs": map[string]any{"type": "layers"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func saved(t *testing.T, files ...[2]string) *site.Site {
	t.Helper()
	return &site.Site{Images: []string{written(t, t.TempDir(), "image.tar", string(packed(t, files...)), 0o600)}}
}

func TestImageSecrets(t *testing.T) {
	clean := imageConfigOf(t, []string{
		"PATH=/usr/bin", "N8N_VERSION=2.41.1", "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
		"N8N_ENCRYPTION_KEY_FILE=/run/secrets/key", "DB_PASSWORD=${DB_PASSWORD}",
	}, []string{"RUN apk add n8n", "CMD [\"n8n\"]"})
	layer := packed(t, [2]string{"usr/bin/n8n", "#!/bin/sh\nexec node\n"},
		[2]string{"usr/lib/node_modules/x/test/key.pem", "-----BEGIN PRIVATE KEY-----\nx"})
	r := one(t, "image-secrets", saved(t, [2]string{"blobs/sha256/a", clean}, [2]string{
		"blobs/sha256/b",
		string(layer),
	}))
	if r.Status != doctor.OK {
		t.Errorf("a clean image: %+v", r.Seen)
	}

	leaky := imageConfigOf(t, []string{"N8N_ENCRYPTION_KEY=" + canary, "STRIPE=sk_live_" + canary[7:18] + "abcdef"},
		[]string{"RUN |1 API_TOKEN=" + canary + " /bin/sh -c make", "ENV DB_PASSWORD=" + canary})
	first := packed(t, [2]string{"home/node/.n8n/config", `{"encryptionKey": "` + canary + `"}`},
		[2]string{"root/.ssh/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n" + canary})
	second := zipped(t, packed(t, [2]string{"app/.env", "# settings\nOPENAI_API_KEY=" + canary + "\n"},
		[2]string{"entrypoint.sh", "#!/bin/sh\nexport N8N_ENCRYPTION_KEY=" + canary + "\n"}))
	on := saved(t, [2]string{"manifest.json", "[]"}, [2]string{"blobs/sha256/c", leaky},
		[2]string{"blobs/sha256/d", string(first)}, [2]string{"blobs/sha256/e", string(second)})
	r = one(t, "image-secrets", on)
	golden(t, "image-secrets", r, on.Images[0], "FILE")
	for _, text := range []string{
		"its variable N8N_ENCRYPTION_KEY", "its variable STRIPE", "sets API_TOKEN", "sets DB_PASSWORD", "/home/node/.n8n/config",
		"/root/.ssh/id_rsa is a private key", "sets OPENAI_API_KEY", "layer 2: /entrypoint.sh sets N8N_ENCRYPTION_KEY",
	} {
		has(t, r, doctor.Failed, text)
	}
}

// TestImageStrangers: what is no image, or is cut, compressed in another way or endless, has proved nothing.
func TestImageStrangers(t *testing.T) {
	config := imageConfigOf(t, nil, nil)
	layer := zipped(t, packed(t, [2]string{"a", strings.Repeat("a", 100_000)}))
	for name, text := range map[string][]byte{
		"empty":           {},
		"no archive":      []byte(strings.Repeat("no archive", 100)),
		"no image":        packed(t, [2]string{"a", "b"}),
		"no layer":        packed(t, [2]string{"a", config}),
		"a cut layer":     packed(t, [2]string{"a", config}, [2]string{"b", string(layer[:len(layer)/2])}),
		"cut":             packed(t, [2]string{"a", config}, [2]string{"b", string(layer)})[:1600],
		"zstd":            packed(t, [2]string{"a", config}, [2]string{"b", "\x28\xb5\x2f\xfd" + strings.Repeat("z", 600)}),
		"layer of chaff":  packed(t, [2]string{"a", config}, [2]string{"b", "\x1f\x8b\x08" + strings.Repeat("z", 600)}),
		"deep in nothing": packed(t, [2]string{"a", strings.Repeat("[", 1000)}),
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, t.TempDir(), "image.tar", string(text), 0o600)
			if r := one(t, "image-secrets", &site.Site{Images: []string{file}}); r.Status != doctor.Unseen {
				t.Errorf("got %+v", r.Seen)
			}
		})
	}
	gone := &site.Site{Images: []string{filepath.Join(t.TempDir(), "gone.tar"), t.TempDir()}}
	if r := one(t, "image-secrets", gone); r.Status != doctor.Unseen || len(r.Seen) != 2 {
		t.Errorf("got %+v", r.Seen)
	}
}

// TestImageEnds: a layer that unpacks without an end is left when its time is over.
func TestImageEnds(t *testing.T) {
	bomb := zipped(t, packed(t, [2]string{"zeros", string(make([]byte, 64<<20))}))
	config := imageConfigOf(t, nil, nil)
	file := written(t, t.TempDir(), "image.tar", string(packed(t, [2]string{"a", config}, [2]string{
		"b",
		string(bomb),
	})), 0o600)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range check.All() {
		if c.ID == "image-secrets" {
			seen, err := c.Look(ctx, &site.Site{Images: []string{file}})
			if err != nil || len(seen) == 0 || seen[0].Status != doctor.Unseen {
				t.Errorf("got %v, %+v", err, seen)
			}
		}
	}
}

func TestDockerfiles(t *testing.T) {
	dir := t.TempDir()
	written(t, dir, "Dockerfile", `FROM n8nio/n8n:2.41.1
# ENV N8N_API_KEY=`+canary+`
ARG NPM_TOKEN
ENV N8N_API_KEY=`+canary+`
ENV DB_PASSWORD `+canary+`
ENV GENERIC_TIMEZONE=Europe/Berlin N8N_ENCRYPTION_KEY_FILE=/run/secrets/key API_TOKEN=$API_TOKEN
RUN export AWS_SECRET_ACCESS_KEY=`+canary+` && make
COPY --chown=node .env /app/
COPY package.json key.example /app/
`, 0o600)
	r := one(t, "image-secrets", &site.Site{Files: []string{dir}})
	lines := make(map[int]doctor.Status)
	for _, s := range r.Seen {
		lines[s.Line] = s.Status
	}
	want := map[int]doctor.Status{4: doctor.Failed, 5: doctor.Failed, 7: doctor.Failed, 8: doctor.Warning}
	for line := range 10 {
		if lines[line] != want[line] {
			t.Errorf("line %d: got %q, want %q: %+v", line, lines[line], want[line], r.Seen)
		}
	}
	if err := os.Remove(filepath.Join(dir, "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	if r := one(t, "image-secrets", &site.Site{Files: []string{dir}}); r.Status != doctor.Unseen {
		t.Errorf("nothing there: %+v", r.Seen)
	}
}
