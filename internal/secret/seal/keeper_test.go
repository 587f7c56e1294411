package seal_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/secret/seal"
)

func TestGenerateKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := seal.GenerateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(string(before), "\n"))
	if err != nil || len(key) != 32 {
		t.Errorf("the file holds %d bytes (%v), want 32 in base64", len(key), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v), want 600", info.Mode(), err)
	}
	if err := seal.GenerateKeyFile(path); err == nil || fault.HintOf(err) == "" {
		t.Errorf("an existing key was overwritten, or refused without a hint: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the existing key changed (%v)", err)
	}
}

func TestKeyFromFile(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string // in the error; "" is none
	}{
		"as init makes it":           {good + "\n", 0o600, ""},
		"without a newline":          {good, 0o400, ""},
		"an orchestrator's mount":    {good, 0o444, ""},
		"a Kubernetes volume":        {good, 0o440, ""},
		"readable for the group":     {good, 0o640, "others than its owner may read it (mode 0640)"},
		"readable for everybody":     {good, 0o644, "others than its owner"},
		"empty":                      {"\n", 0o600, "it is empty"},
		"no base64":                  {strings.Repeat("canary!", 6), 0o600, "it is not base64"},
		"too short":                  {good[:20] + "\n", 0o600, "it has 15 bytes and not 32"},
		"base64 with a loose end":    {good[:42] + "d=", 0o600, "it is not base64"},
		"far too long for any key":   {strings.Repeat(good, 100), 0o600, "this is no key file"},
		"a key and something behind": {good + "\n" + good, 0o600, "bytes and not 32|it is not base64"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := seal.KeyFromFile(path)
			checkKeyError(t, err, c.want)
		})
	}
	_, err := seal.KeyFromFile(filepath.Join(t.TempDir(), "nothing"))
	checkKeyError(t, err, "no such file")
	_, err = seal.KeyFromFile(t.TempDir())
	checkKeyError(t, err, "this is no key file")
}

// checkKeyError wants one of the texts in the error, a hint with it, and nothing of the file.
func checkKeyError(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("got %v, want the key", err)
		}
		return
	}
	found := false
	for text := range strings.SplitSeq(want, "|") {
		found = found || err != nil && strings.Contains(err.Error(), text)
	}
	if !found || fault.HintOf(err) == "" {
		t.Errorf("got %v with hint %q, want %q and a hint", err, fault.HintOf(err), want)
	}
	if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "BwcH")) {
		t.Errorf("the error quotes the file: %v", err)
	}
}

func TestKeyFromEnv(t *testing.T) {
	t.Setenv("SALLYPORT_TEST_SEAL_KEY", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if _, err := seal.KeyFromEnv("SALLYPORT_TEST_SEAL_KEY"); err != nil {
		t.Error(err)
	}
	t.Setenv("SALLYPORT_TEST_SEAL_KEY", "canary")
	_, err := seal.KeyFromEnv("SALLYPORT_TEST_SEAL_KEY")
	checkKeyError(t, err, "$SALLYPORT_TEST_SEAL_KEY")
	_, err = seal.KeyFromEnv("SALLYPORT_TEST_NOT_SET")
	checkKeyError(t, err, "it is empty")
}
