package app

import (
	"context"
	"net"

	"sallyport/internal/localfile"
	"sallyport/internal/rotation/approval"
)

// personKey is where the context of a request over the control socket has the one who asks.
type personKey struct{}

// known puts who is at the other end of the control socket into the context of all that comes over it.
func known(ctx context.Context, conn net.Conn) context.Context {
	peer, err := localfile.PeerOf(conn)
	if err != nil {
		return ctx // who cannot be told approves of nothing
	}
	uid := peer.Person()
	return context.WithValue(ctx, personKey{}, approval.Person{
		UID: uid, Name: localfile.Name(uid), Login: peer.Login != localfile.NoLogin,
	})
}

// asker is who asks over the control socket. ok is false where the kernel does not say.
func asker(ctx context.Context) (p approval.Person, ok bool) {
	p, ok = ctx.Value(personKey{}).(approval.Person)
	return p, ok
}
