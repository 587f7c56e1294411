package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/install"
	"sallyport/internal/secret"
)

// keyInstall are the flags of key install.
type keyInstall struct {
	target                string
	keyFile, from         string
	generate, dryRun      bool
	name, out, store      string
	namespace             string
	kube                  app.KubernetesOptions
	dockerHost            string
	nomadAddr, path       string
	withKey, passwordFile string
	snippet               string
}

// installTargets lists the targets, each with the flags that are its own.
func installTargets() map[string][]string {
	return map[string][]string{
		"swarm":      {"docker-host"},
		"kubernetes": {"namespace", "context", "kubeconfig"},
		"nomad":      {"namespace", "nomad-addr", "path"},
		"compose":    {"out"},
		"systemd":    {"out", "with-key"},
		"ansible":    {"out", "vault-password-file"},
		"store":      {"store"},
	}
}

func (e *env) keyInstall() *cobra.Command {
	var o keyInstall
	cmd := &cobra.Command{
		Use:   "install --target TARGET",
		Short: "Put the master key where the fleet takes it from, and print the lines that reference it there",
		Long: `Makes a secret with n8n's master key in a Docker Swarm, Kubernetes, Nomad or a store, or a file with it for Compose, systemd
(encrypted by systemd-creds) or Ansible (an encrypted file of variables). Its name has a version, n8n_encryption_key_v1, and the next
free number: what is there is never overwritten, and nodes go over to a version when their configuration says so. Then it looks at what
it has made, tells what it has compared, and prints the lines that reference it. Where the key is there already, nothing is changed.

The key comes from --key-file ("-" is standard input), from a store (--from), or is made (--generate). What is no key (the name of a
file, an example, CHANGEME) is refused, as by ` + "`sallyport run`" + `.

With --check-snippet it installs nothing: it reads a Compose or stack file, a manifest, a file of variables, a systemd unit or a job of
Nomad, and finds the mistakes with the master key that guides teach, such as N8N_ENCRYPTION_KEY=/run/secrets/…; it exits with 3 when
there are any. docs/masterkey-install.md has an example for each target.`,
		Example: "  sallyport key install --target swarm --key-file n8n.key\n" +
			"  sallyport key install --target kubernetes --namespace n8n --from builtin/n8n/master\n" +
			"  op read op://prod/n8n/key | sallyport key install --target nomad --key-file -\n" +
			"  sallyport key install --check-snippet docker-compose.yml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.snippet != "" {
				return e.checkSnippet(cmd.Context(), o.snippet)
			}
			if err := o.check(cmd); err != nil {
				return err
			}
			return e.installKey(cmd.Context(), &o)
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *keyInstall) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "", "swarm, kubernetes, nomad, compose, systemd, ansible or store")
	f.StringVar(&o.keyFile, "key-file", "", "read the key from this file; - is standard input")
	f.StringVar(&o.from, "from", "", "read the key from a store: STORE/NAME")
	f.BoolVar(&o.generate, "generate", false, "make a new key, for an n8n that has encrypted nothing yet")
	f.StringVar(&o.name, "name", install.DefaultName, "what versions are called after")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be done")
	f.StringVar(&o.dockerHost, "docker-host", "",
		"swarm: the engine of a manager (default DOCKER_HOST, or Docker's socket)")
	f.StringVar(&o.namespace, "namespace", "",
		"kubernetes, nomad: the namespace (default: the context's; NOMAD_NAMESPACE)")
	f.StringVar(&o.kube.Kubeconfig, "kubeconfig", "",
		"kubernetes: the kubeconfig (default KUBECONFIG, ~/.kube/config, or the pod's account)")
	f.StringVar(&o.kube.Context, "context", "", "kubernetes: the context in the kubeconfig")
	f.StringVar(&o.nomadAddr, "nomad-addr", "",
		"nomad: the address (default NOMAD_ADDR); the token is read from NOMAD_TOKEN")
	f.StringVar(&o.path, "path", install.DefaultNomadPath, "nomad: the variable")
	f.StringVar(&o.out, "out", "",
		"compose, systemd, ansible: the file or folder (default: here; /etc/credstore.encrypted)")
	f.StringVar(&o.withKey, "with-key", "auto", "systemd: what to encrypt with: auto, host, tpm2 or host+tpm2")
	f.StringVar(&o.passwordFile, "vault-password-file", "",
		"ansible: the file of the vault's password, or a program that prints it")
	f.StringVar(&o.store, "store", secret.Builtin, "store: its name in sallyport.yaml")
	f.StringVar(&o.snippet, "check-snippet", "",
		"look for mistakes with the master key in this file, and install nothing")
}

