package boundary

import (
	"bufio"
	"net/http"
	"strings"
)

// isUpgrade tells whether a request is a WebSocket handshake. HTTP/1.0 has none (RFC 9110 section 7.8).
func isUpgrade(r *http.Request) bool { return r.ProtoAtLeast(1, 1) && wantsUpgrade(NetHTTP(r.Header)) }

func wantsUpgrade(h Header) bool {
	upgrade := h.Values("Upgrade")
	return len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") &&
		nominated(h.Values("Connection"))["Upgrade"]
}

// spellWebSocket writes the names of a handshake's fields as RFC 6455 does. A few peers compare the letters, and
// net/http writes Sec-Websocket-*.
func spellWebSocket(h http.Header) {
	const canonical, spelled = "Sec-Websocket-", "Sec-WebSocket-"
	for name, values := range h {
		if what, ok := strings.CutPrefix(name, canonical); ok {
			delete(h, name)
			h[spelled+what] = values
		}
	}
}

func switchProtocols(w *bufio.Writer, h http.Header) error {
	if _, err := w.WriteString("HTTP/1.1 101 Switching Protocols\r\n"); err != nil {
		return err
	}
	if err := h.Write(w); err != nil {
		return err
	}
	if _, err := w.WriteString("\r\n"); err != nil {
		return err
	}
	return w.Flush()
}
