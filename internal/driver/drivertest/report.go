package drivertest

import (
	"net/url"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

// Report keeps what Check finds wrong with settings, as message and hint, by key. What it has of addresses, files and
// variables is the configuration's to say, and is not kept.
type Report struct {
	secret.Report
	Failed, Warned map[string]string
}

// Check has settings report.
func Check(s driver.Settings) Report {
	r := Report{Failed: make(map[string]string), Warned: make(map[string]string)}
	s.Check(r)
	return r
}

// Fail implements secret.Report.
func (r Report) Fail(key, message, hint string) { r.Failed[key] = message + "; " + hint }

// Warn implements secret.Report.
func (r Report) Warn(key, message, hint string) { r.Warned[key] = message + "; " + hint }

// Address implements secret.Report.
func (Report) Address(string, string, string) {}

// Certificates implements secret.Report.
func (Report) Certificates(string, string) {}

// Plain implements secret.Report.
func (Report) Plain(string, *url.URL) {}
