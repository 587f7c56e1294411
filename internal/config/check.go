package config

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"sallyport/internal/config/finding"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/config/wording"
	"sallyport/internal/localfile"
)

// check holds the whole configuration against itself. It assumes nothing of the decoder but the types. What is known of
// a service by an earlier check is not looked for again; known may be nil.
func (c *Config) check(rep *finding.Report, known *checks) {
	k := &checker{cfg: c, rep: rep, set: map[string]bool{}, written: map[string]bool{}}
	k.listen()
	k.seal()
	k.tls()
	k.database()
	for _, name := range sortedKeys(c.Stores) {
		k.store(name)
	}
	for _, name := range sortedKeys(c.Fleets) {
		k.fleet(name)
	}
	for _, name := range c.ServiceNames() {
		known.take(k, name)
	}
	for _, name := range c.TokenNames() {
		k.token(name)
	}
}

type checker struct {
	cfg          *Config
	rep          *finding.Report
	set, written map[string]bool // as indexKeys says
	stores       map[string]*Store
	reads        bool // it has looked for a file
}

// fail reports what is wrong with the value at key.
func (k *checker) fail(key, message, hint string) {
	if !k.rep.Broken[key] {
		k.rep.Fail(k.cfg.at(key), place.Subject(key)+" "+message, hint)
	}
}

// missing reports that owner lacks something, unless an error within owner explains it.
func (k *checker) missing(owner, message, hint string) { k.fail(owner, message, hint) }

func (k *checker) warn(key, message, hint string) {
	if !k.rep.Broken[key] {
		k.rep.Warn(k.cfg.at(key), place.Subject(key)+" "+message, hint)
	}
}

func (k *checker) listen() {
	l := k.cfg.Listen
	gateway := k.address("listen.gateway", l.Gateway)
	admin := k.address("listen.admin", l.Admin)
	if gateway && admin && sameAddress(l.Gateway, l.Admin) {
		k.fail("listen.admin", "is the gateway's address too", "give each listener its own port")
	}
}

// address checks host:port, and that it is not open plain HTTP by accident.
func (k *checker) address(key, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !notation.IsPort(port, 0) || (host != "" && !notation.IsHost(host)) {
		k.fail(key, "is not an address", "write HOST:PORT, such as 127.0.0.1:8470, [::1]:8470 or 0.0.0.0:8470")
		return false
	}
	if isLoopback(host) || k.cfg.TLS.Enabled() {
		return true
	}
	if k.cfg.Insecure {
		k.warn(key, "serves plain HTTP beyond loopback: tokens and responses can be read on the way", "set tls")
		return true
	}
	k.fail(key, "is beyond loopback and there is no TLS",
		"set tls, or insecure: true where the network itself is trusted")
	return true
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// sameAddress tells whether two listeners would collide. Port 0 is a free one each time.
func sameAddress(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	return portA == portB && portA != "0" && (hostA == hostB || isWildcard(hostA) || isWildcard(hostB))
}

func isWildcard(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || (err == nil && addr.IsUnspecified())
}

func (k *checker) seal() {
	if env := k.cfg.Seal.KeyEnv; env != "" {
		if k.cfg.has("seal.key_file") {
			k.fail("seal.key_env", "stands beside seal.key_file", "keep one")
		}
		if strings.ContainsAny(env, "= ") || wording.MayBeSecret(env) {
			k.fail("seal.key_env", "is not the name of an environment variable",
				"write the variable's name, such as SALLYPORT_SEAL_KEY; never the key itself")
		}
	}
}

func (k *checker) tls() {
	t := k.cfg.TLS
	switch {
	case t.CA != "" && (t.CertFile != "" || t.KeyFile != ""):
		k.fail("tls", "has both a certificate and ca: builtin", "keep cert_file and key_file, or ca and hosts")
	case t.CA != "" && len(t.Hosts) == 0:
		k.missing("tls", "has ca: builtin but no hosts", "name the hosts that n8n uses, such as hosts: [gate.internal]")
	case t.CA == "" && len(t.Hosts) > 0:
		k.missing("tls", "has hosts, which only ca: builtin uses", "add ca: builtin, or leave hosts out")
	case (t.CertFile == "") != (t.KeyFile == ""):
		k.missing("tls", "needs cert_file and key_file together", "")
	case t.CertFile != "":
		k.pair("tls", t.CertFile, t.KeyFile)
	}
	for _, host := range t.Hosts {
		if !notation.IsHost(host) {
			k.fail("tls.hosts", "has a name that is not a host: "+wording.Show(host),
				"write host names or addresses, without port")
		}
	}
}

// pair checks cert_file and key_file below key.
func (k *checker) pair(key, certFile, keyFile string) {
	certPEM, okCert := k.file(key+".cert_file", certFile)
	keyPEM, okKey := k.file(key+".key_file", keyFile)
	if !okCert || !okKey {
		return
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		k.fail(key+".cert_file", "and key_file are not a PEM certificate and its key",
			"check that the two belong together")
	}
}

// file reads what the configuration names. ok is false when there is nothing to look at, which is an error only when
// files are checked at all.
func (k *checker) file(key, name string) (content []byte, ok bool) {
	k.reads = true
	k.cfg.addFile(name)
	if k.cfg.read == nil {
		return nil, false
	}
	content, err := k.cfg.read(name)
	if err != nil {
		k.fail(key, "cannot be read: "+reason(err), fileHint(name))
		return nil, false
	}
	return content, true
}

// fileHint names the file, unless something else than a file's name stands there.
func fileHint(name string) string {
	if strings.Contains(name, ":/") || wording.MayBeSecret(filepath.Base(name)) {
		return "write the name of a file"
	}
	return "the file is " + name
}

func (k *checker) caFile(key, name string) {
	if name == "" {
		return
	}
	if pem, ok := k.file(key, name); ok && localfile.AddCertificates(x509.NewCertPool(), pem) != nil {
		k.fail(key, "holds no PEM certificate", fileHint(name))
	}
}

func (k *checker) database() {
	d := k.cfg.Database
	if k.cfg.DatabaseFile != "" {
		if d != "" {
			k.fail("database_file", "stands beside database", "keep one")
		}
		if content, ok := k.file("database_file", k.cfg.DatabaseFile); ok &&
			databaseProblem(strings.TrimSpace(string(content)), true) != "" {
			k.fail("database_file", "does not hold a PostgreSQL URL", fileHint(k.cfg.DatabaseFile))
		}
	}
	if problem := databaseProblem(d, false); d != "" && problem != "" {
		k.fail("database", problem,
			"write postgres://USER@HOST/NAME; a URL with a password goes into a file that database_file names")
	}
}

func databaseProblem(text string, password bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Opaque != "":
		return "is not a PostgreSQL URL"
	case password:
		return ""
	}
	if _, has := u.User.Password(); has {
		return "has a password in it"
	}
	for name := range u.Query() {
		if strings.Contains(strings.ToLower(name), "pass") {
			return "has a password in it"
		}
	}
	return ""
}
