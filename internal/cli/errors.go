package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sallyport/internal/boundary/token"
	"sallyport/internal/config/wording"
	"sallyport/internal/fault"
)

var errInterrupted = errors.New("interrupted")

// complaint is an error as --json prints it, one line on standard error.
type complaint struct {
	Message string     `json:"message"` // of several lines where several things are wrong
	Hint    string     `json:"hint,omitempty"`
	Code    fault.Code `json:"code,omitempty"` // of docs/errors.md, where the gate's own table has one for it
	Exit    fault.Exit `json:"exit_code"`
}

// complain prints an error and what to do about it.
func (e *env) complain(err error) {
	if e.json {
		c := complaint{Message: messageOf(err), Hint: hintOf(err), Exit: fault.ExitOf(err)}
		if f, ok := errors.AsType[*fault.Fault](err); ok {
			c.Code = f.Code
		}
		_ = json.NewEncoder(e.Err).Encode(map[string]complaint{"error": c})
		return
	}
	if errors.Is(err, errInterrupted) {
		_, _ = fmt.Fprintln(e.Err, "sallyport: interrupted")
		return
	}
	for line := range strings.SplitSeq(messageOf(err), "\n") {
		_, _ = fmt.Fprintf(e.Err, "sallyport: error: %s\n", line)
	}
	if hint := hintOf(err); hint != "" {
		_, _ = cells(e.Err, "sallyport: hint: %s\n", hint) // one line, also if a name in it has others chosen
	}
}

// messageOf is what err says, each thing once: layers that wrap an error often say the same of it.
func messageOf(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		parts := strings.Split(line, ": ")
		for size := len(parts) / 2; size > 0; size-- {
			for at := 0; at+2*size <= len(parts); {
				if slices.Equal(parts[at:at+size], parts[at+size:at+2*size]) {
					parts = slices.Delete(parts, at, at+size)
					continue
				}
				at++
			}
		}
		lines[i] = strings.Join(parts, ": ")
	}
	return strings.Join(lines, "\n")
}

// hintOf is the hint that came with err, or what is known of the machine's own errors wherever they come from.
func hintOf(err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return hint
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free space on the disk that it is on"
	case errors.Is(err, syscall.EROFS):
		return "the file system is mounted read-only: name a place that can be written"
	case errors.Is(err, fs.ErrNotExist):
		return "check how it is spelt; a path that does not begin with / is taken from the folder that the command " +
			"is run in"
	case errors.Is(err, fs.ErrPermission):
		return "the user that runs this command must have the right to; `ls -l` shows who has"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open: raise the limit (ulimit -n)"
	}
	return ""
}

// note tells a person something beside the result.
func (e *env) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if e.json {
		_ = json.NewEncoder(e.Err).Encode(map[string]string{"note": text})
		return
	}
	_, _ = fmt.Fprintln(e.Err, "sallyport: "+text)
}

// asksForJSON tells whether --json is among the flags, which stand before "--".
func asksForJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

// usage is an error in how a command was called.
func usage(err error, hint string) error {
	return fault.WithExit(fault.WithHint(err, hint), fault.ExitUsage)
}

// usageErrors makes wrong arguments exit with 2, in every command.
func usageErrors(cmd *cobra.Command) {
	check := cmd.Args
	switch {
	case cmd.HasSubCommands():
		cmd.Args = noCommand
	case check != nil:
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := noSecret(args); err != nil && c.Name() != "run" {
				return err
			}
			if err := check(c, args); err != nil && fault.HintOf(err) != "" {
				return err
			} else if err != nil {
				return usage(miscounted(c, args), "usage: "+c.UseLine())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// noSecret refuses a proxy token among the arguments, and quotes it nowhere. (The program of run has arguments of its
// own.)
func noSecret(args []string) error {
	for _, arg := range args {
		if _, ok := token.Parse(strings.TrimSpace(arg)); ok {
			return usage(errors.New("an argument is a proxy token: other processes can read it there, and it is in "+
				"your shell's history now"),
				"name the token, or its id (the part between the two _ of spt_…_…); `sallyport token rotate "+
					"NAME` replaces it")
		}
	}
	return nil
}

// noCommand is the check of arguments of what only has commands below it: an argument is one that does not exist.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	err := fmt.Errorf("there is no command %q",
		strings.TrimPrefix(cmd.CommandPath()+" "+args[0], cmd.Root().Name()+" "))
	if meant := wording.Nearest(args[0], names); meant != "" {
		return usage(err, "did you mean `"+cmd.CommandPath()+" "+meant+"`?")
	}
	return usage(err, "`"+cmd.CommandPath()+" --help` lists the commands")
}

// wrongFlag tells what was wrong with a flag.
func wrongFlag(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if meant := wording.Nearest(unknown.GetSpecifiedName(), names); meant != "" &&
			unknown.GetSpecifiedShortnames() == "" {
			return usage(err, "did you mean --"+meant+"?")
		}
	}
	return usage(err, "`"+cmd.CommandPath()+" --help` shows the flags")
}
