package wire

import (
	"bytes"
	"strconv"
)

const (
	maxChunkLine = 32
	maxHeaders   = 200
)

// framing is what a checked head says of the body that follows it.
type framing struct {
	chunked bool
	length  int64
	names   string // see Conn.Names
}

// headFields counts the fields that must stand alone.
type headFields struct {
	host, contentLength, transferEncoding int
	framing
	http10 bool
	names  []byte
}

// earlyViolation finds what can be refused before the head is complete, so that nobody waits for an end that does not
// come.
// What lies before from was searched already.
func earlyViolation(head []byte, from int) string {
	if !isToken(head[:1]) {
		return notHTTP(head)
	}
	for at := from; ; at++ {
		i := bytes.IndexByte(head[at:], '\n')
		if i < 0 {
			return ""
		}
		if at += i; head[at-1] != '\r' {
			return "a line ends with a bare LF"
		}
		if bytes.IndexByte(head[:at], '\n') >= 0 {
			continue
		}
		if _, why := checkRequestLine(head[:at-1]); why != "" {
			return why
		}
	}
}

// notHTTP says what a head is that does not begin with a method, or "" while more of it has to come.
func notHTTP(head []byte) string {
	const hello = "it is a TLS handshake, and this address speaks plain HTTP; the URL has to begin with http://, or " +
		"the gate needs its setting `tls`"
	switch {
	case head[0] == 0x16: // a record of type handshake (RFC 8446 section 5.1)
		return hello
	case head[0]&0x80 == 0: // no two-byte length
	case len(head) < 3:
		return ""
	case head[2] == 1: // a ClientHello in the form of SSL 2.0, as very old clients begin (RFC 5246 appendix E.2)
		return hello
	}
	return "the request line is malformed"
}

// checkHead judges a whole head, from the request line to the empty line. The second result says what is wrong with it;
// it never quotes the request.
func checkHead(head []byte) (framing, string) {
	line, rest, why := nextLine(head)
	if why != "" {
		return framing{}, why
	}
	var room [128]byte
	f := headFields{names: room[:0]}
	if f.http10, why = checkRequestLine(line); why != "" {
		return framing{}, why
	}
	for n := 0; ; n++ {
		if line, rest, why = nextLine(rest); why != "" {
			return framing{}, why
		}
		if len(line) == 0 {
			f.framing.names = string(f.names)
			return f.framing, f.verdict()
		}
		if n == maxHeaders {
			return framing{}, "the request has too many header fields"
		}
		if why = f.add(line); why != "" {
			return framing{}, why
		}
	}
}

// nextLine cuts one line that ends with CRLF.
func nextLine(b []byte) (line, rest []byte, why string) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, nil, "a line ends with a bare LF"
	}
	line = b[:i-1]
	if bytes.IndexByte(line, '\r') >= 0 {
		return nil, nil, "a bare CR stands in the request head"
	}
	return line, b[i+1:], ""
}

// checkRequestLine wants method SP origin-form SP version (RFC 9112 section 3), nothing else.
func checkRequestLine(line []byte) (http10 bool, why string) {
	method, rest, ok1 := bytes.Cut(line, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 || !isToken(method) {
		return false, "the request line is malformed"
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		http10 = true
	default:
		return false, "the HTTP version is not 1.1 or 1.0"
	}
	if len(target) == 0 || target[0] != '/' {
		return false, "the target is not in origin-form: it must begin with a slash"
	}
	return http10, checkTarget(target)
}

// checkTarget leaves a % alone in the query to the service's own check: many clients write q=100%.
func checkTarget(target []byte) string {
	query := false
	for i, b := range target {
		switch {
		case b == '?':
			query = true
		case b <= ' ' || b >= 0x7f || b == '#' || b == '\\':
			return "the target has a character that must be percent-encoded"
		case b == '%' && !query && (len(target) < i+3 || !isHex(target[i+1]) || !isHex(target[i+2])):
			return "the target has a broken percent-encoding"
		}
	}
	return ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (f *headFields) add(line []byte) string {
	if line[0] == ' ' || line[0] == '\t' {
		return "a header field is folded over two lines"
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(name) {
		return "a header field has no valid name"
	}
	for _, b := range value {
		if b < ' ' && b != '\t' || b == 0x7f {
			return "a header value has a control character"
		}
	}
	if !isCanonical(name) {
		f.names = append(append(f.names, name...), ':')
	}
	value = bytes.Trim(value, " \t")
	switch {
	case is(name, "host"):
		f.host++
		if !validHost(value) {
			return "the Host header is malformed"
		}
	case is(name, "content-length"):
		f.contentLength++
		return f.setLength(value)
	case is(name, "transfer-encoding"):
		f.transferEncoding++
		if !is(value, "chunked") {
			return "the Transfer-Encoding is not exactly chunked"
		}
		f.chunked = true
	case is(name, "trailer"):
		return "trailers are announced, which the gate does not take"
	case is(name, "expect"):
		if !is(value, "100-continue") {
			return "the Expect header asks for something other than 100-continue"
		}
	}
	return ""
}

func (f *headFields) setLength(value []byte) string {
	n, err := strconv.ParseUint(string(value), 10, 62)
	if err != nil || value[0] == '+' || f.contentLength > 1 {
		return "the Content-Length is not one plain number"
	}
	f.length = int64(n)
	return ""
}

// verdict looks at what only the whole head tells.
func (f *headFields) verdict() string {
	switch {
	case f.host > 1:
		return "the Host header stands twice"
	case f.host == 0 && !f.http10:
		return "the Host header is missing"
	case f.transferEncoding > 1:
		return "the Transfer-Encoding header stands twice"
	case f.chunked && f.contentLength > 0:
		return "both Content-Length and Transfer-Encoding are given"
	case f.chunked && f.http10:
		return "HTTP/1.0 knows no Transfer-Encoding"
	}
	return ""
}

// chunkSize reads "1a\r\n": up to 15 hex digits and nothing beside them.
func chunkSize(line []byte) (int64, bool) {
	digits, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits), 16, 60)
	return int64(n), err == nil
}

// is compares ASCII case-insensitively; lower is in lower case.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// isCanonical tells whether a name is written as http.CanonicalHeaderKey writes it.
func isCanonical(name []byte) bool {
	begins := true
	for _, c := range name {
		if begins && 'a' <= c && c <= 'z' || !begins && 'A' <= c && c <= 'Z' {
			return false
		}
		begins = c == '-'
	}
	return true
}

// isToken is RFC 9110 section 5.6.2.
func isToken(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0:
		default:
			return false
		}
	}
	return len(b) > 0
}

func validHost(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case bytes.IndexByte([]byte(".-_:[]"), c) >= 0:
		default:
			return false
		}
	}
	return len(b) > 0 && len(b) <= 512
}
