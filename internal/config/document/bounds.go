package document

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
)

// MaxBytes is how long a file may be.
const MaxBytes = 4 << 20

// Further bounds of one file. The YAML parser's time grows with the square of the lines, and its stack with the
// nesting.
const (
	maxLines   = 20_000
	maxLine    = 16 << 10
	maxNesting = 100
	maxNodes   = 200_000 // after aliases are expanded
)

// checkText refuses what no parser should see.
func checkText(file string, src []byte, rep *finding.Report) bool {
	top := place.Position{File: file, Line: 1, Col: 1}
	if len(src) > MaxBytes {
		rep.Fail(top, "the file is larger than 4 MiB", "split it over services.d/*.yaml")
		return false
	}
	if bytes.Count(src, []byte("\n")) >= maxLines {
		rep.Fail(top, fmt.Sprintf("the file has more than %d lines", maxLines), "split it over services.d/*.yaml")
		return false
	}
	depth, number := 0, 0
	for line := range bytes.Lines(src) {
		number++
		at := place.Position{File: file, Line: number, Col: 1}
		if problem, col := checkLine(line, &depth); problem != "" {
			at.Col = col
			rep.Fail(at, problem, hintOf(problem))
			return false
		}
	}
	return true
}

const (
	textNotUTF8 = "the file is not valid UTF-8"
	textControl = "there is a control character here"
	textTab     = "there is a tab in the indentation"
	textLong    = "the line is longer than 16 KiB"
	textDeep    = "the nesting is deeper than 100 levels"
)

func hintOf(problem string) string {
	switch problem {
	case textNotUTF8:
		return "save it as UTF-8"
	case textTab:
		return "YAML is indented by blanks"
	}
	return ""
}

// checkLine returns what is wrong with a line, and the column. Depth counts brackets roughly, also those inside
// strings.
func checkLine(line []byte, depth *int) (problem string, col int) {
	switch {
	case len(line) > maxLine:
		return textLong, 1
	case !utf8.Valid(line):
		return textNotUTF8, firstInvalid(line)
	}
	indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
	if i := bytes.IndexByte(indent, '\t'); i >= 0 && len(bytes.TrimSpace(line)) > 0 {
		return textTab, i + 1
	}
	marks := 0
	for i, c := range line {
		switch c {
		case '[', '{':
			*depth++
		case ']', '}':
			*depth = max(0, *depth-1)
		case '-', '?', '!', '&':
			marks++
		case '\t', '\n', '\r':
		default:
			if c < ' ' || c == 0x7f {
				return textControl, utf8.RuneCount(line[:i]) + 1
			}
		}
		if *depth > maxNesting || (marks > maxNesting && isIndicators(line)) {
			return textDeep, utf8.RuneCount(line[:i]) + 1
		}
	}
	return "", 0
}

// isIndicators tells a line that begins with nothing but nested block indicators ("- - - - …").
func isIndicators(line []byte) bool {
	return len(line) > maxNesting && len(bytes.Trim(line[:maxNesting], "-?!& ")) == 0
}

func firstInvalid(line []byte) int {
	col := 1
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		if r == utf8.RuneError && n == 1 {
			return col
		}
		line, col = line[n:], col+1
	}
	return 1
}
