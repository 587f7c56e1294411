package assemble

import (
	"crypto/tls"
	"errors"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// Consent equips svc, and makes the Minter that it is connected for: c is its credential of that kind.
func Consent(svc *service.Service, c *config.Credential, of *Secrets) (*derive.RefreshToken, error) {
	if err := equip(svc, of); err != nil {
		return nil, unfit(svc, err)
	}
	refresher, err := minting(c, svc, of).refresher()
	if err != nil {
		return nil, unfit(svc, err)
	}
	return refresher, nil
}

// equip gives a service its client certificate and what its proxy asks for.
func equip(svc *service.Service, of *Secrets) error {
	c := svc.Config
	in := of.Reader()
	proxy := in.Value(c.ProxySecret)
	if c.TLS != nil {
		cert, key := in.Value(c.TLS.Cert), in.Value(c.TLS.Key)
		if in.err != nil {
			return in.err
		}
		pair, err := tls.X509KeyPair(cert.Reveal(), key.Reveal())
		if err != nil {
			return errors.New("the client certificate and its key are not PEM, or do not belong together")
		}
		svc.SetClientCertificate(&pair)
	}
	if in.err == nil {
		svc.SetProxySecret(proxy)
	}
	return in.err
}

// unfit is the fault of secrets that are there and cannot be used.
func unfit(svc *service.Service, err error) error {
	if _, ok := errors.AsType[*fault.Fault](err); ok {
		return err
	}
	what := svc.Name
	if refs := svc.Config.Refs(); len(refs) == 1 {
		what = refs[0].String()
	}
	return hinted(fault.New(fault.CredentialMissing, what+": "+err.Error()), fault.HintOf(err))
}
