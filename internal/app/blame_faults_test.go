package app_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/boundary/token"
)

const malformed = "a request with two lengths"

// refusedWords are n8n 2.41's for a connection that is refused.
const refusedWords = "The service refused the connection - perhaps it is offline"

// mishaps are the faults that concern one service, or one caller.
func mishaps() []mishap {
	const api, gone, dead, dying = "SallyportAPIFailing", "SallyportCredentialFailing", "SallyportCredentialDead",
		"SallyportCredentialDying"
	good := "upstream: $API, $LOCAL, $KEY"
	minting := func(endpoint string) string {
		return "upstream: $API, $LOCAL, credential: {kind: oauth2_client_credentials, token_url: '" + endpoint +
			"', client_id: n8n, client_secret: ref+builtin://crm}"
	}
	at := func(path string) string { return "upstream: $API/" + path + ", $LOCAL, $KEY" }
	return []mishap{
		{what: "the API answers 500", party: "upstream", service: at("500"), alerts: []string{api}},
		{what: "the API answers 503", party: "upstream", service: at("503"), alerts: []string{api}},
		{
			what: "the API does not respond in time", party: "upstream", alerts: []string{api},
			service: at("silent") + ", timeouts: {response_header: 200ms}",
		},
		{
			what: "the API stops in the middle of a response", party: "upstream", alerts: []string{api},
			service: at("stalls") + ", timeouts: {idle: 200ms}",
		},
		{what: "the API ends a response half-way", party: "upstream", service: at("half"), alerts: []string{api}},
		{
			what: "the API resets the connection", party: "upstream", service: "upstream: $RESETS, $LOCAL, $KEY",
			alerts: []string{api},
		},
		{
			what: "the API says what is no HTTP", party: "upstream", service: "upstream: $GARBAGE, $LOCAL, $KEY",
			alerts: []string{api},
		},
		{
			what: "the API's response is in an unknown coding", party: "upstream", service: at("coded"),
			alerts: []string{api},
		},
		{
			what: "nothing listens at the API's address", party: "upstream", service: "upstream: $NOBODY, $LOCAL, $KEY",
			alerts: []string{api},
		},
		{
			what: "nothing has listened for a while", party: "upstream", alerts: []string{api},
			service: "upstream: $NOBODY, allow_private: [127.0.0.1/32], $KEY, " +
				"circuit: {failures: 2, pause: 1h, longest: 1h}",
		},
		{
			what: "the API's name does not resolve", party: "upstream",
			service: "upstream: 'http://nothing.invalid', $LOCAL, $KEY",
			alerts:  []string{api},
		},
		{
			what: "the API's certificate is of a CA that nobody knows", party: "upstream",
			service: "upstream: $TLS, $LOCAL, $KEY",
			alerts:  []string{api},
		},
		{
			what: "the API's certificate is for another name", party: "upstream", alerts: []string{api},
			service: "upstream: $TLS, $LOCAL, $KEY, ca_file: $CA, server_name: other.test",
		},
		{
			what: "the API speaks plain HTTP where TLS is expected", party: "upstream",
			service: "upstream: $PLAIN, $LOCAL, $KEY",
			alerts:  []string{api},
		},
		{what: "the API redirects to another host", party: "upstream", service: at("away"), alerts: []string{api}},
		{
			what: "the API's name leads to a private address", party: "upstream", service: "upstream: $API, $KEY",
			alerts: []string{api},
		},
		{what: "the API wants fewer calls (429)", party: "upstream", service: at("429")},
		{
			what: "the API does not know the path (404)", party: "caller", service: at("404"),
			why: "a 404 is the API's word on what was asked for. It is in nobody's budget and alerts nobody; " +
				"`received-status` says that the API was reached",
		},
		{
			what: "the API says 200, and the error is in the body", party: "upstream", service: at("lies"),
			why: "no gate knows what a body means. `test.status` and n8n's own check of the response do",
		},
		{
			what: "the key was revoked at the provider (401)", party: "credential", service: at("401"),
			alerts: []string{gone, dead},
		},
		{
			what: "the key was revoked, and the API says 403", party: "credential", service: at("403"),
			why: "a 403 may as well be a key that works and lacks a right. It alerts nobody by itself; " +
				"a probe whose test call gets it does (SallyportProbeFailing)",
		},
		{
			what: "the key is not in the store", party: "credential", alerts: []string{gone, dead},
			service: "upstream: $API, $LOCAL, credential: {kind: bearer, secret: ref+builtin://nowhere}",
		},
		{
			what: "the token endpoint refuses the client", party: "credential", service: minting("$API/invalid_client"),
			alerts: []string{gone, dead, dying},
		},
		{
			what: "the token endpoint answers 500", party: "credential", service: minting("$API/500"),
			alerts: []string{gone, dead, dying},
		},
		{
			what: "nothing listens at the token endpoint", party: "credential", service: minting("$NOBODY/token"),
			alerts: []string{gone, dead, dying},
		},
		{
			what: "the API refuses a token that was just minted", party: "credential", alerts: []string{gone, dead},
			service: strings.Replace(minting("$API/token"), "upstream: $API", "upstream: $API/401", 1),
		},
		{
			what: "no proxy token", party: "caller", service: good,
			call: func(l *lane) seen { return l.get(l.name, "") },
		},
		{
			what: "a proxy token that does not exist", party: "caller", service: good,
			call: func(l *lane) seen { return l.get(l.name, "spt_0123456789_"+strings.Repeat("a", 49)) },
		},
		{what: "a proxy token that was revoked", party: "caller", service: good, call: revoked},
		{
			what: "a proxy token that has expired", party: "caller", service: good, call: expired,
			alerts: []string{"SallyportTokenExpiring"},
		},
		{what: "a proxy token of another scope", party: "caller", service: good, call: outOfScope},
		{
			what: "a service that does not exist", party: "caller", service: good,
			call: func(l *lane) seen { return l.get("nowhere", l.token) },
		},
		{
			what: "a method that the rules do not allow", party: "caller", service: good + `, allow: ["GET /**"]`,
			call: func(l *lane) seen { return l.do(http.MethodPost, l.name, l.token, "x") },
		},
		{what: "more calls than the service's limit", party: "caller", service: good + ", limits: {rate: 1/h}"},
		{
			what: "a body beyond the service's limit", party: "caller", service: good + ", limits: {body: 10}",
			call: func(l *lane) seen { return l.do(http.MethodPost, l.name, l.token, strings.Repeat("x", 100)) },
		},
		{what: malformed, party: "caller", service: good, call: twoLengths},
		{
			what: "the caller stops in the middle of its body", party: "caller", call: halfBody,
			service: good + ", timeouts: {request_idle: 200ms}",
		},
		{what: "the caller hangs up", party: "caller", shown: "-", service: at("silent"), call: hangUp},
	}
}