// check refuses flags that do not go together.
func (o *keyInstall) check(cmd *cobra.Command) error {
	targets := installTargets()
	own, ok := targets[o.target]
	if !ok {
		return misnamed("--target", o.target, "swarm", "kubernetes", "nomad", "compose", "systemd", "ansible", "store")
	}
	for target, flags := range targets {
		for _, name := range flags {
			if cmd.Flags().Changed(name) && !slices.Contains(own, name) {
				return usage(fmt.Errorf("--%s is not for --target %s, but for %s", name, o.target,
					target), "leave it out")
			}
		}
	}
	sources := 0
	for _, given := range []bool{o.keyFile != "", o.from != "", o.generate} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return usage(errors.New("the key comes from one place"),
			"name one of --key-file FILE, --key-file - (standard input), --from STORE/NAME and --generate")
	}
	return nil
}

func (e *env) installKey(ctx context.Context, o *keyInstall) error {
	raw, err := e.keySource(ctx, o)
	if err != nil {
		return err
	}
	return e.withTarget(ctx, o, func(p install.Target) error {
		key, err := e.checkedKey(o, raw, p)
		if err != nil {
			return err
		}
		do := install.Run
		if o.dryRun {
			do = install.Plan
		}
		result, err := do(ctx, p, key)
		if err != nil {
			return err
		}
		return e.tellInstalled(o, result)
	})
}

// keySource reads the key; the zero Value is for one that is yet to be made.
func (e *env) keySource(ctx context.Context, o *keyInstall) (key secret.Value, err error) {
	var raw []byte
	switch {
	case o.generate:
		return key, nil
	case o.from != "":
		return e.keyFromStore(ctx, o.from)
	case o.keyFile != "-":
		raw, err = readFile(o.keyFile)
	case isTerminal(e.In):
		raw, err = e.prompt("master key (hidden): ")
	default:
		raw, err = io.ReadAll(io.LimitReader(e.In, maxValue))
	}
	if err != nil {
		return key, fmt.Errorf("reading the master key: %w", err)
	}
	return secret.NewValue(raw), nil
}

func (e *env) keyFromStore(ctx context.Context, from string) (key secret.Value, err error) {
	store, name, _ := strings.Cut(from, "/")
	if store == "" || name == "" {
		return key, usage(fmt.Errorf("--from %q names no secret", from),
			"want STORE/NAME, for example builtin/n8n/master")
	}
	return key, e.withStore(ctx, store, func(t *target) error {
		if err := t.record(ctx, "key.install", name); err != nil {
			return err
		}
		key, _, err = t.Get(ctx, name, "")
		return t.named(err)
	})
}

// checkedKey is the key to install: the one that was read, or a new one, which a dry run does not make.
func (e *env) checkedKey(o *keyInstall, raw secret.Value, p install.Target) (secret.Value, error) {
	switch {
	case o.generate && o.dryRun:
		return secret.Value{}, nil
	case o.generate:
		return masterkey.Generate(), nil
	}
	exists := func(name string) bool { info, err := os.Stat(name); return err == nil && info.Mode().IsRegular() }
	key, doubt, err := install.Check(raw, exists, p.Snippet(1))
	if doubt != "" {
		e.note("warning: the master key %s: it is easily guessed", doubt)
	}
	if hint, lines, ok := strings.Cut(fault.HintOf(err), "\n"); ok { // a hint is one line; these are to be copied
		e.note("the lines that reference a key in a file:\n%s", lines)
		err = fault.WithHint(err, strings.TrimSuffix(hint, " like this:")+" with the lines above")
	}
	return key, err
}

