package egress_test

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

// TestMachineIsToBlame: what the machine beneath the gate refuses says nothing of the API, in every phase of a call.
func TestMachineIsToBlame(t *testing.T) {
	v4 := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}
	dial := func(errno syscall.Errno) error {
		return egress.DialError(&net.OpError{
			Op: "dial", Net: "tcp", Addr: v4,
			Err: os.NewSyscallError("connect", errno),
		})
	}
	tests := map[string]struct {
		err     error
		details string
	}{
		"descriptors":                {dial(syscall.EMFILE), "out of file descriptors"},
		"descriptors of the machine": {dial(syscall.ENFILE), "out of file descriptors"},
		"buffers":                    {dial(syscall.ENOBUFS), "out of buffers"},
		"memory":                     {dial(syscall.ENOMEM), "out of memory"},
		"ports":                      {dial(syscall.EADDRNOTAVAIL), "out of ports"},
		"ports, bound":               {dial(syscall.EADDRINUSE), "out of ports"},
		"for the moment":             {dial(syscall.EAGAIN), "out of resources"},
		"a firewall":                 {dial(syscall.EPERM), "not permitted"},
		"a sandbox":                  {dial(syscall.EACCES), "not permitted"},
		"look-up":                    {egress.DialError(&net.DNSError{Err: "dial udp 127.0.0.53:53: socket: too many open files", Name: "x.example"}), "out of file descriptors"},
		"writing":                    {&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ENOBUFS)}, "out of buffers"},
		"reading":                    {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ENOMEM)}, "out of memory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, got := range []*fault.Fault{egress.Classify(tt.err), egress.ClassifyBody(tt.err)} {
				wantFault(t, got, fault.SystemRefused, tt.details)
				if got.Row().Blame != fault.BlameSallyport {
					t.Errorf("blames %s", got.Row().Blame)
				}
			}
		})
	}
}

// TestOutOfDescriptors has a real process without any left.
func TestOutOfDescriptors(t *testing.T) {
	byName := transport(t, "http://api.sallyport.test:80", nil)
	byAddress := transport(t, "http://127.0.0.1:1", nil)
	give := exhaust(t)
	_, named := get(t, byName, "http://api.sallyport.test:80")
	_, addressed := get(t, byAddress, "http://127.0.0.1:1")
	f, g := egress.Classify(named), egress.Classify(addressed)
	give()
	wantFault(t, f, fault.SystemRefused, "out of file descriptors")
	wantFault(t, g, fault.SystemRefused, "out of file descriptors")
	_, addressed = get(t, byAddress, "http://127.0.0.1:1")
	wantFault(t, egress.Classify(addressed), fault.UpstreamRefused, "refused") // with descriptors again
}

// exhaust takes every file descriptor of this process until the function that it returns is called.
func exhaust(t *testing.T) (give func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	low := before
	low.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		taken = append(taken, f)
	}
	return func() {
		for _, f := range taken {
			_ = f.Close()
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
}

// TestHintsNameWhereTheHostCameFrom: a person who wrote `preset: openai` has no `upstream` to look at.
func TestHintsNameWhereTheHostCameFrom(t *testing.T) {
	closed := "127.0.0.1:1"
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}}
	for _, named := range []string{"", "the preset `openai`"} {
		want := named
		if named == "" {
			want = "`upstream` of the service"
		}
		tr := transport(t, "http://"+closed, func(o *egress.Options) { o.Named = named })
		_, err := get(t, tr, "http://"+closed)
		if got := egress.Classify(err); !strings.Contains(got.Hint, want) || named != "" &&
			strings.Contains(got.Hint, "upstream") {
			t.Errorf("%q: the hint is %q", named, got.Hint)
		}
		lost := transport(t, "http://no-such-host.example:80", func(o *egress.Options) {
			o.Named, o.Resolver = named, resolver
		})
		_, err = get(t, lost, "http://no-such-host.example:80")
		got := egress.Classify(err)
		wantFault(t, got, fault.UpstreamDNS, "dns")
		if !strings.Contains(got.Message, `"no-such-host.example"`) ||
			strings.Contains(got.Message+got.Hint, "upstream") {
			t.Errorf("%q: says %q with hint %q", named, got.Message, got.Hint)
		}
		notFound := egress.Classify(egress.DialErrorTo(named,
			&net.DNSError{Err: "no such host", Name: "no-such-host.example", IsNotFound: true}))
		if !strings.Contains(notFound.Message, `"no-such-host.example"`) || named != "" &&
			strings.Contains(notFound.Hint, "upstream") {
			t.Errorf("%q: says %q with hint %q", named, notFound.Message, notFound.Hint)
		}
	}
}
