package cli

import (
	_ "embed" // the first configuration
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/boundary/ca"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/secret/seal"
)

//go:embed init.yaml
var firstConfig []byte

// made is what init did.
type made struct {
	Config     string `json:"config"`
	ConfigKept bool   `json:"config_kept"`
	Services   string `json:"services"` // the folder of further files
	Data       string `json:"data"`
	SealKey    string `json:"seal_key"`
	SealEnv    bool   `json:"-"` // it comes from a variable, and init made none
	CA         string `json:"ca"`
}

func (e *env) init() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Make the data directory, the seal key, the CA and a first sallyport.yaml",
		Long: `Makes what a first start needs: the data directory, the key that seals every secret at rest (mode 0600), a CA for TLS on
the gate's own listeners, a commented sallyport.yaml and the folder services.d beside it. Nothing that exists is overwritten: a seal key that is there is an
error, a sallyport.yaml that is there stays as it is.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			m, err := e.makeAll()
			if err != nil {
				return err
			}
			return e.print(m, m.tell)
		},
	}
}

// makeAll leaves nothing of its own behind when it fails: what is wrong may be the folder that it was called in.
func (e *env) makeAll() (_ *made, err error) {
	var own undo
	defer func() {
		if err != nil {
			own.run()
		}
	}()
	path := e.configPath
	if path == "" {
		path = config.DefaultName
	}
	kept, err := writeFirst(path)
	if err != nil {
		return nil, err
	}
	services := filepath.Join(filepath.Dir(path), "services.d")
	if !kept {
		own.add(path)
		// What the first configuration speaks of; a file in it is read beside sallyport.yaml.
		own.add(missing(services)...)
		if err := os.MkdirAll(services, 0o755); err != nil { //nolint:gosec // holds no secret, and is meant to be read
			return nil, fmt.Errorf("making the folder for services: %w", err)
		}
	}
	c, _, err := e.load()
	if err != nil {
		return nil, err
	}
	if err := app.MayInit(c); err != nil {
		return nil, err
	}
	own.add(missing(c.Data)...)
	if err := makeData(c.Data); err != nil {
		return nil, err
	}
	m := &made{
		Config: path, ConfigKept: kept, Services: services, Data: c.Data, SealKey: c.Seal.KeyFile,
		CA: filepath.Join(c.Data, ca.CertFile),
	}
	if c.Seal.KeyEnv != "" {
		m.SealKey, m.SealEnv = "$"+c.Seal.KeyEnv, true
	} else if err := seal.GenerateKeyFile(c.Seal.KeyFile); err != nil {
		return nil, fault.WithHint(err,
			"the key seals every stored secret and is never overwritten; move it away yourself if you mean to begin "+
				"again")
	}
	own = nil // the key stays whatever comes, and what names it
	if err := ca.Create(c.Data); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return m, nil
}

// undo is what was made and is not wanted any more: files, and folders as far as they are empty.
type undo []string

func (u *undo) add(paths ...string) { *u = append(*u, paths...) }

// run removes it, the last first.
func (u undo) run() {
	for _, path := range slices.Backward(u) {
		_ = os.Remove(path) // a folder that someone has put a file into stays
	}
}

// missing is a folder and those above it, as far as they are not there, the outermost first.
func missing(path string) (all []string) {
	for ; ; path = filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return all
		}
		all = slices.Insert(all, 0, path)
	}
}

// makeData makes the data directory, unless it is another user's: root does not leave keys where that user decides what
// they are.
func makeData(path string) error {
	dir, err := localfile.MakeDir(path)
	if err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	return dir.Close()
}

// writeFirst writes a first configuration; a file that is there stays.
func writeFirst(path string) (kept bool, err error) {
	f, err := localfile.Create(path, 0o644) // holds no secret, and is meant to be read
	if errors.Is(err, fs.ErrExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("writing a first configuration: %w", err)
	}
	_, err = f.Write(firstConfig)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, errors.Join(err, os.Remove(path)) // the next init would keep it as it is
	}
	return false, nil
}

func (m *made) tell(w io.Writer) error {
	verb := "made"
	if m.ConfigKept {
		verb = "kept"
	}
	own := ""
	if m.SealEnv {
		own = " 32 random bytes in base64, as of `openssl rand -base64 32`;"
	}
	_, err := fmt.Fprintf(w, `configuration  %s (%s)
services       %s: every *.yaml in it is read too
data           %s
seal key       %s:%s keep a copy apart from the data; without it no secret can be read
CA             %s: what clients trust when the gate speaks TLS

Next:
  sallyport secret set openai < key.txt         store a credential, sealed
  sallyport config check                        after naming it in %s
  sallyport service test openai                 one real call with it
  sallyport token issue n8n --services openai   the one token that n8n holds
  sallyport serve
`, m.Config, verb, m.Services, m.Data, m.SealKey, own, m.CA, m.Config)
	return err
}
