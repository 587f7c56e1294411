package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/secret"
)

// keyFleet is which nodes are asked, how, and what their key is compared with.
type keyFleet struct {
	specs, labels, hosts []string
	selector, namespace  string
	fingerprints         string
	binary               string
	parallel             int

	tokenFile, caFile string
	insecure          bool

	database n8nDatabase
	keyFile  string
}

func (k *keyFleet) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&k.specs, "node", nil, "ask this node: NAME=WAY, see above; repeatable")
	f.StringArrayVar(&k.labels, "docker-label", nil,
		"ask all running containers with this label, KEY or KEY=VALUE; with several, those that have all")
	f.StringArrayVar(&k.hosts, "docker-host", nil,
		"where --docker-label looks, such as ssh://n8n-2; repeatable (default: where the docker command looks)")
	f.StringVar(&k.selector, "kubectl-selector", "", "ask all pods of this selector, such as app=n8n")
	f.StringVar(&k.namespace, "namespace", "",
		"where --kubectl-selector looks (default: where the kubectl command looks)")
	f.StringVar(&k.fingerprints, "fingerprints", "",
		"read what nodes have written with --out: a folder of files NAME.json; needs --nonce-file")
	f.StringVar(&k.binary, "remote-binary", "sallyport", "where sallyport lies in the nodes")
	f.IntVar(&k.parallel, "parallel", 8, "how many nodes are asked at once")
	f.StringVar(&k.tokenFile, "agent-token-file", "", "file with the token of the agents")
	f.StringVar(&k.caFile, "agent-ca", "", "file with the CA of the agents' certificates, PEM (default: the system's)")
	f.BoolVar(&k.insecure, "insecure", false,
		"ask agents beyond this machine over plain http too; the token goes in the clear")
	k.database.flags(cmd)
	f.StringVar(&k.keyFile, "key-file", "",
		"file with the key that the nodes should have (default, with a database: this environment's key)")
}

func (k *keyFleet) asked() bool {
	return len(k.specs)+len(k.labels)+len(k.hosts) > 0 || k.selector+k.namespace+k.fingerprints+k.database.options.URL+
		k.database.file+k.keyFile+k.tokenFile+k.caFile != ""
}

func (e *env) verifyFleet(ctx context.Context, v keyVerification) error {
	report, err := e.askFleet(ctx, v)
	if err != nil {
		return err
	}
	if err := e.print(report, func(w io.Writer) error { return printReport(w, report) }); err != nil {
		return err
	}
	return report.Fault()
}

// askFleet asks every node, and compares.
func (e *env) askFleet(ctx context.Context, v keyVerification) (report nodes.Report, err error) {
	all, err := v.fleet.nodes(ctx, v)
	if err != nil {
		return report, err
	}
	ref, err := e.fleetReference(ctx, &v.fleet, v.nonce)
	if err != nil {
		return report, err
	}
	q := nodes.Question{Nonce: v.nonce, Workflow: v.execute, Binary: v.fleet.binary, Timeout: v.timeout}
	answers := nodes.AskAll(ctx, all, q, v.fleet.parallel)
	if ctx.Err() != nil {
		return report, ctx.Err()
	}
	return nodes.Compare(v.nonce, answers, ref), nil
}

// nodes are all that were named or found.
func (k *keyFleet) nodes(ctx context.Context, v keyVerification) ([]nodes.Node, error) {
	if err := k.checkBinary(); err != nil {
		return nil, err
	}
	agents, err := k.agents()
	if err != nil {
		return nil, err
	}
	var all []nodes.Node
	for _, spec := range k.specs {
		node, err := nodes.ParseNode(spec, agents)
		if err != nil {
			return nil, usage(err, fault.HintOf(err))
		}
		if node.Asker.Way() == "file" && v.nonceFile == "" {
			return nil, errNoChallenge()
		}
		all = append(all, node)
	}
	found, err := k.find(ctx, v)
	if err != nil {
		return nil, err
	}
	all = append(all, found...)
	if err := nodes.Distinct(all); err != nil {
		return nil, usage(err, fault.HintOf(err))
	}
	if len(all) == 0 && !k.database.named() {
		return nil, fault.WithHint(errors.New("there is no node to ask"),
			"`docker ps --filter label=…` or `kubectl get pods -l …` shows what the label or the selector finds")
	}
	return all, nil
}

