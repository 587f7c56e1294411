package httpdriver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/nesting"
)

// Parameter is what an operator sets for a definition's calls.
type Parameter struct {
	Doc      string `yaml:"doc"` // one sentence
	Eg       string `yaml:"eg"`
	Kind     string `yaml:"kind"`     // text, list, number, bool, duration, json or path; "" is text
	Default  string `yaml:"default"`  // absent: it has to be set, unless it is optional
	Optional bool   `yaml:"optional"` // without a value, what it stands in alone is left out
}

// The kinds of parameters.
const (
	kindText     = "text"
	kindList     = "list"     // texts, separated by commas
	kindNumber   = "number"   // a whole one
	kindBool     = "bool"     // true or false
	kindDuration = "duration" // as in 90d or 12h, from now on
	kindJSON     = "json"     // any JSON
	kindPath     = "path"     // segments of a path
)

var (
	nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)
	pathForm = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)
	taken    = []string{"label", "rotation", "run", "old_key", "key", "value", "current"}
)

func (p Parameter) check(name string) error {
	switch {
	case !nameForm.MatchString(name) || slices.Contains(taken, name):
		return fmt.Errorf("parameters: %q is not a name for one, or means something already", name)
	case p.Doc == "":
		return fmt.Errorf("parameters.%s has no doc", name)
	case p.Default != "" && p.Optional:
		return fmt.Errorf("parameters.%s has a default and is optional", name)
	}
	for _, text := range []string{p.Default, p.Eg} {
		if text != "" {
			if _, err := p.read(text); err != nil {
				return fmt.Errorf("parameters.%s: its default or example %w", name, err)
			}
		}
	}
	kinds := []string{"", kindText, kindList, kindNumber, kindBool, kindDuration, kindJSON, kindPath}
	if !slices.Contains(kinds, p.Kind) {
		return fmt.Errorf("parameters.%s has no kind that there is", name)
	}
	return nil
}

const maxParameter = 16 << 10

// read reads a value as it is written in the configuration. The error goes on after the parameter's name.
func (p Parameter) read(text string) (any, error) {
	control := func(r rune) bool { return r < ' ' && (r != '\n' || p.Kind != kindJSON) || r == 0x7f }
	if len(text) > maxParameter || strings.ContainsFunc(text, control) {
		return nil, errors.New("is too long, or has control characters")
	}
	switch p.Kind {
	case kindList:
		var list []string
		for one := range strings.SplitSeq(text, ",") {
			if one = strings.TrimSpace(one); one == "" {
				return nil, errors.New("is not a list of texts, separated by commas")
			}
			list = append(list, one)
		}
		return list, nil
	case kindNumber:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errors.New("is not a whole number")
		}
		return n, nil
	case kindBool:
		if text != "true" && text != "false" {
			return nil, errors.New("is neither true nor false")
		}
		return text == "true", nil
	case kindDuration:
		return readDuration(text)
	case kindJSON:
		return readJSON(text)
	case kindPath:
		if !pathForm.MatchString(text) {
			return nil, errors.New("is not a part of a path, such as accounts/abc")
		}
	}
	if text == "" {
		return nil, errors.New("is empty")
	}
	return text, nil
}

func readDuration(text string) (any, error) {
	days, inDays := strings.CutSuffix(text, "d")
	n, err := strconv.Atoi(days)
	d := time.Duration(n) * 24 * time.Hour
	if !inDays {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d < time.Minute || n > 36500 {
		return nil, errors.New("is not a duration of a minute or more, such as 90d or 12h")
	}
	return d, nil
}

func readJSON(text string) (any, error) {
	if nesting.Check([]byte(text)) != nil {
		return nil, errors.New("is nested too deep")
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var tree any
	if d.Decode(&tree) != nil || d.More() {
		return nil, errors.New("is not JSON")
	}
	return tree, nil
}

// problem is what is wrong with a parameter.
type problem struct{ key, message, hint string }

// parameters reads what the operator has set.
func (d *Definition) parameters(set map[string]string) (values map[string]any, wrong []problem) {
	values = make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if _, known := d.Parameters[name]; !known {
			wrong = append(wrong, problem{
				"parameters." + name, "is not a parameter of this API", "it has " + d.parameterNames(),
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
		p := d.Parameters[name]
		text, there := set[name]
		if !there {
			text = p.Default
		}
		if text == "" && !there {
			if !p.Optional {
				wrong = append(wrong, problem{
					"parameters", "has no " + name, "write " + name + ": " + p.Eg + "; " + p.Doc,
				})
			}
			continue
		}
		value, err := p.read(text)
		if err != nil {
			wrong = append(wrong, problem{"parameters." + name, err.Error(), "write it as " + p.Eg})
			continue
		}
		values[name] = value
	}
	return values, wrong
}

func (d *Definition) parameterNames() string {
	if len(d.Parameters) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(d.Parameters)), ", ")
}
