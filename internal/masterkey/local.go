package masterkey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf16"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// NewNonce makes what fingerprints are taken under: 26 characters, 130 random bits.
func NewNonce() string { return rand.Text() }

// Fingerprint tells two keys apart without telling either: HMAC-SHA256 of the key under the nonce, in hexadecimal.
// Under another nonce it is another one, so that a list of fingerprints is of no use later. A key that is easily
// guessed is guessed from its fingerprint too. It is what `printf %s KEY | openssl dgst -sha256 -hmac NONCE` prints.
func Fingerprint(key secret.Value, nonce string) string {
	mac := hmac.New(sha256.New, []byte(nonce))
	_, _ = mac.Write(key.Reveal()) // never fails (package hash)
	return hex.EncodeToString(mac.Sum(nil))
}

// lowBytes is what n8n makes of a key for the CBC format (Buffer.from(key, 'binary')).
func lowBytes(key secret.Value) secret.Value {
	units := utf16.Encode([]rune(string(key.Reveal())))
	low := make([]byte, len(units))
	for i, u := range units {
		low[i] = byte(u) //nolint:gosec // the truncation is n8n's
	}
	return secret.NewValue(low)
}

// Copy is a place from which n8n may take its master key. Nothing in it tells the key.
type Copy struct {
	From        string `json:"from"`                  // a variable, or the name of n8n's settings file
	Used        bool   `json:"used"`                  // n8n encrypts with this one
	Fingerprint string `json:"fingerprint,omitempty"` // of the key as n8n reads it; "" when there is none to read
	// Low is the fingerprint of the bytes that n8n takes from the key for values in the CBC format, if they are not the
	// key's own: the low byte of each UTF-16 unit. Two keys may be alike there, and open the same values of n8n 1.x,
	// and not the same rows of deployment_key.
	Low     string `json:"low_fingerprint,omitempty"`
	Mode    string `json:"mode,omitempty"`    // of the settings file: "0600"
	Problem string `json:"problem,omitempty"` // why it is no key to encrypt with
	Hint    string `json:"hint,omitempty"`    // what to do about the problem
	Doubt   string `json:"doubt,omitempty"`   // what is to be said of a key that works

	key secret.Value
}

// Local is what one environment says of n8n's master key.
type Local struct {
	Nonce   string           `json:"nonce"`
	Host    string           `json:"host,omitempty"`
	Role    environment.Role `json:"role,omitempty"`    // of the n8n that runs here; "" if that cannot be told
	Version string           `json:"version,omitempty"` // of n8n
	// the n8n whose environment this is; 0: the environment of who asked
	Process int    `json:"process,omitempty"`
	Doubt   string `json:"doubt,omitempty"` // why n8n may have another environment than this
	Usable  bool   `json:"usable"`          // n8n finds a key that nobody has to worry about
	// the settings file, if there is one, has the key of the environment, if that has one
	Agree  bool   `json:"agree"`
	Copies []Copy `json:"copies"`
	// Execution is how a workflow ended that was run here; nil if none was to be.
	Execution *Execution `json:"execution,omitempty"`
}

// Execution is how a workflow ended.
type Execution struct {
	Workflow string `json:"workflow"`
	OK       bool   `json:"ok"`
	Problem  string `json:"problem,omitempty"` // why not; nothing of what n8n printed
}

// Used is the copy that n8n encrypts with, if there is one.
func (l Local) Used() (Copy, bool) {
	for _, c := range l.Copies {
		if c.Used {
			return c, true
		}
	}
	return Copy{}, false
}

// Key is the key that n8n encrypts with. Only a Local that Inspect has made holds it; one that was read from JSON does
// not.
func (l Local) Key() secret.Value {
	c, _ := l.Used()
	return c.key
}

// Inspect reads the key of an environment as n8n does (instance-settings.js and @n8n/config's decorators.js of 2.41.1):
// N8N_ENCRYPTION_KEY, even when it is empty, is before N8N_ENCRYPTION_KEY_FILE; a key of either must be that of the
// settings file; without one the settings file's is used.
func Inspect(lookup func(name string) (string, bool), nonce string) Local {
	l := Local{Nonce: nonce, Agree: true}
	given, isGiven := fromEnvironment(lookup)
	kept, isKept := fromSettings(environment.SettingsPath(lookup))
	broken := isGiven && given.key.IsZero() && given.Problem != "" && given.Problem != problemEmpty
	switch {
	case isGiven && !given.key.IsZero():
		given.Used = true
		l.Agree = !isKept || given.key.Equal(kept.key)
	case isKept && !kept.key.IsZero() && !broken:
		kept.Used = true
	}
	for _, c := range []struct {
		Copy
		is bool
	}{{given, isGiven}, {kept, isKept}} {
		if !c.is {
			continue
		}
		if !c.key.IsZero() {
			c.Fingerprint = Fingerprint(c.key, nonce)
			if low := lowBytes(c.key); !low.Equal(c.key) {
				c.Low = Fingerprint(low, nonce)
			}
		}
		l.Usable = l.Usable || c.Used && c.Problem == ""
		l.Copies = append(l.Copies, c.Copy)
	}
	return l
}

