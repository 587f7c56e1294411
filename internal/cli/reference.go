package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"sallyport/internal/audit/sink"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
	"sallyport/internal/config/preset"
	"sallyport/internal/doctor"
	checklist "sallyport/internal/doctor/check"
	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/secret"
)

// reference prints the generated pages of docs/. It is for those who build Sallyport.
func (e *env) reference() *cobra.Command {
	return &cobra.Command{
		Use: "reference errors|configuration|credentials|cli|doctor|presets|fleet|metrics|stores|drivers|sinks|checks|man [DIR]",
		Short: "Print a generated page of the documentation, or write the pages of the stores, of the drivers, of " +
			"the sinks, of doctor's checks or the manual into a directory",
		Hidden: true,
		Args:   cobra.RangeArgs(1, 2),
		ValidArgs: []string{
			"errors", "configuration", "credentials", "cli", "doctor", "presets", "fleet", "metrics", "stores",
			"drivers", "sinks", "checks", "man",
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch many := slices.Contains([]string{"man", "stores", "drivers", "sinks", "checks"}, args[0]); {
			case many != (len(args) == 2):
				return usage(errors.New("a directory goes with man, stores, drivers, sinks and checks, and with "+
					"these only"),
					"usage: "+cmd.UseLine())
			case args[0] == "man":
				return manual(cmd.Root(), args[1])
			case args[0] == "stores":
				return storePages(e.kinds.Stores, args[1])
			case args[0] == "drivers":
				return driverPages(e.kinds.Drivers, args[1])
			case args[0] == "sinks":
				return sinkPages(e.kinds.Sinks, args[1])
			case args[0] == "checks":
				return checkPages(args[1])
			}
			page, err := e.page(cmd.Root(), args[0])
			if err != nil {
				return err
			}
			_, err = e.Out.Write(page)
			return err
		},
	}
}

func (e *env) page(root *cobra.Command, name string) ([]byte, error) {
	switch name {
	case "errors":
		return errorsPage(), nil
	case "configuration":
		return config.Reference(e.kinds), nil
	case "credentials":
		return credential.Page(e.kinds.Credentials), nil
	case "presets":
		return preset.Reference(e.kinds.ShowPreset)
	case "cli":
		return cliPage(root), nil
	case "doctor":
		return []byte(doctor.Index(checklist.All())), nil
	case "fleet":
		return fleetPage(e.kinds.Fleets), nil
	case "metrics":
		return monitor.Page(), nil
	}
	return nil, misnamed("page", name, "errors", "configuration", "credentials", "cli", "doctor", "presets",
		"fleet", "metrics", "stores", "drivers", "sinks", "checks", "man")
}

// storePages writes the page of each kind of store into a directory.
func storePages(kinds []secret.Kind, dir string) error {
	for _, kind := range kinds {
		if err := kindPage("internal/secret", kind.Name, kind.Page, dir); err != nil {
			return err
		}
	}
	return nil
}

// driverPages writes the page of each kind of driver into a directory.
func driverPages(kinds []driver.Kind, dir string) error {
	for _, kind := range kinds {
		if err := kindPage("internal/driver", kind.Name, kind.Page, dir); err != nil {
			return err
		}
	}
	return nil
}

// sinkPages writes the page of each kind of audit sink into a directory.
func sinkPages(kinds []sink.Kind, dir string) error {
	for _, kind := range kinds {
		if err := kindPage("internal/audit/sink", kind.Name, kind.Page, dir); err != nil {
			return err
		}
	}
	return nil
}

// checkPages writes the page of each of doctor's checks into a directory.
func checkPages(dir string) error {
	for _, c := range checklist.All() {
		if err := os.WriteFile(filepath.Join(dir, c.ID+".md"), []byte(c.Markdown()), 0o644); err != nil { //nolint:gosec // pages are for everybody
			return fmt.Errorf("writing the page of check %s: %w", c.ID, err)
		}
	}
	return nil
}

// kindPage writes the page of a kind, whose folder is in from, into a directory.
func kindPage(from, kind, text, dir string) error {
	title, rest, _ := strings.Cut(text, "\n")
	page := title + "\n\n<!-- Generated from " + from + "/" + kind + "/kind.md. Do not edit. -->\n" + rest
	if err := os.WriteFile(filepath.Join(dir, kind+".md"), []byte(page), 0o644); err != nil { //nolint:gosec // pages are for everybody
		return fmt.Errorf("writing the page of kind %s: %w", kind, err)
	}
	return nil
}

// manual writes a manual page (section 1) for each command into a directory.
func manual(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // manual pages are for everybody
		return fmt.Errorf("writing the manual pages: %w", err)
	}
	root.DisableAutoGenTag = true
	var built time.Time
	if at, err := time.Parse(time.RFC3339, stamped().Time); err == nil {
		built = at
	}
	return manualPages(root, dir, built)
}

