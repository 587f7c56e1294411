package architecture_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const thisFile = "internal/architecture/docs_test.go"

// sources are the texts of the tree by their path below its top: Markdown and Go.
func sources(t *testing.T) map[string]string {
	t.Helper()
	return textsOf(t, ".md", ".go")
}

// textsOf are the files of the tree that end in one of these, by their path below its top.
func textsOf(t *testing.T, extensions ...string) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	err := fs.WalkDir(os.DirFS("../.."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || !slices.Contains(extensions, path.Ext(name)):
			return nil
		}
		text, err := os.ReadFile(filepath.Join("../..", name))
		texts[name] = string(text)
		return err
	})
	if err != nil || len(texts) < 500 {
		t.Fatalf("found %d files: %v", len(texts), err)
	}
	return texts
}

// TestLinks: each link of a page leads to a file or folder of the tree, and its anchor to a heading there; each page
// that a comment or a string of the program names is there too.
func TestLinks(t *testing.T) {
	texts := sources(t)
	found := 0
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if name == thisFile || path.Base(name) == "kind.md" || path.Base(name) == "page.md" ||
			path.Dir(name) == "internal/doctor/check" {
			continue // it has made-up ones; those of a kind or a check count from docs, where its page is
		}
		if path.Ext(name) == ".go" {
			for _, page := range namedPages.FindAllString(texts[name], -1) {
				if found++; texts[page] == "" {
					t.Errorf("%s names %s, which is not there", name, page)
				}
			}
			continue
		}
		for _, link := range linksIn(texts[name]) {
			found++
			if why := dead(texts, name, link); why != "" {
				t.Errorf("%s links to %s: %s", name, link, why)
			}
		}
	}
	if found < 200 {
		t.Errorf("found %d links", found)
	}
}

var namedPages = regexp.MustCompile(`\bdocs/[\w./-]*\w\.md\b`)

// TestDead holds the check itself to made-up pages.
func TestDead(t *testing.T) {
	texts := map[string]string{
		"docs/a.md": "# One `key`: with (signs)\n\n## Twice\n\n## Twice\n\n```sh\n# no heading\n```\n\n[b](b.md) `[no](link.md)`\n", "docs/b.md": "# B\n",
	}
	for link, live := range map[string]bool{
		"b.md": true, "#one-key-with-signs": true, "#twice": true, "#twice-1": true, "a.md#twice": true, "../docs/b.md#b": true,
		"https://example.com/": true, "../internal/": true,
		"c.md": false, "#no-heading": false, "#twice-2": false, "b.md#c": false, "../b.md": false, "../../../b.md": false,
	} {
		if why := dead(texts, "docs/a.md", link); live != (why == "") {
			t.Errorf("%s: got %q", link, why)
		}
	}
	if got := linksIn(texts["docs/a.md"]); !slices.Equal(got, []string{"b.md"}) {
		t.Errorf("found %q", got)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span    = regexp.MustCompile("`[^`\n]*`")
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.*)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

func linksIn(page string) (links []string) {
	for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(fenced.ReplaceAllString(page, ""), ""), -1) {
		links = append(links, m[1])
	}
	return links
}

// dead says why a link of a page leads nowhere; "" when it leads somewhere, or out of the tree to another host.
func dead(texts map[string]string, page, link string) string {
	if strings.Contains(link, "://") {
		return ""
	}
	file, anchor, _ := strings.Cut(link, "#")
	target := page
	if file != "" {
		target = path.Join(path.Dir(page), file)
	}
	switch {
	case strings.HasPrefix(target, ".."):
		return "it leads out of the tree"
	case anchor != "":
		if texts[target] == "" {
			return "there is no such page"
		}
		if !slices.Contains(anchors(texts[target]), anchor) {
			return "the page has no such heading"
		}
	case texts[target] == "":
		if _, err := os.Stat(filepath.Join("../..", target)); err != nil {
			return "there is no such file"
		}
	}
	return ""
}

// anchors are those that GitHub makes of a page's headings.
func anchors(page string) (list []string) {
	times := make(map[string]int)
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		title := link.ReplaceAllString(m[1], "")
		slug := strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
		if n := times[slug]; n > 0 {
			list = append(list, fmt.Sprintf("%s-%d", slug, n))
		} else {
			list = append(list, slug)
		}
		times[slug]++
	}
	return list
}

