// Command changelog keeps CHANGELOG.md by fragments: each change that a user notices brings a small file under
// changelog/, so that two changes never meet in one list.
//
//	go run ./tools/changelog                         print what the next release will say
//	go run ./tools/changelog check                   hold the fragments to their shape
//	go run ./tools/changelog release v1.2.0 2027-01-31
//
// release writes the fragments into CHANGELOG.md, under the version, and removes them.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"
)

func main() {
	if err := run(".", os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "changelog: error:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: changelog [check | release vX.Y.Z YYYY-MM-DD]")

func run(root string, args []string, stdout io.Writer) error {
	fragments, err := load(root)
	switch {
	case err != nil:
		return err
	case len(args) == 0:
		_, err := io.WriteString(stdout, join(fragments))
		return err
	case len(args) == 1 && args[0] == "check":
		_, err := fmt.Fprintf(stdout, "%d fragments\n", len(fragments))
		return err
	case len(args) == 3 && args[0] == "release":
		return release(root, fragments, args[1], args[2])
	}
	return errUsage
}

var version = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func release(root string, fragments []fragment, name, date string) error {
	if _, err := time.Parse(time.DateOnly, date); err != nil || !version.MatchString(name) {
		return errUsage
	}
	if len(fragments) == 0 {
		return errors.New("there is no fragment to release")
	}
	return write(root, fragments, fmt.Sprintf("## %s (%s)\n\n", name, date)+join(fragments))
}
