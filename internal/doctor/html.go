package doctor

import (
	"crypto/sha256"
	_ "embed" // the report's form
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed report.html
var reportHTML string

//go:embed report.css
var reportCSS string

// HTML writes a report as evidence for people who were not there: what was asked, when, and what was seen. It is one
// file that loads nothing and runs nothing, and says so to the browser.
func HTML(w io.Writer, r Report) error {
	sum := sha256.Sum256([]byte(reportCSS))
	form, err := template.New("report").Funcs(template.FuncMap{
		"at":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"class": func(s Status) string { return strings.ReplaceAll(string(s), " ", "-") },
		"join":  strings.Join,
	}).Parse(reportHTML)
	if err != nil {
		return fmt.Errorf("reading the report's form: %w", err)
	}
	err = form.Execute(w, struct {
		Report

		Style  template.CSS
		Policy string
		Guide  []GuideLine
		Done   bool
	}{
		Report: r, Style: template.CSS(reportCSS), Guide: guideLines(r), //nolint:gosec // the file beside this one
		Policy: "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" +
			base64.StdEncoding.EncodeToString(sum[:]) + "'",
		Done: r.Fault() == nil,
	})
	if err != nil {
		return fmt.Errorf("writing the report as HTML: %w", err)
	}
	return nil
}