// manualPages writes the page of a command and of all below it. They are of the day on which the commit was made; where
// that is not known they have no date, and never that of the build, which would make two builds of one commit differ.
func manualPages(cmd *cobra.Command, dir string, built time.Time) error {
	var page bytes.Buffer
	head := doc.GenManHeader{Section: "1", Source: "Sallyport " + Version(), Manual: "Sallyport", Date: &built}
	if err := doc.GenMan(cmd, &head, &page); err != nil {
		return fmt.Errorf("writing the manual pages: %w", err)
	}
	text := page.Bytes()
	if built.IsZero() {
		text = bytes.Replace(text, []byte(` "Jan 0001" `), []byte(` "" `), 1)
	}
	path := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
	if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // manual pages are for everybody
		return fmt.Errorf("writing the manual pages: %w", err)
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			if err := manualPages(sub, dir, built); err != nil {
				return err
			}
		}
	}
	return nil
}

const errorsHead = "# Errors\n\n" +
	"<!-- Generated from the table in internal/fault. Do not edit. -->\n\n" +
	"Every response carries `Proxy-Status` (RFC 9209). `Proxy-Status: sallyport; received-status=401` means that the " +
	"API said 401.\n" +
	"`Proxy-Status: sallyport; error=…` means that Sallyport answered; the body is then `application/problem+json` " +
	"(RFC 9457) with\n" +
	"`code`, `blame`, `message`, `hint` and `request_id`, and with `error: {message, type, code}`, which the SDKs in " +
	"n8n's AI nodes show (`type` is\n" +
	"always `sallyport_error`). An API cannot forge either: what it sends of them is removed.\n\n" +
	"A token that is missing or wrong is answered with 407. It is 401 where something stands in the place of the " +
	"API's own key (`Authorization`, the\n" +
	"service's header, parameter, cookie or path), be it a proxy token or another credential, and no " +
	"`Proxy-Authorization` is there: what sends that is a\n" +
	"client of the API, and many of those cannot read a 407 (`fetch` reports a network error).\n\n" +
	"The same code is the `outcome` label of the metrics and the `code` of audit records.\n\n"

func errorsPage() []byte {
	var b bytes.Buffer
	b.WriteString(errorsHead)
	b.WriteString("| code | to blame | status | Proxy-Status error | exit code |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range fault.Table() {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %d |\n", r.Code, r.Code, r.Blame, statusText(r),
			orDash(r.ProxyError), r.Exit)
	}
	for _, r := range fault.Table() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n**What to do:** %s.\n", r.Code, r.Meaning, strings.TrimSuffix(r.Hint, "."))
		if r.RetryAfter > 0 {
			fmt.Fprintf(&b, "\nWaiting helps: `Retry-After` is %s unless more is known.\n",
				counted(int(r.RetryAfter.Seconds()), "second"))
		}
	}
	b.WriteString("\n## Exit codes of commands\n\n| code | meaning |\n| --- | --- |\n")
	for _, line := range []string{
		"0 | done", "1 | an error", "2 | the command was called wrongly",
		"3 | the command found something (a damaged log, a refused call)",
		"10 | the store cannot be reached or opened", "11 | locked, or in progress elsewhere", "12 | key mismatch",
		"13 | done, but not confirmed by every replica: the error names those that have not, and until when they may " +
			"act by the old state",
		"14 | a rotation waits until people have approved of its plan; nothing was changed",
		"15 | a rotation was taken back: everything is as it was before",
		"16 | a rotation goes on only when a person has acted: the hint says how", "130 | interrupted",
	} {
		b.WriteString("| " + line + " |\n")
	}
	return b.Bytes()
}

func statusText(r fault.Row) string {
	switch slot := r.SlotStatus(); {
	case r.Status == 0:
		return "the API's own"
	case slot != r.Status:
		return fmt.Sprint(r.Status, " or ", slot)
	default:
		return fmt.Sprint(r.Status)
	}
}

func cliPage(root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString("# Commands\n\n<!-- Generated from the commands themselves. Do not edit. -->\n\n" +
		"Results go to standard output, with `--json` as one JSON value; everything else goes to standard error. No " +
		"command takes a secret\n" +
		"as an argument. Exit codes are listed in [errors.md](errors.md#exit-codes-of-commands).\n")
	commandPages(&b, root)
	return b.Bytes()
}

func commandPages(b *bytes.Buffer, cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	fmt.Fprintf(b, "\n## %s\n\n%s\n", cmd.CommandPath(), strings.TrimSpace(firstOf(cmd.Long, cmd.Short)))
	if cmd.Runnable() && !cmd.HasAvailableSubCommands() {
		fmt.Fprintf(b, "\n```\n%s\n```\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimLeft(cmd.Example, " "), "\n  ", "\n"))
	}
	if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(b, "\n```\n%s```\n", flags.FlagUsages())
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			commandPages(b, sub)
		}
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
