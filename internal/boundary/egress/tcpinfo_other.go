//go:build !linux

package egress

import "syscall"

type tcpState struct {
	acked, received uint64
	closed          bool
}

func tcpInfo(syscall.RawConn) (state tcpState, ok bool) { return state, false }
