package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/internal/config/wording"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// meant puts the nearest of what exists before the hint of err, which says that got does not.
func meant(err error, got string, names []string) error {
	near := wording.Nearest(got, names)
	if near == "" || near == got {
		return err
	}
	hint := fmt.Sprintf("did you mean %q?", near)
	if next := fault.HintOf(err); next != "" {
		hint += " " + next
	}
	return fault.WithHint(err, hint)
}

// meantToken is meant for an error about a token, which says nothing of the sort where the token exists.
func (e *env) meantToken(ctx context.Context, err error, got string) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return meant(err, got, e.names(ctx, tokenNames))
}

// meantSecret is meant for an error of the builtin store: asking another one for its names can take long, and is on its
// record.
func (e *env) meantSecret(ctx context.Context, err error, got string) error {
	if !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	return meant(err, got, e.names(ctx, secretNames))
}

// names are the words of a completer, for an error: nothing is said when they cannot be read.
func (e *env) names(ctx context.Context, of completer) []string {
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	return of(ctx, e)
}

// miscounted says what is missing of the arguments that cmd's usage line names, or how many are too many. It quotes no
// argument: one can be a secret.
func miscounted(cmd *cobra.Command, args []string) error {
	var places []string
	needed, flag := 0, false
	for _, word := range strings.Fields(cmd.Use)[1:] {
		switch {
		case flag: // the value of the flag before it
			flag = false
		case strings.HasPrefix(word, "--"):
			flag = true
		case strings.HasPrefix(word, "["):
			places = append(places, word)
		default:
			places = append(places, word)
			needed = len(places)
		}
	}
	if len(args) < needed {
		missing, verb := places[len(args):needed], "is"
		if len(missing) > 1 {
			verb = "are"
		}
		return fmt.Errorf("%s %s missing", strings.Join(missing, " and "), verb)
	}
	takes := "none"
	if len(places) > 0 {
		takes = strings.Join(places, " ")
	}
	path := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
	return fmt.Errorf("too many arguments: %q takes %s, and was given %d", path, takes, len(args))
}

// misnamed refuses the value of a flag or an argument that is one of a few words.
func misnamed(what, got string, words ...string) error {
	hint := "it is one of " + strings.Join(words, ", ")
	if got == "" {
		return usage(fmt.Errorf("%s is missing", what), hint)
	}
	err := fmt.Errorf("there is no %s %q", what, got)
	if slices.Contains(words, got) {
		return usage(err, hint)
	}
	return meant(usage(err, hint), got, words)
}
