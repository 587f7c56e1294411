// Package envfile reads environment files (.env) as Compose does: NAME=value lines, comments, quotes.
//
// What Compose would fill in from elsewhere ($NAME) is not filled in but reported: the file does not hold the value
// then.
//
// Invariant: no error quotes a value.
package envfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sallyport/internal/secret"
)

// MaxSize is the size of the largest file that is read, in bytes.
const MaxSize = 4 << 20

// Variable is one assignment.
type Variable struct {
	Name        string
	Value       secret.Value
	First, Last int    // lines, from 1
	Problem     string // why the value cannot be taken from the file alone; "" when it can
}

var (
	nameForm  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	reference = regexp.MustCompile(`\$(\{|[A-Za-z_])`)
)

// Parse reads a file. When a name stands twice, both are returned; the last counts. An error names the line.
func Parse(src []byte) ([]Variable, error) {
	if len(src) > MaxSize {
		return nil, fmt.Errorf("the file is larger than %d MiB", MaxSize>>20)
	}
	p := &parser{rest: strings.ReplaceAll(string(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))), "\r\n", "\n")}
	var list []Variable
	for p.rest != "" {
		v, ok, err := p.line()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", p.number, err)
		}
		if ok {
			list = append(list, v)
		}
	}
	return list, nil
}

type parser struct {
	rest   string
	number int // of the line that was taken last
}

// take cuts the next line off.
func (p *parser) take() string {
	line, rest, _ := strings.Cut(p.rest, "\n")
	p.rest = rest
	p.number++
	return line
}

func (p *parser) line() (v Variable, ok bool, err error) {
	line := strings.TrimLeft(p.take(), " \t")
	if line == "" || line[0] == '#' {
		return v, false, nil
	}
	if rest, exported := strings.CutPrefix(line, "export "); exported {
		line = rest
	}
	name, value, assigned := strings.Cut(line, "=")
	v.Name, v.First = strings.TrimSpace(name), p.number
	if !nameForm.MatchString(v.Name) {
		return v, false, errors.New("want NAME=value, and a name of letters, digits and '_'")
	}
	if !assigned {
		return v, false, nil // taken over from the environment: nothing of it is in the file
	}
	text, literal, err := p.value(strings.TrimLeft(value, " \t"))
	if err != nil {
		return v, false, err
	}
	if !literal && reference.MatchString(text) {
		v.Problem = "it refers to another variable with $; put it in single quotes if it is meant as it stands"
	}
	if strings.ContainsRune(text, 0) {
		return v, false, errors.New("the value has a NUL byte, which no variable can")
	}
	v.Value, v.Last = secret.NewValue([]byte(text)), p.number
	return v, true, nil
}

// value reads a value that may go on over lines. literal tells that a $ in it is one.
func (p *parser) value(text string) (value string, literal bool, err error) {
	if text == "" {
		return "", true, nil
	}
	switch quote := text[0]; quote {
	case '\'', '"':
		value, err = p.quoted(text[1:], quote)
		return value, quote == '\'', err
	}
	for i := range len(text) {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			text = text[:i]
			break
		}
	}
	return strings.TrimRight(text, " \t"), false, nil
}

// quoted reads up to the closing quote.
func (p *parser) quoted(text string, quote byte) (string, error) {
	var b strings.Builder
	for {
		for i := 0; i < len(text); i++ {
			switch c := text[i]; {
			case c == quote:
				return b.String(), trailing(text[i+1:])
			case c == '\\' && quote == '"' && i+1 < len(text):
				i++
				b.WriteString(unescape(text[i]))
			default:
				b.WriteByte(c)
			}
		}
		if p.rest == "" {
			return "", errors.New("the closing quote is missing")
		}
		b.WriteByte('\n')
		text = p.take()
	}
}

func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '"', '\\', '$':
		return string(c)
	}
	return "\\" + string(c)
}

func trailing(text string) error {
	text = strings.TrimSpace(text)
	if text != "" && text[0] != '#' {
		return errors.New("there is something behind the closing quote")
	}
	return nil
}