// issued is a token of the lane's own, made once.
func (l *lane) issued(scope token.Scope, expires time.Time) (value, id string) {
	v, g, err := l.b.state.Tokens.Issue(l.t.Context(), l.name, scope, expires)
	if err != nil {
		l.t.Error(err)
		return "", ""
	}
	l.b.changed("tokens")
	return string(v.Reveal()), g.ID
}

func revoked(l *lane) seen {
	if l.token == l.b.token {
		value, id := l.issued(token.Scope{Services: []string{"*"}}, time.Time{})
		if _, err := l.b.state.Tokens.Revoke(l.t.Context(), id); err != nil {
			l.t.Error(err)
		}
		l.b.changed("tokens")
		l.token = value
	}
	return l.get(l.name, l.token)
}

func expired(l *lane) seen {
	if l.token == l.b.token {
		at := time.Now().Add(50 * time.Millisecond)
		l.token, _ = l.issued(token.Scope{Services: []string{"*"}}, at)
		<-time.After(time.Until(at))
	}
	return l.get(l.name, l.token)
}

func outOfScope(l *lane) seen {
	if l.token == l.b.token {
		l.token, _ = l.issued(token.Scope{Services: []string{"s0"}}, time.Time{})
	}
	return l.get(l.name, l.token)
}

// raw sends bytes, and reads a response unless there is to be none.
func (l *lane) raw(text string, reads bool) seen {
	conn, err := new(net.Dialer).DialContext(l.t.Context(), "tcp", strings.TrimPrefix(l.gateway, "http://"))
	if err != nil {
		return seen{}
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, text, l.name, l.token, l.what)
	if !reads {
		<-time.After(50 * time.Millisecond) // until the call is under way
		return seen{}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return seen{}
	}
	defer resp.Body.Close()
	return seen{resp.StatusCode, resp.Header.Get("Proxy-Status")}
}

const rawHead = " /s/%s/x HTTP/1.1\r\nHost: gate\r\nX-Sallyport-Token: %s\r\nX-Sallyport-Workflow: %s\r\n"

func twoLengths(l *lane) seen {
	return l.raw("POST"+rawHead+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true)
}

