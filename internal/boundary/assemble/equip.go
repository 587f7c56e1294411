package assemble

import (
	"crypto/tls"
	"errors"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
)

// Consent equips svc, and makes what a person gives consent with: settings are those of its credential of such a kind.
func Consent(svc *service.Service, settings credential.Consenting, of *Secrets) (credential.Consent, error) {
	if err := equip(svc, of); err != nil {
		return credential.Consent{}, unfit(svc, err)
	}
	consent, err := settings.Consent(mint(svc, of))
	if err != nil {
		return credential.Consent{}, unfit(svc, err)
	}
	return consent, nil
}

// equip gives a service its client certificate and what its proxy asks for.
func equip(svc *service.Service, of *Secrets) error {
	c := svc.Config
	in := of.Reader()
	proxy := in.Value(c.ProxySecret)
	if c.TLS != nil {
		cert, key := in.Value(c.TLS.Cert), in.Value(c.TLS.Key)
		if in.Err != nil {
			return in.Err
		}
		pair, err := tls.X509KeyPair(cert.Reveal(), key.Reveal())
		if err != nil {
			return errors.New("the client certificate and its key are not PEM, or do not belong together")
		}
		svc.SetClientCertificate(&pair)
	}
	if in.Err == nil {
		svc.SetProxySecret(proxy)
	}
	return in.Err
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
