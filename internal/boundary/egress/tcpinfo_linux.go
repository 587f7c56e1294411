package egress

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpState is what the kernel says of a connection (tcp(7), TCP_INFO; RFC 4898 section 4 names the counters).
type tcpState struct {
	acked    uint64 // bytes of ours that the peer has acknowledged, the SYN among them
	received uint64 // bytes of the peer's that came in order, its FIN among them
	closed   bool   // both ways; before we close it that is by a RST or by errors
}

func tcpInfo(raw syscall.RawConn) (state tcpState, ok bool) {
	const stateClose = 7 // TCP_CLOSE of linux/tcp_states.h
	err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.Bytes_acked == 0 { // before Linux 4.1 there are no counters
			return
		}
		state, ok = tcpState{
			acked: info.Bytes_acked, received: info.Bytes_received,
			closed: info.State == stateClose,
		}, true
	})
	return state, ok && err == nil
}
