//go:build !linux

package cli_test

// followed needs Linux's namespaces; so does the test that calls it.
func followed([]string) int { return 1 }