func halfBody(l *lane) seen { return l.raw("POST"+rawHead+"Content-Length: 50\r\n\r\nhalf", true) }

func hangUp(l *lane) seen { return l.raw("GET"+rawHead+"\r\n", false) }

// gateMishap is a fault of a whole gate, which has the service crm beside what service adds.
type gateMishap struct {
	mishap

	head   string     // of the configuration
	before func(*bed) // the gate starts
	inject func(*bed, *app.App, *lane)
	calls  string // the service that is called; "": crm
	about  string // the service that the alerts are about
}

// jobs are those of the gates of gateMishaps.
func jobs() (list []string) {
	for i := range gateMishaps() {
		list = append(list, fmt.Sprintf("sallyport-%d", i))
	}
	return list
}

// underWay begins a request that lasts.
func underWay(l *lane, service string) {
	ctx := l.t.Context()
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.gateway+"/s/"+service+"/x", http.NoBody)
		if err != nil {
			return
		}
		req.Header.Set("X-Sallyport-Token", l.token)
		(&lane{}).send(req)
	}()
}

func gateMishaps() []gateMishap {
	const failing = "SallyportFailing"
	slow := "  slow: {upstream: $API/silent, $LOCAL, $KEY}\n"
	return []gateMishap{
		{
			mishap: mishap{
				what: "the gate is gone", party: "sallyport", shown: refusedWords,
				alerts: []string{"SallyportDown", failing},
			},
			inject: func(_ *bed, a *app.App, l *lane) { _ = a.Stop(context.WithoutCancel(l.t.Context())) },
		},
		{
			mishap: mishap{what: "the gate is stopping", party: "sallyport", alerts: []string{failing}, service: slow},
			head:   "drain: 1h\n",
			inject: func(_ *bed, a *app.App, l *lane) {
				underWay(l, "slow")
				l.b.until("a call is under way", func() bool {
					return strings.Contains(l.b.scrape(a), "sallyport_in_flight_requests 1")
				})
				go func() { _ = a.Stop(l.t.Context()) }()
			},
		},
		{
			mishap: mishap{
				what: "the gate is overloaded", party: "sallyport", service: slow,
				alerts: []string{failing},
			},
			head: "limits: {in_flight: 1, in_flight_per_token: 1, in_flight_per_service: 1}\n",
			inject: func(_ *bed, a *app.App, l *lane) {
				underWay(l, "slow")
				l.b.until("a call is under way", func() bool {
					return strings.Contains(l.b.scrape(a), "sallyport_in_flight_requests 1")
				})
			},
		},
		{
			mishap: mishap{
				what: "the audit log cannot be written", party: "sallyport",
				alerts: []string{"SallyportAuditUnhealthy", failing},
			},
			inject: func(b *bed, _ *app.App, l *lane) {
				if err := os.Remove(b.load().Audit.File); err != nil {
					l.t.Error(err)
				}
			},
		},
		{
			mishap: mishap{
				what: "the database is away for longer than max_stale", party: "sallyport",
				alerts: []string{"SallyportReplicaBehind", failing},
			},
			head: "revocation: {max_stale: 2s}\n",
			inject: func(b *bed, _ *app.App, l *lane) {
				file := b.dir + "/sallyport-data/sallyport.db"
				if err := os.Rename(file, file+".away"); err != nil {
					l.t.Error(err)
				}
			},
		},
		{
			mishap: mishap{
				what: "a configuration is refused", party: "sallyport",
				alerts: []string{"SallyportConfigRefused"},
			},
			inject: func(b *bed, _ *app.App, _ *lane) { b.write("services: {crm: {upstream: nonsense}}\n") },
		},
		{
			mishap: mishap{
				what: "a store is away, and what was read of it is served", party: "sallyport",
				alerts:  []string{"SallyportStoreAway"},
				service: "  far: {upstream: $API, $LOCAL, credential: {kind: bearer, secret: ref+corp://key}}\n",
			},
			head: "stores: {corp: {kind: file, dir: ./corp, refresh: 1s}}\n", calls: "far",
			before: func(b *bed) { corpKey(b) },
			inject: func(b *bed, _ *app.App, l *lane) {
				if err := os.Rename(b.dir+"/corp", b.dir+"/corp.away"); err != nil {
					l.t.Error(err)
				}
			},
		},
	}
}

// corpKey makes a store of files with a key in it.
func corpKey(b *bed) {
	if err := os.MkdirAll(b.dir+"/corp", 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.dir+"/corp/key", []byte("sk-live-canary-3"), 0o600); err != nil {
		b.t.Fatal(err)
	}
}