// checkBinary refuses what a shell in the node would take apart.
func (k *keyFleet) checkBinary() error {
	if k.binary == "" || strings.HasPrefix(k.binary, "-") || strings.ContainsAny(k.binary, " \t\n'\"$`\\;&|<>()") {
		return usage(errors.New("--remote-binary is no program"), "a path without blanks, such as /sallyport/sallyport")
	}
	return nil
}

func errNoChallenge() error {
	return usage(errors.New("files of fingerprints are read under the nonce that they were made with"),
		"give --nonce-file the challenge that the nodes had")
}

func (k *keyFleet) find(ctx context.Context, v keyVerification) (all []nodes.Node, err error) {
	const patience = 30 * time.Second
	if k.fingerprints != "" {
		if v.nonceFile == "" {
			return nil, errNoChallenge()
		}
		if all, err = nodes.Folder(k.fingerprints); err != nil {
			return nil, err
		}
	}
	if len(k.labels) > 0 {
		found, err := nodes.DockerLabels(ctx, k.labels, k.hosts, patience)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	} else if len(k.hosts) > 0 {
		return nil, usage(errors.New("--docker-host says where, and nothing says what"), "add --docker-label KEY=VALUE")
	}
	if k.selector != "" {
		found, err := nodes.KubectlSelector(ctx, k.selector, k.namespace, patience)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	} else if k.namespace != "" {
		return nil, usage(errors.New("--namespace says where, and nothing says what"),
			"add --kubectl-selector KEY=VALUE")
	}
	return all, nil
}

func (k *keyFleet) agents() (a nodes.Agents, err error) {
	a.Insecure = k.insecure
	if k.tokenFile != "" {
		if a.Token, err = readToken(k.tokenFile); err != nil {
			return a, err
		}
	}
	a.Roots, err = localfile.CertPool(k.caFile)
	switch {
	case errors.Is(err, localfile.ErrNoCertificate):
		return a, usage(fmt.Errorf("reading --agent-ca: %w", err), "it wants PEM")
	case err != nil:
		return a, fmt.Errorf("reading --agent-ca: %w", err)
	}
	return a, nil
}

// fleetReference is the key that the nodes should have, or nil when nothing tells.
func (e *env) fleetReference(ctx context.Context, k *keyFleet, nonce string) (ref *nodes.Reference, err error) {
	if !k.database.named() && k.keyFile == "" {
		return nil, nil //nolint:nilnil // there is nothing to compare with, and nothing wrong
	}
	l := masterkey.Here{}.Inspect(ctx, nonce)
	if k.keyFile != "" {
		l = masterkey.Inspect(only(map[string]string{"N8N_ENCRYPTION_KEY_FILE": k.keyFile}), nonce)
	}
	used, has := l.Used()
	switch {
	case !has && k.keyFile != "":
		return nil, fault.WithHint(fmt.Errorf("reading the key of %s: there is none in it", k.keyFile),
			"it holds the key alone, as N8N_ENCRYPTION_KEY_FILE does")
	case !has:
		return nil, usage(errors.New("a database is tried with a key, and this environment has none"),
			"--key-file FILE names one")
	}
	ref = &nodes.Reference{From: used.From, Fingerprint: used.Fingerprint, Low: used.Low}
	if k.keyFile != "" {
		ref.From = k.keyFile
	}
	if k.database.named() {
		ref.Database, err = e.prove(ctx, k.database, l.Key())
	}
	return ref, err
}

// only is an environment of these variables, with n8n's settings file nowhere.
func only(environ map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if name == "N8N_USER_FOLDER" {
			return os.DevNull, true
		}
		value, ok := environ[name]
		return value, ok
	}
}