const problemEmpty = "is empty: n8n takes the key of its settings file, or makes one of its own"

// Fault is what is wrong with the environment as an error with a hint, or nil.
func (l Local) Fault() error {
	if last := l.last(); !l.Agree && last.Problem == "" {
		return fault.WithHint(
			errors.New("the key of the environment is not the one in n8n's settings file: n8n does not start"),
			"find out which of them the database needs; then correct the variable, or move the settings file away")
	}
	if l.Usable && l.Agree {
		return nil
	}
	for _, c := range l.Copies {
		if c.Problem != "" {
			return fault.WithHint(errors.New(c.From+" "+c.Problem), c.Hint)
		}
	}
	return fault.WithHint(errors.New("there is no master key: a worker does not start, any other n8n makes a key of "+
		"its own"),
		"give it the fleet's key, as "+environment.KeyFileName+" or "+environment.KeyName)
}

// last is the settings file, if there is one.
func (l Local) last() Copy {
	if len(l.Copies) == 0 {
		return Copy{}
	}
	return l.Copies[len(l.Copies)-1]
}

func fromEnvironment(lookup func(string) (string, bool)) (Copy, bool) {
	if value, ok := lookup(environment.KeyName); ok {
		return judged(environment.KeyName, environment.Normalize(value)), true
	}
	path, ok := lookup(environment.KeyFileName)
	if !ok || path == "" {
		return Copy{}, false
	}
	content, err := readKeyFile(path)
	if err != nil {
		return Copy{
			From: environment.KeyFileName, Problem: "names a file that cannot be read (" + err.Error() +
				"): n8n does not start",
			Hint: "mount the file there, readable by n8n",
		}, true
	}
	return judged(environment.KeyFileName, environment.Normalize(content)), true
}

// maxKeyFile bounds a file with a key, in bytes.
const maxKeyFile = 1 << 20

// readKeyFile reads a file. Its errors do not name it: someone may have put the key itself into the variable.
func readKeyFile(path string) (string, error) {
	content, err := func() ([]byte, error) {
		f, err := localfile.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read only
		return io.ReadAll(io.LimitReader(f, maxKeyFile))
	}()
	if bare, ok := errors.AsType[*fs.PathError](err); ok {
		return "", bare.Err
	}
	return string(content), err
}

// fromSettings reads n8n's own copy, which n8n takes as it stands.
func fromSettings(path string) (Copy, bool) {
	settings, err := environment.ReadSettings(path)
	switch {
	case errors.Is(err, environment.ErrNoSettings):
		return Copy{}, false
	case err != nil:
		return Copy{
			From: path, Problem: "cannot be read: " + err.Error(),
			Hint: "n8n writes this file itself; look at what has become of it",
		}, true
	}
	c := judged(path, string(settings.Key.Reveal()))
	c.Mode = fmt.Sprintf("%04o", settings.Mode)
	if c.key.IsZero() {
		c.Problem, c.Hint = "has no key in it", "move it away: n8n writes it again, with the key of the environment"
	}
	return c, true
}

// judged is a copy with what there is to say of its key.
func judged(from, key string) Copy {
	if key == "" {
		return Copy{From: from, Problem: problemEmpty, Hint: "give it the fleet's key, or take the variable away"}
	}
	key = string([]rune(key)) // what is no UTF-8 is U+FFFD for n8n
	exists := func(name string) bool { _, err := os.Stat(name); return err == nil }
	problem, hint := environment.KeyProblem(key, exists)
	if _, isRef, _ := secret.ParseAny(key); isRef && problem == "" {
		problem, hint = "is a reference that nobody has resolved", "start n8n with `sallyport run`; to look at it "+
			"alone: `sallyport run -- sallyport key verify --local`"
	}
	return Copy{
		From: from, Problem: problem, Hint: hint, Doubt: environment.KeyDoubt(key),
		key: secret.NewValue([]byte(key)),
	}
}
