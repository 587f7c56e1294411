package config

import (
	"sallyport/internal/config/finding"
	"sallyport/internal/config/notation"
)

// What kinds declare their settings with, and readers of a configuration meet in it. How each is written is package
// notation's.
type (
	// Text is a value that may be secret or not: written as it is, or a reference.
	Text = notation.Text
	// Size is a number of bytes.
	Size = notation.Size
	// Rate is a number of requests in a time.
	Rate = notation.Rate
	// Rule is one line of a service's allow list.
	Rule = notation.Rule
)

// What a load says. Package finding has it.
type (
	// Error is one thing that is wrong, and where.
	Error = finding.Error
	// Errors is everything that is wrong with a configuration, by file and line.
	Errors = finding.Errors //nolint:errname // the alias of a list of errors
	// Warnings is what works and should not stay, by file and line.
	Warnings = finding.Warnings
)
