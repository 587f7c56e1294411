package boundary

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/scrub"
)

// chunk is how much of a body is in memory at a time.
const chunk = 32 << 10

//nolint:gochecknoglobals // a pool is shared by nature
var chunks = sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}

// decoded returns the body without its content coding. Length is -1 when only the end of the body tells.
func decoded(method string, resp *http.Response) (body io.ReadCloser, length int64, err error) {
	coding := strings.Join(resp.Header["Content-Encoding"], ",")
	if coding == "" || bodiless(method, resp.StatusCode) || scrub.Plain(coding) {
		return resp.Body, resp.ContentLength, nil
	}
	if resp.StatusCode == http.StatusPartialContent {
		return nil, 0, scrub.ErrUnknownCoding
	}
	body, err = scrub.Decoder(coding, resp.Body)
	return body, -1, err
}

// bodiless tells whether the response has no body by definition (RFC 9112 section 6.3).
func bodiless(method string, status int) bool {
	return method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
}

// acceptCodings asks the API for no coding but those that can be scrubbed, and for none where a part of a coded body
// could come.
func acceptCodings(r *http.Request, o *credential.Outgoing) {
	accept := "identity"
	if values := r.Header["Accept-Encoding"]; len(values) > 0 && r.Header["Range"] == nil {
		accept = scrub.Accept(strings.Join(values, ","))
	}
	o.Header["Accept-Encoding"] = []string{accept}
}
