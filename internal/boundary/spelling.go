package boundary

import (
	"net/http"
	"strings"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/service"
)

// spell writes the names of an outgoing header as the caller or the configuration wrote them: some APIs compare the
// letters (SOAPAction, apikey). All that decides, injects and signs before works on canonical names, and nothing looks
// at the header behind it.
//
// A field that goes on as the caller sent it is named as the caller wrote it, and any other as the configuration does,
// or else in canonical form: nobody chooses the name under which a credential goes. names are the caller's that are not
// canonical (see View), of which several may be one field: the first one counts, so that no field stands there under
// two names.
func spell(h, caller http.Header, names string, svc *service.Service) {
	for _, s := range svc.Spelled {
		if !same(h[s.Canonical], caller[s.Canonical]) {
			egress.Spell(h, s.Canonical, s.Written)
		}
	}
	for names != "" {
		var written string
		written, names, _ = strings.Cut(names, ":")
		canonical := http.CanonicalHeaderKey(written)
		if same(h[canonical], caller[canonical]) && !neverSent[canonical] {
			egress.Spell(h, canonical, written)
		}
	}
}

// same tells whether a and b are one slice, and not only equal.
func same(a, b []string) bool { return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] }
