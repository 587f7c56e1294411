package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/doctor"
	checklist "sallyport/internal/doctor/check"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// examination is what `doctor` was called with.
type examination struct {
	only, skip []string
	list       bool
	format     string
	out        string
	fix        bool
	timeout    time.Duration
	places     doctorPlaces
}

var doctorFormats = []string{"text", "json", "sarif", "junit", "html"}

func (e *env) doctor() *cobra.Command {
	var x examination
	cmd := &cobra.Command{
		Use:   "doctor [FILE|FOLDER]...",
		Short: "Run the checklist of a distributed n8n's secrets, each line of it as a check that looks",
		Long: `Looks at everything that keeps the secrets of an n8n: the files that start it, its containers and pods, the stores, the gate, TLS,
alerts, the database. Each check says what it has seen and what to do; --list lists them, and docs/doctor.md has a page for each.

It looks where it is told to, and at what is here: FILE and FOLDER are what starts n8n (Compose files, charts, manifests, units,
Dockerfiles, a repository), sallyport.yaml is the gate's. A check that could not look says what it needs, and is never taken for ok.
Nothing is changed, but for --fix, and no secret is shown.

It exits with 0 when every check is ok, with 3 when one has a finding, and else with 1 when one could not look. What you do not have
is left out with --skip, and the report says so.`,
		Example: `  sallyport doctor .                                      # from a laptop, in the repository that deploys n8n
  sallyport doctor --docker-host unix:///var/run/docker.sock --prometheus http://prometheus:9090   # on a node
  sallyport doctor --kubeconfig ~/.kube/config --namespace n8n --url https://n8n.example.com --format html --out evidence.html
  sallyport doctor . --only 'key-*' --format sarif --out doctor.sarif   # in CI`,
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			x.places.files = args
			return e.examine(cmd.Context(), x)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&x.only, "only", nil, "run these checks alone: ids, or their beginning with a star (key-*)")
	f.StringSliceVar(&x.skip, "skip", nil, "leave these checks out")
	f.BoolVar(&x.list, "list", false, "list the checks, and look at nothing")
	f.StringVar(&x.format, "format", "text", "what is printed: "+strings.Join(doctorFormats, ", "))
	f.StringVar(&x.out, "out", "", "write the report to this new file instead of standard output")
	f.BoolVar(&x.fix, "fix", false, "repair what is safe to repair: what others may read of Sallyport's own files")
	f.DurationVar(&x.timeout, "timeout", doctor.DefaultTimeout, "how long one check may take")
	x.places.flags(cmd)
	return cmd
}

func (e *env) examine(ctx context.Context, x examination) error {
	write, err := e.reportWriter(x.format)
	if err != nil {
		return err
	}
	checks, left, err := doctor.Choose(checklist.All(), x.only, x.skip)
	switch {
	case err != nil:
		return usage(err, "`sallyport doctor --list` lists them")
	case len(checks) == 0:
		return usage(errors.New("no check is left to run"), "take something out of --skip")
	case x.list:
		return e.listChecks(checks)
	case x.timeout <= 0:
		return usage(errors.New("--timeout is no time"), "write it as 30s or 2m")
	}
	on, err := e.site(x.places)
	if err != nil {
		return err
	}
	to, finish, err := e.reportTo(x.out)
	if err != nil {
		return err
	}
	told := newDoctorProgress(e.Err)
	host, _ := os.Hostname()
	report, stopped := doctor.Run(ctx, checks, on, doctor.Options{
		Timeout: x.timeout, Fix: x.fix, Told: told.show, Version: Version(), Host: host,
	})
	told.end()
	report.LeftOut = left
	err = errors.Join(write(to, report), finish())
	switch {
	case err != nil:
		return fmt.Errorf("writing the report: %w", err)
	case stopped != nil:
		return stopped
	}
	return report.Fault()
}

// reportWriter is what writes a report in a form; --json is one.
func (e *env) reportWriter(format string) (func(io.Writer, doctor.Report) error, error) {
	if e.json && format == "text" {
		format = "json"
	}
	switch format {
	case "text":
		return doctor.Text, nil
	case "json":
		return func(w io.Writer, r doctor.Report) error {
			r.LeftOut = orEmpty(r.LeftOut)
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(r)
		}, nil
	case "sarif":
		return doctor.SARIF, nil
	case "junit":
		return doctor.JUnit, nil
	case "html":
		return doctor.HTML, nil
	}
	return nil, usage(fmt.Errorf("there is no format %q", format), strings.Join(doctorFormats, ", "))
}

// reportTo is where the report goes. A file is made before anything is looked at: an hour's report is not lost for a
// name that is taken.
func (e *env) reportTo(file string) (io.Writer, func() error, error) {
	if file == "" {
		return e.Out, func() error { return nil }, nil
	}
	f, err := localfile.Create(file, 0o600)
	if err != nil {
		return nil, nil, usage(fmt.Errorf("writing the report: %w", err), "--out names a new file: nothing is "+
			"overwritten")
	}
	return f, f.Close, nil
}

// listedCheck is a line of --list.
type listedCheck struct {
	ID       string          `json:"id"`
	Severity doctor.Severity `json:"severity"`
	Title    string          `json:"title"`
	Asks     string          `json:"asks"`
	Guide    []string        `json:"guide"`
	Page     string          `json:"page"`
}

func (e *env) listChecks(checks []doctor.Check) error {
	list := make([]listedCheck, 0, len(checks))
	for i := range checks {
		c := &checks[i]
		list = append(list, listedCheck{c.ID, c.Severity, c.Title, c.Asks, orEmpty(c.Guide), doctor.PageOf(c.ID)})
	}
	return e.print(list, func(w io.Writer) error {
		for _, c := range list {
			if _, err := fmt.Fprintf(w, "%-18s  %-8s  %s\n", c.ID, c.Severity, c.Title); err != nil {
				return err
			}
		}
		return nil
	})
}

// doctorProgress is one line on a terminal that says which checks still run.
type doctorProgress struct{ w io.Writer } // nil: quiet

func newDoctorProgress(w io.Writer) *doctorProgress {
	if !isTerminal(w) {
		return &doctorProgress{}
	}
	return &doctorProgress{w: unwrapped(w)} // its own carriage return is meant; ids are ours
}

func (p *doctorProgress) show(done, of int, running []string) {
	if p.w != nil {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%d of %d checks; %s", done, of, strings.Join(running[:min(len(running), 4)],
			", "))
	}
}

func (p *doctorProgress) end() {
	if p.w != nil {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// errNoGate says that there is no data of a gate here.
func errNoGate(dir string) error {
	return fault.WithHint(fmt.Errorf("there is no gate's data at %q", dir),
		"run it where the gate runs, with its --config and --data")
}