// TestStoreErrors: the errors for which the pages of the stores have a remedy are those that the program has.
func TestStoreErrors(t *testing.T) {
	texts := sources(t)
	var program strings.Builder
	for name, text := range texts {
		if strings.HasPrefix(name, "internal/secret/") && path.Ext(name) == ".go" &&
			!strings.HasSuffix(name, "_test.go") {
			program.WriteString(text)
		}
	}
	found := 0
	for name, text := range texts {
		_, table, there := strings.Cut(text, "\n## When it fails\n")
		if !there || !strings.HasPrefix(name, "docs/stores/") {
			continue
		}
		for _, row := range tableRow.FindAllStringSubmatch(table, -1) {
			for _, words := range betweenWords.Split(row[1], -1) {
				if words = strings.TrimSpace(words); !strings.Contains(words, " ") || theirs.MatchString(words) {
					continue // a word alone may be a name, and a status is the provider's
				}
				if found++; !strings.Contains(program.String(), words) {
					t.Errorf("%s has a remedy for %q, and the program has no such error", name, words)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("found %d errors", found)
	}
}

var (
	tableRow = regexp.MustCompile(`(?m)^\| (.+?) \| .* \|$`)
	// betweenWords is what stands in a message for something else, or joins it to another one.
	betweenWords = regexp.MustCompile("[…`,;:()\"]| N\\b|NAME|_vN|\\bID\\b|\\d+s| to get | on ")
	theirs       = regexp.MustCompile(`^\d{3} `)
)

// TestMetricsAreInTheDocs: no page has a metric that docs/metrics.md does not have, which is made from the metrics.
func TestMetricsAreInTheDocs(t *testing.T) {
	texts := sources(t)
	metrics := make(map[string]bool)
	for _, m := range namedMetric.FindAllStringSubmatch(texts["docs/metrics.md"], -1) {
		metrics[m[1]] = true
	}
	if len(metrics) < 30 {
		t.Errorf("found %d metrics", len(metrics))
	}
	for page, text := range texts {
		if path.Ext(page) != ".md" {
			continue
		}
		for _, m := range namedMetric.FindAllStringSubmatch(text, -1) {
			// a type of error, a table
			if other := m[1] == "sallyport_error" || m[1] == "sallyport_schema"; !metrics[m[1]] && !other {
				t.Errorf("%s has %s, which is no metric", page, m[1])
			}
		}
	}
}

var namedMetric = regexp.MustCompile("`(sallyport_[a-z_]+)[`{ ]")

// TestNamedFlags: every flag that a page gives to one of our commands is one of docs/cli.md, which is made from the
// commands.
func TestNamedFlags(t *testing.T) {
	texts := sources(t)
	found := 0
	for page, text := range texts {
		if path.Ext(page) != ".md" || page == "docs/cli.md" {
			continue
		}
		for _, call := range ourCommand.FindAllString(text, -1) {
			call, _, _ = strings.Cut(call, " -- ") // what comes then is another program's
			for _, flag := range namedFlag.FindAllString(call, -1) {
				if found++; !strings.Contains(texts["docs/cli.md"], "  "+strings.TrimSpace(flag)+" ") &&
					!strings.Contains(texts["docs/cli.md"], ", "+strings.TrimSpace(flag)+" ") {
					t.Errorf("%s: %q: there is no flag%s", page, call, flag)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("found %d flags", found)
	}
}

var (
	ourCommand = regexp.MustCompile("\\bsallyport [a-z][^\n`]*")
	namedFlag  = regexp.MustCompile(` --[a-z][a-z-]+`)
)

// TestPresetsAreCounted: the README has the numbers that docs/presets.md counts.
func TestPresetsAreCounted(t *testing.T) {
	texts := sources(t)
	counted := regexp.MustCompile(
		`There are (\d+) presets\. n8n ([\d.]+) has (\d+) types of credential; (\d+) of them`).FindStringSubmatch(
		texts["docs/presets.md"])
	if counted == nil {
		t.Fatal("docs/presets.md counts nothing")
	}
	want := fmt.Sprintf("**%s presets** ([docs/presets.md](docs/presets.md)), for %s of the %s credential types of "+
		"n8n %s", counted[1], counted[4], counted[3], counted[2])
	if !strings.Contains(texts["README.md"], want) {
		t.Errorf("README.md does not say %q", want)
	}
}
