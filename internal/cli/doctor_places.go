package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/config"
	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
	"sallyport/internal/kubeapi"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/nodes"
	n8ndatabase "sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/wayout"
)

// doctorPlaces is where `doctor` looks, as its flags say.
type doctorPlaces struct {
	files               []string
	images              []string
	kubeconfig, context string
	prometheus          string
	prometheusCA        string
	prometheusToken     string
	urls                []string
	ca                  string
	n8nVersion          string
	egress              []string
	everyWay            bool
	admin               string
	drill               bool
	backup, n8nBackup   string

	fleet keyFleet
}

func (p *doctorPlaces) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&p.images, "image", nil,
		"look into this image of the Docker engine, or file of `docker save`; repeatable")
	f.StringVar(&p.kubeconfig, "kubeconfig", "",
		"ask the cluster of this kubeconfig about pods in --namespace (in a pod: the pod's own account)")
	f.StringVar(&p.context, "kube-context", "", "the context in --kubeconfig (default: its current one)")
	f.StringVar(&p.prometheus, "prometheus", "", "ask this Prometheus about alerts, such as http://prometheus:9090")
	f.StringVar(&p.prometheusCA, "prometheus-ca", "", "file with the CA of its certificate, PEM")
	f.StringVar(&p.prometheusToken, "prometheus-token-file", "", "file with a bearer token for it")
	f.StringArrayVar(&p.urls, "url", nil, "look at the TLS of this address too, such as n8n's ingress; repeatable")
	f.StringVar(&p.ca, "ca-file", "", "file with CAs to trust for --url and the gate, PEM (default: the system's)")
	f.StringVar(&p.n8nVersion, "n8n-version", "", "the version of n8n, where nothing that is looked at tells it")
	f.StringArrayVar(&p.egress, "egress-target", nil,
		"in n8n's container: HOST:PORT that n8n must not reach; repeatable (default: the services' hosts)")
	f.BoolVar(&p.everyWay, "egress", false,
		"where n8n runs: try every way past the gate, as 'sallyport egress check' does; it sends packets to public "+
			"addresses")
	f.StringVar(&p.admin, "admin-address", "", "in n8n's container: HOST:PORT of the gate's admin listener")
	f.BoolVar(&p.drill, "drill", false, "restore backups into a temporary place, and decrypt what is in them")
	f.StringVar(&p.backup, "backup", "", "with --drill: a copy of the gate's data directory")
	f.StringVar(&p.n8nBackup, "n8n-backup", "", "with --drill: a copy of n8n's SQLite database, opened with --key-file")
	p.fleet.flags(cmd)
}

// site is where the flags say to look.
func (e *env) site(p doctorPlaces) (*site.Site, error) {
	on := &site.Site{
		Now: time.Now(), Files: p.files, Images: p.images, DockerHosts: dockerHosts(p.fleet.hosts),
		DockerLabels: p.fleet.labels, Namespace: p.fleet.namespace, Selector: p.fleet.selector, CAFile: p.ca,
		N8NVersion: p.n8nVersion, EgressTargets: p.egress, Admin: p.admin,
		Drill: p.drill, Backup: p.backup, N8NBackup: p.n8nBackup,
		Config: e.loadThere,
		Stores: func(ctx context.Context, c *config.Config) (site.Stores, error) { return app.OpenStores(ctx, c) },
		Audit:  e.auditOf, Rotations: e.rotationsOf, Restore: e.restore,
	}
	if p.everyWay {
		on.Egress = func(ctx context.Context) (wayout.Report, error) {
			return wayout.Check(ctx, wayout.Options{Version: p.n8nVersion})
		}
	}
	if p.kubeconfig != "" || os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		on.Kube = &kubeapi.Options{Kubeconfig: p.kubeconfig, Context: p.context}
	}
	var err error
	if on.Prometheus, err = p.endpoint(); err != nil {
		return nil, err
	}
	for _, text := range p.urls {
		u, err := webAddress(text)
		if err != nil {
			return nil, usage(fmt.Errorf("reading --url: %w", err), "https://n8n.example.com")
		}
		on.URLs = append(on.URLs, u)
	}
	e.siteOfNodes(p.fleet, on)
	return on, nil
}

