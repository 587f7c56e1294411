package entrypoint

import "syscall"

// prSetDumpable is PR_SET_DUMPABLE of prctl(2).
const prSetDumpable = 4

// hide keeps the program, which runs beside this process and as the same user, from reading its environment and memory
// through /proc: the stores' credentials are in both. There are no core dumps of it either.
func hide(note func(string, ...any)) {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); errno != 0 {
		note("warning: this process cannot be hidden from the program that it runs: %v", errno)
	}
}