// readToken reads a file with a token; nothing of it is quoted.
func readToken(path string) (secret.Value, error) {
	content, err := localfile.Read(path, localfile.Small)
	if err != nil {
		return secret.Value{}, fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if len(token) < minToken || strings.ContainsAny(token, " \t\r\n") {
		return secret.Value{}, usage(fmt.Errorf("reading the token: %q holds no line of %d characters or more", path,
			minToken), "`sallyport key generate --out FILE` makes one that will do")
	}
	return secret.NewValue([]byte(token)), nil
}

func printReport(w io.Writer, r nodes.Report) error {
	if err := printReference(w, r); err != nil || len(r.Nodes) == 0 {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprint(t, "NODE\tROLE\tVERSION\tKEY FROM\tFINGERPRINT\tMATCH\tWHAT TO DO\n")
	for _, row := range r.Nodes {
		todo := todoOf(row)
		_, _ = cells(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Name, orDash(string(row.Role)),
			orDash(row.Version), orDash(row.From),
			orDash(short(row.Fingerprint)), matchOf(row), todo[0])
		for _, more := range todo[1:] {
			_, _ = cells(t, "\t\t\t\t\t\t%s\n", more)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", summary(r))
	return err
}

func printReference(w io.Writer, r nodes.Report) (err error) {
	if r.Reference == nil || r.Reference.Database == nil {
		return nil
	}
	db, from := r.Reference.Database, r.Reference.From
	end := "\n"
	if len(r.Nodes) > 0 {
		end = "\n\n"
	}
	switch db.Result {
	case nodes.Match:
		_, err = fmt.Fprintf(w, "The key of %s is the one of %s (%s).%s", from, db.Name, proofOf(db), end)
	case nodes.Mixed:
		_, err = fmt.Fprintf(w, "The key of %s opens %d values of %s, and %d it does not.%s", from, db.Readable,
			db.Name, db.Unreadable, end)
	case nodes.Unproven:
		_, err = fmt.Fprintf(w, "%s holds nothing encrypted: any key would do, and %s is taken for the right one.%s",
			db.Name, from, end)
	default:
		_, err = fmt.Fprintf(w, "The key of %s does not open %s.%s", from, db.Name, end)
	}
	return err
}

func proofOf(db *nodes.Database) string {
	if db.Proof == "deployment_key" {
		return fmt.Sprintf("proved by deployment_key; it opens all of %d values", db.Readable)
	}
	return fmt.Sprintf("it opens all of %d values", db.Readable)
}

func short(fingerprint string) string { return fingerprint[:min(len(fingerprint), 12)] }

func matchOf(row nodes.Row) string {
	switch {
	case row.Error != "":
		return "?"
	case row.Group != "":
		return "key " + row.Group
	case row.Match == nodes.Unknown:
		return "?"
	}
	return string(row.Match)
}

// todoOf are the lines on what is wrong with a node, one at least.
func todoOf(row nodes.Row) (lines []string) {
	if row.Error != "" {
		lines = append(lines, "could not be asked: "+withHint(row.Error, row.Hint))
	}
	for _, f := range row.Findings {
		if f.Kind != nodes.NotExecuted {
			lines = append(lines, withHint(f.What, f.Todo))
		}
	}
	if row.Execution != nil {
		lines = append(lines, "workflow "+executionOf(row.Execution))
	}
	if len(lines) == 0 {
		return []string{"-"}
	}
	return lines
}

func withHint(what, hint string) string {
	if hint == "" {
		return what
	}
	return what + "; " + hint
}

// summary is the line under the table.
func summary(r nodes.Report) string {
	right, unasked, without := 0, 0, 0
	groups := make(map[string][]string)
	for _, row := range r.Nodes {
		switch {
		case row.Error != "":
			unasked++
		case row.Fingerprint == "":
			without++
		case row.Group != "":
			groups[row.Group] = append(groups[row.Group], row.Name)
		case row.Match == nodes.Yes:
			right++
		}
	}
	var parts []string
	switch {
	case len(groups) > 0:
		parts = append(parts, fmt.Sprintf("%d nodes, %d different keys (%s)", len(r.Nodes), r.Keys, listGroups(groups)))
	case r.Reference != nil:
		parts = append(parts, fmt.Sprintf("%d of %d nodes have the key of %s", right, len(r.Nodes), r.Reference.From))
	case right == 1 && len(r.Nodes) == 1:
		parts = append(parts, "one node, and nothing to compare it with: --database URL proves its key")
	default:
		parts = append(parts, fmt.Sprintf("%d of %d nodes have one and the same key", right, len(r.Nodes)))
	}
	if without > 0 {
		parts = append(parts, fmt.Sprintf("%d without a key", without))
	}
	if unasked > 0 {
		parts = append(parts, fmt.Sprintf("%d could not be asked", unasked))
	}
	return strings.Join(parts, ", ")
}

func listGroups(groups map[string][]string) string {
	var parts []string
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		parts = append(parts, group+": "+strings.Join(groups[group], " "))
	}
	return strings.Join(parts, "; ")
}
