//go:build !unix

package wire

import "net"

// waiter reads from a socket. It holds a buffer while it waits where the system has no other way.
type waiter struct{}

func (*waiter) read(c net.Conn) (b *[]byte, n int, err error) { return readWhole(c) }