// siteOfNodes is what the flags of `key verify` say.
func (e *env) siteOfNodes(k keyFleet, on *site.Site) {
	if len(k.specs)+len(k.labels) > 0 || k.selector+k.fingerprints != "" {
		if len(k.labels) == 0 {
			k.hosts = nil // they are for containers alone, here
		}
		on.Nodes = func(ctx context.Context) (nodes.Report, error) { return e.askedNodes(ctx, k) }
	}
	if k.database.named() {
		on.N8NDatabase = func(ctx context.Context) (*n8ndatabase.DB, error) {
			return e.openDatabase(ctx, k.database, false)
		}
	}
	if k.keyFile != "" {
		on.N8NKey = func(context.Context) (secret.Value, error) {
			l := masterkey.Inspect(only(map[string]string{"N8N_ENCRYPTION_KEY_FILE": k.keyFile}), masterkey.NewNonce())
			if _, has := l.Used(); !has {
				return secret.Value{}, fmt.Errorf("reading the key of %s: there is none in it", k.keyFile)
			}
			return l.Key(), nil
		}
	}
}

// askedNodes asks every node for its key's fingerprint, as `key verify` does.
func (e *env) askedNodes(ctx context.Context, k keyFleet) (nodes.Report, error) {
	v := keyVerification{fleet: k, nonce: masterkey.NewNonce(), timeout: askTime}
	if k.selector == "" {
		v.fleet.namespace = ""
	}
	all, err := v.fleet.nodes(ctx, v)
	if err != nil {
		return nodes.Report{}, err
	}
	ref, err := e.fleetReference(ctx, &v.fleet, v.nonce)
	if err != nil {
		return nodes.Report{}, err
	}
	q := nodes.Question{Nonce: v.nonce, Binary: k.binary, Timeout: v.timeout}
	return nodes.Compare(v.nonce, nodes.AskAll(ctx, all, q, k.parallel), ref), ctx.Err()
}

// dockerHosts are the engines that are asked: those that were named, else the one that the docker command would ask, if
// there is one.
func dockerHosts(named []string) []string {
	if len(named) > 0 {
		return slices.Clone(named)
	}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return []string{host}
	}
	const usual = "/var/run/docker.sock"
	if _, err := os.Stat(usual); err == nil {
		return []string{"unix://" + usual}
	}
	return nil
}

func (p *doctorPlaces) endpoint() (at site.Endpoint, err error) {
	if p.prometheus == "" {
		if p.prometheusCA+p.prometheusToken != "" {
			return at, usage(errors.New("nothing says where Prometheus is"), "--prometheus http://prometheus:9090")
		}
		return at, nil
	}
	if at.URL, err = webAddress(p.prometheus); err != nil {
		return at, usage(fmt.Errorf("reading --prometheus: %w", err), "http://prometheus:9090")
	}
	at.CAFile = p.prometheusCA
	if p.prometheusToken != "" {
		at.Token, err = readToken(p.prometheusToken)
	}
	return at, err
}

// webAddress reads an address without user, password or query, none of which belongs in an argument. It is not quoted.
func webAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("it is no address that begins with http:// or https://")
	case u.User != nil || u.RawQuery != "":
		return nil, errors.New("it has a user, a password or a query in it")
	}
	return u, nil
}

// loadThere is load for a configuration that is there: the defaults of a file that is not prove nothing.
func (e *env) loadThere() (*config.Config, config.Warnings, error) {
	if e.configPath == "" {
		if _, err := os.Stat(config.DefaultName); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fault.WithHint(errors.New("there is no sallyport.yaml here"),
				"--config names the gate's; or run it where the gate runs")
		}
	}
	return e.load()
}

// gateHere refuses to open what is not there: nothing is made by looking.
func gateHere(c *config.Config) error {
	if c.Database != "" || c.DatabaseFile != "" {
		return nil
	}
	if _, err := os.Stat(c.Data); errors.Is(err, fs.ErrNotExist) {
		return errNoGate(c.Data)
	}
	found, _ := filepath.Glob(filepath.Join(c.Data, "*.db"))
	if len(found) == 0 {
		return errNoGate(c.Data)
	}
	return nil
}

