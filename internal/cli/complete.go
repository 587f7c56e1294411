package cli

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/preset"
)

// completer lists the words that can stand in one place of a command line.
type completer func(ctx context.Context, e *env) []string

// The words of a place in a command's usage line, and of a flag: of one command's (COMMAND FLAG), or of every command's
// that has it. A command that takes a NAME says in nameOf what it names.
var (
	wordsOf = map[string]completer{
		"METHOD": methods, "WORD": presetNames,
	}
	nameOf = map[string]completer{
		"secret": secretNames, "token": tokenNames, "rotation": tokenNames, "service": serviceNames,
		"fleet": fleetNames,
	}
	flagWords = map[string]completer{
		"store": storeNames, "services": serviceNames, "service": serviceNames, "token": tokenNames, "methods": methods,
		"push": fixed("n8n"), "role": fixed("main", "webhook", "worker"),
		"with-key":       fixed("auto", "host", "tpm2", "host+tpm2"),
		"install target": fixed(slices.Sorted(maps.Keys(installTargets()))...),
		"import from":    fixed("env-file", "n8n", "store"),
		"run files":      fixed(filesN8N, filesNone),
	}
)

// completions gives every command below cmd the words that a shell may offer.
func (e *env) completions(cmd *cobra.Command) {
	if !cmd.HasSubCommands() && cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
		places := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(cmd.Use))[1:]
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, start string) ([]string,
			cobra.ShellCompDirective,
		) {
			if len(args) >= len(places) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			place, _, _ := strings.Cut(places[len(args)], "|")
			words := wordsOf[place]
			if place == "NAME" {
				words = nameOf[cmd.Parent().Name()]
			}
			if words == nil {
				return nil, cobra.ShellCompDirectiveDefault // a file, or the shell's own
			}
			return e.offer(cmd.Context(), words, start), cobra.ShellCompDirectiveNoFileComp
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		words := flagWords[cmd.Name()+" "+f.Name]
		if words == nil {
			words = flagWords[f.Name]
		}
		if words == nil {
			return
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, func(cmd *cobra.Command, _ []string, start string) ([]string,
			cobra.ShellCompDirective,
		) {
			return e.offer(cmd.Context(), words, start), cobra.ShellCompDirectiveNoFileComp
		})
	})
	for _, sub := range cmd.Commands() {
		e.completions(sub)
	}
}

// completionPatience bounds how long a shell waits for words.
const completionPatience = 2 * time.Second

// offer are the words that begin with start; of a list with commas, with what stands before it, and without the words
// that are in it. A shell obeys what it is given, so a word that it would not take for one argument, and for nothing
// else, is left out: several words that begin alike it completes without quotes.
func (e *env) offer(ctx context.Context, words completer, start string) []string {
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	quiet := &env{
		Streams:    Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard},
		configPath: e.configPath, data: e.data, kinds: e.kinds,
	}
	before := start[:strings.LastIndexByte(start, ',')+1]
	given := strings.Split(before, ",")
	var offered []string
	for _, word := range words(ctx, quiet) {
		if slices.Contains(given, word) {
			continue
		}
		if strings.HasPrefix(before+word, start) && !strings.HasPrefix(word, "-") &&
			!strings.ContainsFunc(word, obeyed) {
			offered = append(offered, before+word)
		}
	}
	return offered
}

// obeyed tells the characters that mean something else to a shell than themselves.
func obeyed(r rune) bool {
	return !unicode.IsPrint(r) || strings.ContainsRune(" !\"#$&'()*;<>?[\\]^`{|}~", r)
}

func fixed(words ...string) completer {
	return func(context.Context, *env) []string { return words }
}

func methods(context.Context, *env) []string { return notation.Methods() }

func serviceNames(_ context.Context, e *env) []string {
	c, _, err := e.load()
	if err != nil {
		return nil
	}
	return c.ServiceNames()
}

func fleetNames(_ context.Context, e *env) []string {
	c, _, err := e.loadBy(config.LoadHead)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.Fleets))
}

func storeNames(_ context.Context, e *env) []string {
	c, _, err := e.loadBy(config.LoadHead)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.StoreSet()))
}

func secretNames(ctx context.Context, e *env) []string {
	c, _, err := e.loadBy(config.LoadHead)
	if err != nil {
		return nil
	}
	names, _ := app.NamesOf(ctx, c)
	return names.Secrets
}

// tokenNames are those of the database and of the configuration.
func tokenNames(ctx context.Context, e *env) []string {
	c, _, err := e.load()
	if err != nil {
		return nil
	}
	names, _ := app.NamesOf(ctx, c)
	all := slices.Concat(names.Tokens, slices.Collect(maps.Keys(c.Tokens)))
	slices.Sort(all)
	return slices.Compact(all)
}

func presetNames(context.Context, *env) (names []string) {
	for _, p := range preset.All() {
		names = append(names, p.Name)
	}
	return names
}