// withTarget runs fn on what the flags name.
func (e *env) withTarget(ctx context.Context, o *keyInstall, fn func(install.Target) error) error {
	p, closed, err := install.Target(nil), func() error { return nil }, error(nil)
	switch o.target {
	case "store":
		return e.withStore(ctx, o.store, func(t *target) error { return o.inStore(ctx, t, fn) })
	case "swarm":
		p, closed, err = o.swarm()
	case "kubernetes":
		p, closed, err = o.kubernetes()
	case "nomad":
		p, err = install.NewNomad(&install.NomadOptions{
			Address: o.nomadAddr, Namespace: o.namespace, Path: o.path,
			Name: o.name, Lookup: os.LookupEnv,
		})
	case "compose":
		p, err = install.NewCompose(o.name, o.out)
	case "systemd":
		p, err = install.NewSystemd(install.SystemdOptions{Name: o.name, Out: o.out, WithKey: o.withKey})
	case "ansible":
		p, err = install.NewAnsible(ctx, o.name, o.out, o.passwordFile)
	}
	if err != nil {
		return err
	}
	return errors.Join(fn(p), closed())
}

func (o *keyInstall) swarm() (install.Target, func() error, error) {
	secrets, closed, err := app.SwarmSecrets(o.dockerHost)
	if err != nil {
		return nil, nil, err
	}
	p, err := install.NewSwarm(secrets, o.name)
	return p, closed, err
}

func (o *keyInstall) kubernetes() (install.Target, func() error, error) {
	o.kube.Namespace = o.namespace
	secrets, closed, err := app.KubernetesSecrets(o.kube)
	if err != nil {
		return nil, nil, err
	}
	p, err := install.NewKubernetes(secrets, o.name)
	return p, closed, err
}

func (o *keyInstall) inStore(ctx context.Context, t *target, fn func(install.Target) error) error {
	store, ok := t.Store.(masterkey.Store)
	if !ok {
		return t.lacks("be written to")
	}
	if !o.dryRun {
		if err := t.record(ctx, "key.install", o.name); err != nil {
			return err
		}
	}
	return errors.Join(fn(install.NewStore(store, o.store, o.name)), t.changed(ctx))
}

// tellInstalled prints what was done.
func (e *env) tellInstalled(o *keyInstall, r install.Result) error {
	made := o.generate && r.State == install.Created
	if made {
		r.Notes = append(r.Notes,
			"the key is new: it is for an n8n that has encrypted nothing yet; any other goes over to it with "+
				"`sallyport key rekey`")
	}
	if strings.Contains(r.Snippet, "N8N_ENCRYPTION_KEY_FILE") {
		r.Notes = append(r.Notes,
			"where N8N_ENCRYPTION_KEY is set too, take it away: n8n reads it first, even if it is empty")
	}
	answer := struct {
		Target    string `json:"target"`
		Generated bool   `json:"generated"`
		install.Result
	}{o.target, made, r}
	return e.print(answer, func(w io.Writer) error {
		did := map[string]string{
			install.Created: "made", install.Planned: "would make",
			install.Present: "nothing changed: the same key is there already, as",
		}[r.State]
		_, _ = fmt.Fprintf(w, "%s %s in %s\nchecked: %s\n", did, r.Name, r.Target, r.Checked)
		for _, note := range r.Notes {
			_, _ = fmt.Fprintf(w, "note: %s\n", note)
		}
		_, err := fmt.Fprintf(w, "\n%s", r.Snippet)
		return err
	})
}
