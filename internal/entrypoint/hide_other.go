//go:build !linux

package entrypoint

// hide is for Linux, where /proc tells the environment of a process to its user.
func hide(func(string, ...any)) {}