// withGate is with for a gate whose data is there.
func (e *env) withGate(ctx context.Context, fn func(s *app.State) error) error {
	c, _, err := e.loadThere()
	if err != nil {
		return err
	}
	if err := gateHere(c); err != nil {
		return err
	}
	return e.with(ctx, fn)
}

// auditOf verifies the gate's audit log.
func (e *env) auditOf(ctx context.Context) (report audit.Report, file string, err error) {
	err = e.withGate(ctx, func(s *app.State) error {
		keys, err := s.AuditKeys(ctx)
		if err != nil {
			return err
		}
		file = s.Config.Audit.File
		report, err = audit.VerifyFile(ctx, file, s.Config.Audit.CheckpointFile, keys.Public())
		return err
	})
	return report, file, err
}

// rotationsOf says how the gate's rotations stand.
func (e *env) rotationsOf(ctx context.Context) (list []site.Rotation, err error) {
	err = e.withGate(ctx, func(s *app.State) error {
		runs, err := s.RunsOfSecrets(ctx)
		if err != nil {
			return err
		}
		for _, name := range s.Config.RotationNames() {
			one := site.Rotation{Kind: kindSecret, Name: name, Planned: s.Config.Rotations[name].Schedule != nil}
			for i := range runs {
				if runs[i].Name == name { // the newest is last
					one.State, one.Last, one.Error = string(runs[i].State), runs[i].Updated, runs[i].LastError
				}
			}
			list = append(list, one)
		}
		open, err := s.Rotations().Journal.List(ctx)
		if err != nil {
			return err
		}
		generations, err := s.Tokens.List(ctx)
		if err != nil {
			return err
		}
		for _, name := range s.Config.TokenNames() {
			t := s.Config.Tokens[name]
			one := site.Rotation{Kind: kindToken, Name: name, Planned: t.Rotate != nil && t.Rotate.Every > 0}
			for i := range generations {
				if g := &generations[i]; g.Name == name && g.Created.After(one.Last) {
					one.Last, one.State = g.Created, "done"
				}
			}
			if one.Planned && !one.Last.IsZero() {
				one.Due = one.Last.Add(t.Rotate.Every)
			}
			for i := range open {
				if open[i].Name == name && open[i].LastError != "" {
					one.State, one.Error = "running", open[i].LastError
				}
			}
			list = append(list, one)
		}
		return nil
	})
	return list, err
}

// restore opens a copy of a backup of the gate, and reads every secret of it.
func (e *env) restore(ctx context.Context, backup string) (secrets int, err error) {
	dir, err := os.MkdirTemp("", "sallyport-drill-")
	if err != nil {
		return 0, fmt.Errorf("making a place for the drill: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing can be done about it
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(backup)); err != nil {
		return 0, fmt.Errorf("copying the backup: %w", err)
	}
	c, _, err := e.load()
	if err != nil {
		return 0, err
	}
	if strings.TrimSpace(c.Database+c.DatabaseFile) != "" {
		return 0, errors.New("the gate's database is PostgreSQL: its backup is restored by pg_restore, and not from " +
			"here")
	}
	sealKey := c.Seal.KeyFile // where it is kept, which is apart from the backup
	if err := c.Override("data", filepath.Join(dir, "data"), "the drill"); err != nil {
		return 0, err
	}
	if sealKey != "" {
		if err := c.Override("seal.key_file", sealKey, "the drill"); err != nil {
			return 0, err
		}
	}
	if err := gateHere(c); err != nil {
		return 0, err
	}
	s, err := app.Open(ctx, c)
	if err != nil {
		return 0, err
	}
	list, err := s.Builtin.List(ctx, "")
	for i := range list {
		if err == nil {
			_, _, err = s.Builtin.Get(ctx, list[i].Path, "")
		}
	}
	return len(list), errors.Join(err, s.Close())
}
